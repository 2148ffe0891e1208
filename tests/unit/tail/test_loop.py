"""The main thread's loop, with a connection and items that are made up."""

import json
import os
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence

import pytest
from msgspec.structs import replace

from chatapp_tail.errors import ExitStatus, OutputError
from chatapp_tail.filters import by_event
from chatapp_tail.formats.meta import encode_meta
from chatapp_tail.formats.raw import format_raw
from chatapp_tail.history.gap_filler import Fetch, GapFiller
from chatapp_tail.items import (
    ChannelEvent,
    ConnectionWarning,
    FrameTrace,
    Gap,
    Item,
    Ready,
    Status,
    StopCause,
    Stopped,
    Watermarks,
)
from chatapp_tail.pusher.connection import Connection
from chatapp_tail.reporting.summary import Summary
from chatapp_tail.sinks.stdout import Stdout
from chatapp_tail.spool import Spool
from chatapp_tail.tail import deadlines
from chatapp_tail.tail.deadlines import Heartbeat, Limits
from chatapp_tail.tail.intake import DirectIntake, Intake
from chatapp_tail.tail.line_writer import LineWriter
from chatapp_tail.tail.loop import End, Meta, Tail
from chatapp_tail.tail.pipeline import Pipeline
from chatapp_tail.threads import Waker
from tests.conftest import TIMEOUT_SCALE, wait_until
from tests.factories import CHANNEL

READY = Ready(1, [CHANNEL], [])
GAP = Gap(CHANNEL, 5, 10, "lost")
ASKED = Stopped(99, StopCause.ASKED, "asked")


def event(number: int, size: int = 0) -> ChannelEvent:
    item = {"id": number, "time": number, "chat": {"id": "7"}, "message": {"text": "x" * size}}
    meta = {"type": "message", "licenseId": 1229, "messengerType": "telegram"}
    envelope = {"payload": {"data": [item], "meta": meta}}
    return ChannelEvent(number, "message", CHANNEL, json.dumps(envelope).encode())


class MadeUpConnection(Connection):
    """Puts its last item when it is stopped, unless it hangs."""

    def __init__(self, put: Callable[[Sequence[Item]], None]) -> None:
        self._put = put
        self.hangs = False
        self.is_alive = True
        self.stops = 0

    def start(self) -> None:
        pass

    def stop(self) -> None:
        self.stops += 1
        if self.stops == 1 and not self.hangs:
            self._put([ASKED])

    def join(self, timeout: float) -> bool:
        return not self.hangs

    @property
    def alive(self) -> bool:
        return self.is_alive


class Run:
    """One tail into a pipe, and whom it told what."""

    def __init__(self) -> None:
        self.alarm = Waker()
        self.spool = Spool(2**30, self.alarm)
        self.connection = MadeUpConnection(self.spool.put)
        self.told: list[tuple[Status | Gap, list[int]]] = []
        """Each status, with the events that were written by then."""
        self.requests = 0
        self.reader, self.writer = os.pipe()
        os.set_blocking(self.reader, False)
        self._output = b""

    def tail(
        self,
        *,
        limits: Limits | None = None,
        meta: Meta | None = None,
        heartbeat: Heartbeat | None = None,
        fetch: Fetch | None = None,
        intake: Intake | None = None,
    ) -> Tail:
        backfill = None
        if fetch:
            backfill = GapFiller(fetch, lambda _: True, self.alarm, first_seen={}, timeout=60.0)
            self.backfill = backfill
        pipeline = Pipeline(by_event([], []), None, format_raw, Summary())
        limits = limits or Limits()
        stdout = Stdout(self.writer, resumed=False)

        def open_output(wait: Callable[[], bool]) -> LineWriter:
            self.wait_for_room = wait
            return LineWriter(stdout, pipeline, None, count=limits.count, wait_for_room=wait)

        tail = Tail(
            self.connection,
            intake or DirectIntake(self.spool),
            self.alarm,
            pipeline=pipeline,
            listeners=[lambda status: self.told.append((status, self.events()))],
            meta=meta,
            limits=limits,
            open_output=open_output,
            on_request=self._on_request,
            heartbeat=heartbeat,
            backfill=backfill,
        )
        os.close(self.writer)
        return tail

    def put(self, *items: Item) -> None:
        self.spool.put(items)

    def _on_request(self) -> None:
        assert threading.current_thread() is threading.main_thread()
        self.requests += 1

    def output(self) -> list[bytes]:
        while True:
            try:
                block = os.read(self.reader, 2**20)
            except BlockingIOError:
                break
            if not block:
                break
            self._output += block
        return self._output.splitlines()

    def events(self) -> list[int]:
        envelopes = [json.loads(line) for line in self.output() if b'"payload"' in line]
        return [item["id"] for envelope in envelopes for item in envelope["payload"]["data"]]


@pytest.fixture
def run() -> Iterator[Run]:
    made = Run()
    yield made
    made.spool.close()
    made.alarm.close()
    os.close(made.reader)


def soon(call: Callable[[], None], seconds: float = 0.05) -> None:
    """Call from another thread, as a signal would, while the tail waits."""
    timer = threading.Timer(seconds, call)
    timer.daemon = True
    timer.start()


# --- order


def test_a_status_is_told_when_all_events_before_it_are_written(run: Run) -> None:
    warning = ConnectionWarning(4, "odd")
    run.put(READY, event(1), event(2), warning, event(3), Watermarks({CHANNEL: 5}), event(4), ASKED)
    assert run.tail().run() == End(ExitStatus.DONE)
    assert run.told == [(READY, []), (warning, [1, 2]), (ASKED, [1, 2, 3, 4])]


def test_statuses_are_written_among_the_events_where_they_are_wanted(run: Run) -> None:
    run.put(READY, FrameTrace(2, "<", "{}"), event(1), ASKED)
    run.tail(meta=encode_meta).run()
    states = [json.loads(line).get("state", "event") for line in run.output()]
    assert states == ["ready", "event", "stopped"]


def test_live_events_wait_for_the_messages_of_the_gap_before_them(run: Run) -> None:
    begins = threading.Event()

    def fetch(
        gaps: Sequence[Gap], first_seen: Mapping[str, int], newest: Mapping[str, int]
    ) -> Iterator[ChannelEvent | Gap]:
        begins.wait(10 * TIMEOUT_SCALE)
        yield event(2)
        yield from (replace(gap, missing=None) for gap in gaps)

    tail = run.tail(limits=Limits(count=3), fetch=fetch)
    items: list[Item] = [event(1), GAP, READY, event(3), event(4)]
    run.backfill.watch(items)
    run.put(*items)
    soon(begins.set)
    assert tail.run() == End(ExitStatus.DONE)
    assert run.events() == [1, 2, 3]
    assert run.told[0] == (replace(GAP, recovered=1, missing=None), [1, 2])


# --- how it ends


def test_it_ends_when_enough_lines_are_written(run: Run) -> None:
    run.put(READY, event(1), event(2), event(3), ConnectionWarning(4, "odd"))
    assert run.tail(limits=Limits(count=2)).run() == End(ExitStatus.DONE)
    assert run.events() == [1, 2]
    assert [status for status, _ in run.told] == [READY]
    assert run.connection.stops == 1


@pytest.mark.parametrize(
    ("cause", "status"),
    [
        (StopCause.CREDENTIALS, ExitStatus.CREDENTIALS),
        (StopCause.UNTRUSTED, ExitStatus.UNREACHABLE),
        (StopCause.CHANNELS_REFUSED, ExitStatus.CHANNELS_REFUSED),
        (StopCause.BUG, ExitStatus.BUG),
    ],
)
def test_a_connection_that_gave_up_ends_it(run: Run, cause: StopCause, status: ExitStatus) -> None:
    run.put(event(1), Stopped(2, cause, "why"))
    assert run.tail().run() == End(status, cause=cause, reason="why")
    assert run.events() == [1]


@pytest.mark.parametrize(
    ("limits", "status"),
    [
        (Limits(duration=0.05), ExitStatus.DONE),
        (Limits(idle=0.05), ExitStatus.DONE),
        (Limits(count=9, duration=0.05), ExitStatus.COUNT_NOT_REACHED),
    ],
)
def test_a_limit_of_time_stops_the_connection(run: Run, limits: Limits, status: ExitStatus) -> None:
    run.put(READY, event(1))
    assert run.tail(limits=limits).run() == End(status)
    assert [status for status, _ in run.told] == [READY, ASKED]


def test_a_tail_that_never_was_ready_says_so(run: Run) -> None:
    end = run.tail(limits=Limits(duration=0.05)).run()
    assert (end.status, end.reason) == (ExitStatus.UNREACHABLE, "never ready within 0.1 s")


def test_a_connection_that_hangs_is_not_waited_for(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deadlines, "CLOSE_TIMEOUT", 0.05)
    run.connection.hangs = True
    run.put(READY)
    assert run.tail(limits=Limits(duration=0.05)).run() == End(ExitStatus.DONE)


def test_a_signal_ends_it_after_all_that_was_received(run: Run) -> None:
    run.put(event(1))
    tail = run.tail()
    soon(lambda: tail.interrupt(1.0))
    assert tail.run() == End(ExitStatus.DONE)
    assert run.events() == [1]


def test_a_reader_that_is_gone_ends_it_while_nothing_comes(run: Run) -> None:
    tail = run.tail()
    reader, run.reader = run.reader, os.open(os.devnull, os.O_RDONLY)
    soon(lambda: os.close(reader))
    assert tail.run() == End(ExitStatus.DONE, reader_gone=True)


def test_a_reader_that_stalls_after_a_signal_costs_what_is_not_written(run: Run) -> None:
    run.put(*(event(number, 200_000) for number in range(10)))
    tail = run.tail()
    soon(lambda: tail.interrupt(0.1), 0.2)
    end = tail.run()
    assert end.status is ExitStatus.DONE
    assert end.reason.endswith("not written: the reader of stdout took nothing for 0.1 s")
    left = int(end.reason.split()[2])
    assert left == 10 - len([line for line in run.output() if line.endswith(b"}")])


def test_a_spool_that_keeps_nothing_more_ends_it(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    run.put(READY, event(1))
    run.spool.failure = "the disk is full"
    run.put(event(2), event(3))
    monkeypatch.setattr(deadlines, "CLOSE_TIMEOUT", 0.05)
    with pytest.raises(OutputError, match="the disk is full; 2 events not written"):
        run.tail().run()
    assert run.events() == [1]
    assert "the disk is full" in [getattr(status, "reason", "") for status, _ in run.told]


def test_a_bug_in_reading_history_ends_it(run: Run) -> None:
    def fetch(*_: object) -> Iterator[ChannelEvent | Gap]:
        raise ValueError("made up")

    tail = run.tail(fetch=fetch)
    run.backfill.watch([GAP, READY])
    run.put(GAP, READY)
    end = tail.run()
    assert (end.status, end.cause) == (ExitStatus.BUG, StopCause.BUG)
    assert "ValueError: made up" in end.reason


# --- what else it does


def test_a_request_is_answered_once_and_by_the_main_thread(run: Run) -> None:
    tail = run.tail(limits=Limits(duration=0.2))
    soon(tail.request)
    tail.run()
    assert run.requests == 1


@pytest.mark.parametrize("alive", [True, False])
def test_it_beats_as_long_as_the_thread_of_the_connection_lives(run: Run, *, alive: bool) -> None:
    beats: list[None] = []
    run.connection.is_alive = alive
    tail = run.tail(
        heartbeat=Heartbeat(0.02, lambda: beats.append(None)), limits=Limits(duration=0.2)
    )
    tail.run()
    assert len(beats) > 2 if alive else len(beats) <= 2


def test_events_left_counts_those_behind_a_gap_that_is_not_filled(run: Run) -> None:
    hangs = threading.Event()

    def fetch(*_: object) -> Iterator[ChannelEvent | Gap]:
        hangs.wait(10 * TIMEOUT_SCALE)
        yield replace(GAP, missing=None)

    tail = run.tail(fetch=fetch)
    items: list[Item] = [event(1), GAP, READY, event(2), event(3)]
    run.backfill.watch(items)
    run.put(*items)
    left: list[int] = []

    def look() -> None:
        wait_until(lambda: run.backfill.in_progress, "the gap")
        left.append(tail.events_left)
        hangs.set()
        tail.interrupt(5.0)

    soon(look, 0.1)
    tail.run()
    assert left == [2]
    assert run.events() == [1, 2, 3]


class CountedIntake(DirectIntake):
    """Counts how often what has come was secured."""

    kept = True

    def __init__(self, spool: Spool) -> None:
        super().__init__(spool)
        self.fills = 0

    def fill(self, *, at_end: bool = False) -> None:
        self.fills += 1


def test_what_comes_is_secured_although_there_is_always_room_after_a_wait(run: Run) -> None:
    """A slow destination that acknowledges one event after the other makes room each time."""
    intake = CountedIntake(run.spool)
    run.tail(intake=intake)
    assert run.wait_for_room()
    assert intake.fills == 1
    assert run.wait_for_room()
    assert intake.fills == 1, "but not at each wait"
