"""`chatapp-tail replay --forward-to`: saved records and dead letters, delivered again."""

import os
import select
import signal
import sys
from collections.abc import Iterator
from contextlib import closing
from types import FrameType
from typing import Any, NoReturn

from ..chatapp.records import DecodedEvent
from ..reporting.notices import Level
from ..reporting.summary import Summary
from ..sinks.stdout import Stdout
from ..tail.forwarder import Forwarder
from ..tail.line_writer import LineWriter
from ..tail.pipeline import Pipeline
from .config import DeliveryArguments, View
from .destination import compile_destination
from .process import print_error
from .signals import KilledBySignal

_LONGEST_POLL = 250
"""Milliseconds after which a signal is handled that came just before a wait."""


def deliver(
    events: Iterator[DecodedEvent], view: View, arguments: DeliveryArguments, count: int | None
) -> None:
    """Deliver events, at most `count`, and wait until all of them are settled."""
    destination = compile_destination(arguments, terminal=view.terminal)
    for warning in destination.warnings:
        print_error(f"warning: {warning}")
    report = destination.report(_say)
    make = destination.format(lambda: view.format(dict(os.environ)))
    pipeline: Pipeline[Any] = view.pipeline_of(make, Summary())

    def wait_for_room() -> bool:
        return _poll(forwarder)

    lines = None
    if destination.shows:
        stdout = Stdout(sys.stdout.fileno(), resumed=False)
        lines = LineWriter(stdout, pipeline, None, count=None, wait_for_room=wait_for_room)
    forwarder = destination.open_forwarder(
        make,
        None,
        report,
        stdout=lines,
        count=count,
        wait_for_room=wait_for_room,
    )
    for signum in (signal.SIGINT, signal.SIGTERM):
        if signal.getsignal(signum) is not signal.SIG_IGN:
            signal.signal(signum, _end)
    try:
        with closing(forwarder):
            forwarder.begin()
            for event in events:
                forwarder.write(pipeline.process_saved(event))
                if forwarder.complete:
                    break
            forwarder.finish()
    finally:  # also when it is interrupted: nobody else knows what was delivered
        print_error(report.sentence())


def _end(signum: int, _: FrameType | None) -> NoReturn:
    signal.signal(signum, signal.SIG_DFL)  # a second one ends it at once
    raise KilledBySignal(signum)


def _poll(forwarder: Forwarder) -> bool:
    """Wait for an outcome or for room in stdout; return whether there may be room for more."""
    waits = select.poll()
    forwarder.register(waits, for_room=True)
    return sum(forwarder.ready(*reported) for reported in waits.poll(_LONGEST_POLL)) > 0


def _say(level: Level, sentence: str) -> None:
    if level <= Level.INFO:
        print_error(sentence)
