"""`chatapp-tail replay`: saved records through the filters and formats of the tail."""

import os
import sys
import time
from collections.abc import Iterator
from typing import Any

import click

from ..chatapp.records import DecodedEvent
from ..errors import ExitStatus, UsageError
from ..formats import Output
from ..replay import Broken, delay, read_saved
from ..reporting.summary import Summary
from ..sinks.stdout import BrokenPipe, write_all
from .config import DeliveryArguments, View, compile_view
from .options import (
    COUNT,
    SPEED,
    filter_options,
    forward_options,
    is_on_command_line,
    option,
    output_options,
    resolve_output,
)
from .process import print_error

_BATCH = 256 * 1024


@click.command()
@click.argument("files", nargs=-1, required=True, metavar="FILE...")
@filter_options
@output_options
@forward_options
@option("-n", "--count", type=COUNT, metavar="N", help="Stop after N lines, or N deliveries.")
@option(
    "--speed",
    of="replay",
    type=SPEED,
    default="max",
    help="1 is the original speed, 10 ten times that, max as fast as possible; pauses are at most"
    " a day.",
)
@click.pass_context
def replay(
    ctx: click.Context,
    /,
    files: tuple[str, ...],
    count: int | None,
    speed: float,
    output: Output,
    as_json: bool,
    template: str | None,
    **options: Any,
) -> int:
    """Replay records saved with -o json or -o raw, also .gz and .zst; - is standard input.

    Filters, formats and destinations are those of the tail; dead letters can be read as well.
    Lines that cannot be read are reported and skipped; if nothing can be read, the exit status is
    2.
    """
    output = resolve_output(ctx, output, as_json, template)
    to_url = is_on_command_line(ctx, "forward_to")
    arguments = DeliveryArguments(
        output=output, template=template, forward_to_typed=to_url, **options
    )
    view = compile_view(arguments, terminal=sys.stdout.isatty())
    report = Report()
    saved = read_saved(files, report.broken, report.record, stdin=sys.stdin.buffer)
    events = _paced(saved, speed)
    try:
        # Not by a variable: what was meant for a tail must not send saved records somewhere.
        if to_url or is_on_command_line(ctx, "exec_command"):
            from .replay_delivery import deliver

            deliver(events, view, arguments, count)
        else:
            _show(events, view, count, at_once=speed != float("inf"))
    except BrokenPipe:
        return ExitStatus.DONE
    report.end()
    return ExitStatus.DONE


class Report:
    """Reports lines that could not be read: a few per file, then how many more there are."""

    SHOWN_PER_FILE = 5

    def __init__(self) -> None:
        self._any_record = False
        self._broken = 0
        self._file = ""
        self._broken_of_file = 0

    def record(self) -> None:
        """Note that a record was read."""
        self._any_record = True

    def broken(self, broken: Broken) -> None:
        """Say which line could not be read, unless too many of its file were named already."""
        if broken.file != self._file:
            self._count_rest()
            self._file, self._broken_of_file = broken.file, 0
        self._broken += 1
        self._broken_of_file += 1
        if self._broken_of_file <= self.SHOWN_PER_FILE:
            print_error(f"{broken.file}:{broken.line}: {broken.reason}")

    def _count_rest(self) -> None:
        if (rest := self._broken_of_file - self.SHOWN_PER_FILE) > 0:
            lines = "line" if rest == 1 else "lines"
            print_error(f"{self._file}: … and {rest:,} more {lines} could not be read")

    def end(self) -> None:
        """Count what was not named; UsageError if nothing at all could be read."""
        self._count_rest()
        if self._broken and not self._any_record:
            raise UsageError(
                "nothing here was saved by chatapp-tail; replay reads the lines that -o json and"
                " -o raw write"
            )


def _paced(saved: Iterator[DecodedEvent], speed: float) -> Iterator[DecodedEvent]:
    before: int | None = None
    for decoded in saved:
        received = decoded.records[0].received
        if before is not None and (seconds := delay(before, received, speed)) > 0:
            time.sleep(seconds)
        before = received
        yield decoded


def _show(events: Iterator[DecodedEvent], view: View, count: int | None, *, at_once: bool) -> None:
    pipeline = view.pipeline(Summary(), dict(os.environ))
    lines = (line for event in events for line in pipeline.process_saved(event))
    _write(lines, count, at_once=at_once)


def _write(lines: Iterator[bytes], count: int | None, *, at_once: bool) -> None:
    """Write up to `count` lines, many in one call unless they come slowly."""
    waiting: list[bytes] = []
    size = 0
    for number, line in enumerate(lines, 1):
        waiting.append(line)
        size += len(line)
        if at_once or size >= _BATCH or number == count:
            write_all(sys.stdout.fileno(), b"".join(waiting))
            waiting, size = [], 0
        if number == count:
            return
    write_all(sys.stdout.fileno(), b"".join(waiting))
