"""The pipeline of the main thread: take, decode, filter, format, write, count.

It waits in one place, `_wait`, for whatever comes first: items, history, room in stdout, the end of
stdout's reader, a deadline, a signal. So a blocked or dead stdout is seen while idle, and costs the
socket's thread nothing.
"""

import select
import time
from collections.abc import Callable, Sequence
from math import inf

import msgspec

from ..errors import ExitStatus, OutputError
from ..history.checkpoint import Checkpoint
from ..history.gap_delivery import GapDelivery
from ..history.gap_filler import BackfillBug, GapFiller
from ..items import (
    ChannelEvent,
    ConnectionWarning,
    FrameTrace,
    Gap,
    Item,
    Status,
    StopCause,
    Stopped,
    Watermarks,
)
from ..pusher.connection import Connection
from ..reporting.progress import ShowProgress
from ..reporting.readiness import Readiness
from ..reporting.summary import span
from ..sinks.stdout import BrokenPipe, Stdout
from ..spool import Spool, count_events
from ..threads import Waker
from .deadlines import Deadlines, Heartbeat, Limits
from .line_writer import LineWriter, StdoutStalled
from .pipeline import Pipeline

_DEAD = select.POLLERR | select.POLLHUP | select.POLLNVAL
_LONGEST_POLL = 3600.0
Listener = Callable[[Status | Gap], None]
"""Told of every status change and gap, in order with the events."""

Meta = Callable[[Status | Gap], bytes]
"""A status change or gap -> its line for stdout."""


class End(msgspec.Struct, frozen=True):
    """How the tail ended; `reason` is set where a person should know why.

    `cause` too when the connection gave up by itself.
    """

    status: ExitStatus
    reader_gone: bool = False
    cause: StopCause | None = None
    reason: str = ""


_STATUS_OF = {
    StopCause.CREDENTIALS: ExitStatus.CREDENTIALS,
    StopCause.UNREACHABLE: ExitStatus.UNREACHABLE,
    StopCause.UNTRUSTED: ExitStatus.UNREACHABLE,
    StopCause.CHANNELS_REFUSED: ExitStatus.CHANNELS_REFUSED,
    StopCause.SERVER_REFUSED: ExitStatus.REFUSED_BY_SERVER,
    StopCause.BUG: ExitStatus.BUG,
}


class Tail:
    """One run, from connecting to an `End`. `stdout` is a file descriptor.

    `interrupt` and `request` may be called from a signal handler.
    """

    def __init__(
        self,
        connection: Connection,
        spool: Spool,
        alarm: Waker,
        *,
        pipeline: Pipeline,
        listeners: Sequence[Listener],
        meta: Meta | None,
        limits: Limits,
        stdout: int,
        heartbeat: Heartbeat | None = None,
        on_request: Callable[[], None],
        backfill: GapFiller | None = None,
        progress: ShowProgress = lambda _: inf,
        checkpoint: Checkpoint | None = None,
    ) -> None:
        self.turns = 0
        """How often it waited or looked around; what does not grow is stuck in a call."""
        self._connection = connection
        self._spool = spool
        self._alarm = alarm
        self._pipeline = pipeline
        self._listeners = listeners
        self._meta = meta
        self._heartbeat = heartbeat
        self._on_request = on_request
        self._gaps = GapDelivery(backfill, checkpoint)
        self._progress = progress
        self._requested = False
        self._writer = LineWriter(
            Stdout(stdout, resumed=checkpoint is not None),
            pipeline,
            checkpoint,
            count=limits.count,
            wait_for_room=lambda: self._wait(for_room=True),
        )
        self._end: End | None = None
        self._deadlines = Deadlines(limits, time.monotonic())
        self._readiness = Readiness()

    def interrupt(self, patience: float) -> None:
        """End once all events received are written, or stdout takes nothing for so many seconds."""
        self._deadlines.interrupt(patience)
        self._alarm.wake()

    def request(self) -> None:
        """Have `on_request` called soon, from the main thread; for a signal handler."""
        self._requested = True
        self._alarm.wake()

    def _answer_request(self) -> None:
        if self._requested:
            self._requested = False
            self._on_request()

    def run(self) -> End:
        """Tail until something ends it; OutputError when stdout fails."""
        self._connection.start()
        try:
            self._writer.end_partial_line()
            return self._follow()
        except BrokenPipe:
            return End(ExitStatus.DONE, reader_gone=True)
        except StdoutStalled as stalled:
            return self._stalled_end(stalled.events)
        finally:
            self._progress(None)
            self._writer.stdout.close()
            self._connection.stop()
            if self._connection.join(self._deadlines.shutdown.goodbye_left(time.monotonic())):
                self._spool.close()
                self._alarm.close()

    def _follow(self) -> End:
        while self._end is None:
            if time.monotonic() >= self._deadlines.check_due:
                self._wait(at_most=0.0)
            # By turns, once live events no longer wait: neither keeps the other from coming.
            took = self._take_history()
            if self._live_waits:
                if not took:
                    self._wait()
            elif batch := self._spool.take():
                self._handle(batch)
            elif time.monotonic() >= self._deadlines.shutdown.goodbye_ends:
                self._end = self._asked_end()
            elif not took:
                self._wait()
        return self._end

    def _handle(self, batch: Sequence[Item]) -> None:
        """Write the records of a batch in one call where no status stands between them."""
        lines: list[bytes] = []
        process_live, batch_size = self._pipeline.process_live, self._writer.batch_size
        try:
            for number, item in enumerate(batch, 1):
                if type(item) is ChannelEvent:
                    lines += process_live(item)
                    if len(lines) < batch_size:
                        continue
                self._write(lines)
                lines = []
                if not isinstance(item, ChannelEvent):
                    self._take_status(item)
                    if self._live_waits:
                        self._spool.put_back(batch[number:])
                        break
                if self._end:
                    break
                batch_size = self._writer.batch_size
            self._write(lines)
        except StdoutStalled as stalled:
            stalled.events += count_events(batch[number:])
            raise

    def _take_status(self, status: Status | Gap | Watermarks) -> None:
        self._gaps.note(status)
        if isinstance(status, Watermarks):
            return
        if isinstance(status, Gap) and not self._gaps.reach(status):
            return
        if not isinstance(status, Stopped):
            self._say(status)
            return
        for gap in self._gaps.unfinished():
            self._say(gap)
        self._say(status)
        if status.cause is StopCause.ASKED:
            self._end = self._asked_end()
        else:
            self._end = End(_STATUS_OF[status.cause], cause=status.cause, reason=status.reason)

    def _say(self, status: Status | Gap) -> None:
        self._tell(status)
        if self._meta and not isinstance(status, FrameTrace):
            self._writer.write_meta(self._meta(status))

    @property
    def _live_waits(self) -> bool:
        """Whether live events wait in the spool until history has filled the gap before them."""
        return self._gaps.holds and not self._deadlines.shutdown.asked

    def _take_history(self) -> bool:
        """Write what history has for a gap that was reached; return whether there was anything."""
        try:
            news = None if self._deadlines.shutdown.asked else self._gaps.take()
        except BackfillBug as bug:
            self._end = End(ExitStatus.BUG, cause=StopCause.BUG, reason=str(bug))
            return True
        if news is None:
            return False
        self._progress(False)
        if isinstance(news, Gap):
            if gap := self._gaps.report(news):
                self._say(gap)
            self._gaps.release(news)
        else:
            self._write_history(news)
        return True

    def _write_history(self, messages: Sequence[ChannelEvent]) -> None:
        lines: list[bytes] = []
        for message in messages:
            message_lines = self._pipeline.process_history(message)
            lines += message_lines
            if message_lines:
                self._gaps.count_recovered(message)
            if len(lines) >= self._writer.batch_size:
                self._write(lines)
                lines = []
        self._write(lines)

    def _tell(self, status: Status | Gap) -> None:
        self._readiness.note(status)
        for listener in self._listeners:
            listener(status)

    def _asked_end(self) -> End:
        """Return the end that was asked for: by a signal, the spool, or the clock."""
        if self._spool.failure:
            raise OutputError(_without(self._spool.failure, self.events_left))
        if self._deadlines.interrupted:
            return End(ExitStatus.DONE)
        if not self._readiness.reached:
            reason = self._readiness.explain(self._deadlines.limits.shortest)
            return End(ExitStatus.UNREACHABLE, reason=reason)
        short = self._deadlines.limits.count is not None
        return End(ExitStatus.COUNT_NOT_REACHED if short else ExitStatus.DONE)

    def _stalled_end(self, taken: int) -> End:
        """Return the end when stdout takes nothing; `taken` events are lost beside the spool's."""
        left = taken + self.events_left
        if self._spool.failure:
            raise OutputError(_without(self._spool.failure, left))
        stalled = f"the reader of stdout took nothing for {span(self._deadlines.shutdown.patience)}"
        reason = f"ended with {_events(left)} not written: {stalled}"
        status = ExitStatus.DONE if self._deadlines.interrupted else ExitStatus.OUTPUT_FAILED
        return End(status, reason=reason)

    @property
    def events_left(self) -> int:
        """How many events wait to be written, beside those that are being written."""
        return self._spool.events_left

    def _write(self, lines: list[bytes]) -> None:
        """Write whole lines, never more than are wanted, waiting for room as long as it takes."""
        if self._writer.write(lines):
            self._deadlines.note_line(time.monotonic())
        if self._writer.complete:
            self._end = self._end or End(ExitStatus.DONE)

    def _wait(self, *, for_room: bool = False, at_most: float = _LONGEST_POLL) -> bool:
        """Wait for room in stdout or else for items, and in both cases for what ends the tail.

        For so many seconds. Returns whether there is room.
        """
        self.turns += 1
        now = time.monotonic()
        held = not for_room and self._live_waits
        idles = not for_room and not self._gaps.busy
        if self._gaps.busy:
            self._deadlines.note_line(now)  # messages to come are no idleness
        stdout = self._writer.stdout
        if for_room:
            self._deadlines.shutdown.note_blocked(now, stdout.written)
        seconds = max(0.0, self._due(now, for_room, held, idles=idles) - now)
        spool = None if for_room or held else self._spool
        room = _poll(min(seconds, at_most), stdout, self._alarm, spool, for_room=for_room)
        self._writer.just_polled = not for_room
        self._answer_request()
        now = time.monotonic()
        if self._deadlines.check(now, idles=idles, failed=bool(self._spool.failure)):
            self._begin_shutdown()
        if for_room and not room and now >= self._deadlines.shutdown.gives_up_at:
            raise StdoutStalled
        return room

    def _due(self, now: float, for_room: bool, held: bool, *, idles: bool) -> float:
        """Return when there is something to do even if nothing comes until then."""
        due = min(
            self._beat(now),
            now + self._progress(held),
            self._deadlines.due(idles=idles, for_room=for_room),
        )
        return min(due, self._gaps.due) if held else due

    def _beat(self, now: float) -> float:
        """Beat if it is time, unless the socket's thread died; return when to beat again."""
        if self._heartbeat and (self._connection.alive or self._deadlines.shutdown.asked):
            return self._heartbeat.beat_if_due(now)
        return inf

    def _begin_shutdown(self) -> None:
        """Stop the connection, whose last item ends the tail if it comes in time."""
        if self._spool.failure:
            self._tell(ConnectionWarning(time.time_ns(), self._spool.failure))
        self._connection.stop()


def _poll(
    seconds: float, stdout: Stdout, alarm: Waker, spool: Spool | None, *, for_room: bool
) -> bool:
    """Wait for descriptors; return whether stdout has room. BrokenPipe when it never will."""
    room = False
    waits = select.poll()
    waits.register(alarm, select.POLLIN)
    waits.register(stdout, select.POLLOUT if for_room else 0)
    if spool:
        waits.register(spool, select.POLLIN)
    for descriptor, events in waits.poll(seconds * 1000):
        if descriptor == stdout.fileno():
            if events & _DEAD:
                raise BrokenPipe
            room = bool(events & select.POLLOUT)
        elif descriptor == alarm.fileno():
            alarm.clear()
    return room


def _events(count: int) -> str:
    return f"{count:,} event{'' if count == 1 else 's'}"


def _without(failure: str, left: int) -> str:
    """Return what failed, and what it cost."""
    return f"{failure}; {_events(left)} not written" if left else failure
