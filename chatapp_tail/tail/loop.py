"""The loop of the main thread: take items, decode, filter, format and write them.

The loop waits in one place, `_wait`, for the first of: items, history, room in stdout, the end of
stdout's reader, a deadline, a signal. A blocked or closed stdout is therefore noticed while the
tail is idle, and never delays the socket's thread.
"""

import select
import time
from collections.abc import Callable, Sequence
from math import inf
from typing import Any

import msgspec

from ..errors import ExitStatus, OutputError
from ..history.checkpoint import Checkpoint
from ..history.gap_delivery import GapDelivery
from ..history.gap_filler import BackfillBug, GapFiller
from ..items import (
    EXIT_STATUS_OF,
    ChannelEvent,
    ConnectionWarning,
    FrameTrace,
    Gap,
    Item,
    Status,
    StopCause,
    Stopped,
    Subscribed,
    Watermarks,
)
from ..pusher.connection import Connection
from ..reporting.progress import ShowProgress
from ..reporting.readiness import Readiness
from ..reporting.summary import format_duration
from ..sinks.stdout import BrokenPipe
from ..spool import count_events
from ..threads import Waker
from .deadlines import Deadlines, Heartbeat, Limits
from .intake import Intake
from .line_writer import count_of_events
from .output import Output, OutputStalled
from .pipeline import Pipeline

_LONGEST_POLL = 3600.0
_FILL_EVERY = 0.05
"""Seconds between two moves of the spool's items to the journal while no items are taken."""

Listener = Callable[[Status | Gap], None]
"""Receives every status change and gap, in order with the events."""

OpenOutput = Callable[[Callable[[], bool]], Output[Any]]
"""(a function that waits, then returns whether there is room) -> the output."""

Meta = Callable[[Status | Gap], bytes]
"""Returns the line for stdout of a status change or gap."""


class End(msgspec.Struct, frozen=True):
    """How the tail ended.

    `reason` is set where the user needs an explanation, and `cause` where the connection gave up.
    """

    status: ExitStatus
    reader_gone: bool = False
    cause: StopCause | None = None
    reason: str = ""


class Tail:
    """One run, from the connection's start to an `End`.

    `interrupt` and `request` may be called from a signal handler.
    """

    def __init__(
        self,
        connection: Connection,
        intake: Intake,
        alarm: Waker,
        *,
        pipeline: Pipeline[Any],
        listeners: Sequence[Listener],
        meta: Meta | None,
        limits: Limits,
        open_output: "OpenOutput",
        heartbeat: Heartbeat | None = None,
        on_request: Callable[[], None],
        backfill: GapFiller | None = None,
        progress: ShowProgress = lambda _: inf,
        checkpoint: Checkpoint | None = None,
    ) -> None:
        self.turns = 0
        """How many times the loop has waited or checked; a constant number means a blocked call."""
        self._connection = connection
        """The socket's thread, which puts items into the spool."""
        self._intake = intake
        """Items that are not yet taken, in wire order."""
        self._alarm = alarm
        """Ends a wait: history has news, the spool failed, or a signal arrived."""
        self._pipeline = pipeline
        """Decodes, filters and formats events, into what the output takes."""
        self._listeners = listeners
        """Receive every status change and gap."""
        self._meta = meta
        """Encodes status changes and gaps for stdout; None where they are not written."""
        self._heartbeat = heartbeat
        """The watchdog's; None where there is no watchdog."""
        self._on_request = on_request
        """Prints the summary that `request` asks for."""
        self._gaps = GapDelivery(backfill, checkpoint)
        """Messages from history, and what they hold back."""
        self._fill_due = 0.0
        """When to secure again what has come and cannot be given (monotonic)."""
        self._progress = progress
        """Shows how much of history is read; returns the seconds until its next call."""
        self._requested = False
        """Whether `request` was called and not yet answered."""
        self._output = open_output(lambda: self._wait(for_room=True))
        """Where lines go."""
        self._end: End | None = None
        """Set once the loop is to end."""
        self._deadlines = Deadlines(limits, time.monotonic())
        """The user's limits, and how long the shutdown takes."""
        self._readiness = Readiness()
        """Whether every channel was ever confirmed, which decides the exit status."""

    def interrupt(self, stall_timeout: float) -> None:
        """End once all received events are written, or no byte is for `stall_timeout` seconds."""
        self._deadlines.interrupt(stall_timeout)
        self._alarm.wake()

    def request(self) -> None:
        """Have the main thread call `on_request` soon."""
        self._requested = True
        self._alarm.wake()

    def _answer_request(self) -> None:
        if self._requested:
            self._requested = False
            self._on_request()

    def run(self) -> End:
        """Run until the end; raises OutputError when stdout fails."""
        self._connection.start()
        try:
            self._output.begin()
            return self._finish(self._follow())
        except BrokenPipe:
            return End(ExitStatus.DONE, reader_gone=True)
        except OutputStalled as stalled:
            return self._stalled_end(stalled.events)
        finally:
            self._progress(None)
            self.turns += 1
            self._output.close()
            self.turns += 1  # ending requests or commands took its time, and is no hang
            self._connection.stop()
            ended = self._connection.join(
                self._deadlines.shutdown.close_timeout_left(time.monotonic())
            )
            self._intake.fill(at_end=True)
            if ended:
                self._intake.close()
                self._alarm.close()

    def _follow(self) -> End:
        while self._end is None:
            if time.monotonic() >= self._deadlines.check_due:
                self._wait(at_most=0.0)
            # In turns once live events no longer wait, so that neither starves the other.
            had_history = self._take_history()
            self._take_early()
            if self._live_waits:
                if not had_history:
                    self._wait()
            elif batch := self._intake.take():
                self._handle(*batch)
            elif time.monotonic() >= self._deadlines.shutdown.close_deadline:
                self._end = self._requested_end()
            elif not had_history and not self._take_early():
                self._wait()
        return self._end

    def _finish(self, end: End) -> End:
        """Wait for what is given and not settled, as long as something is."""
        self._deadlines.shutdown.request(time.monotonic())
        try:
            self._output.finish()
        except OutputStalled as stalled:
            stalled_end = self._stalled_end(stalled.events)
            return stalled_end if end.cause is None else end
        return end

    def _handle(self, first: int, batch: Sequence[Item]) -> None:
        """Write the lines of a batch, `batch_size` or somewhat more at once, none across a status.

        `first` is the number of its first item in the journal; without one, numbers mean nothing.
        """
        lines: list[Any] = []
        process_live, batch_size = self._pipeline.process_live, self._output.batch_size
        try:
            for number, item in enumerate(batch, 1):
                if type(item) is ChannelEvent:
                    lines += process_live(item)
                    if len(lines) < batch_size:
                        continue
                if isinstance(item, ChannelEvent):
                    self._write(lines, first + number - 1)
                    lines = []
                else:
                    self._write(lines, first + number - 2)
                    lines = []
                    self._take_status(item)
                    if self._live_waits:
                        # What came before the gap is settled, the gap itself is not yet.
                        self._settle(first + number - 2)
                        self._intake.put_back(first + number, batch[number:])
                        return
                if self._end:
                    return
                batch_size = self._output.batch_size
            self._write(lines, first + number - 1)
            self._settle(first + number - 1)
        except OutputStalled as stalled:
            stalled.events += count_events(batch[number:])
            raise

    def _settle(self, position: int) -> None:
        """Settle items of the journal that gave no lines, in their turn."""
        if self._intake.kept:
            self._output.after(lambda: self._intake.settle(position))

    def _take_status(self, status: Status | Gap | Watermarks) -> None:
        self._output.after(lambda: self._gaps.note(status))
        if isinstance(status, Subscribed):
            self._output.relink(status.channel)
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
            self._end = self._requested_end()
        else:
            self._end = End(EXIT_STATUS_OF[status.cause], cause=status.cause, reason=status.reason)

    def _say(self, status: Status | Gap) -> None:
        self._tell(status)
        if self._meta and not isinstance(status, FrameTrace):
            self._output.write_meta(self._meta(status))

    @property
    def _live_waits(self) -> bool:
        """Whether live events are not taken until history has filled the gap before them."""
        return self._gaps.holds and not self._deadlines.shutdown.requested

    def _take_early(self) -> bool:
        """Take statuses that go ahead of an earlier run's events; return whether there were any."""
        early = self._intake.take_early()
        for status in early:
            self._take_status(status)
        return bool(early)

    def _take_history(self) -> bool:
        """Write messages of a gap that was reached, or report it; return whether there were any."""
        try:
            news = None if self._deadlines.shutdown.requested else self._gaps.take()
        except BackfillBug as bug:
            self._end = End(ExitStatus.BUG, cause=StopCause.BUG, reason=str(bug))
            return True
        if news is None:
            return False
        self._progress(False)
        if isinstance(news, Gap):
            if gap := self._gaps.report(news):
                self._say(gap)
            self._output.after(lambda: self._gaps.unpin(news))
        else:
            self._write_history(news)
        return True

    def _write_history(self, messages: Sequence[ChannelEvent]) -> None:
        lines: list[Any] = []
        for message in messages:
            message_lines = self._pipeline.process_history(message)
            lines += message_lines
            if message_lines:
                self._gaps.count_recovered(message)
            if len(lines) >= self._output.batch_size:
                self._write(lines)
                lines = []
        self._write(lines)

    def _tell(self, status: Status | Gap) -> None:
        self._readiness.note(status)
        for listener in self._listeners:
            listener(status)

    def _requested_end(self) -> End:
        """Return the end requested by a signal, a spool failure or a time limit."""
        if self._intake.failure:
            raise OutputError(_without(self._intake.failure, self.events_left))
        if self._deadlines.interrupted:
            return End(ExitStatus.DONE)
        if not self._readiness.reached:
            reason = self._readiness.explain(self._deadlines.limits.shortest)
            return End(ExitStatus.UNREACHABLE, reason=reason)
        short = self._deadlines.limits.count is not None
        return End(ExitStatus.COUNT_NOT_REACHED if short else ExitStatus.DONE)

    def _stalled_end(self, taken: int) -> End:
        """Return the end after a stall; `taken` events are lost too, unless they are journaled."""
        left = self._intake.events_unsettled()
        if not self._intake.kept:
            left += taken + self._output.unsettled
        if self._intake.failure:
            raise OutputError(_without(self._intake.failure, left))
        seconds = format_duration(self._deadlines.shutdown.stall_timeout)
        reason = self._output.explain_stall(left, seconds)
        if self._intake.kept:
            reason += "; the next run with this --resume name delivers them"
        status = ExitStatus.DONE if self._deadlines.interrupted else ExitStatus.OUTPUT_FAILED
        return End(status, reason=reason)

    @property
    def events_left(self) -> int:
        """How many events wait to be written, besides those that are being written."""
        return self._intake.events_left

    @property
    def keeps(self) -> bool:
        """Whether what is left is kept for the next run."""
        return self._intake.kept

    @property
    def undelivered(self) -> int:
        """How many events a destination that failed has not acknowledged, at least."""
        return self.events_left + (0 if self._intake.kept else self._output.unsettled)

    def _write(self, lines: list[Any], position: int = 0) -> None:
        """Write whole lines; end when as many are written as the user wants."""
        if self._output.write(lines, position):
            self._deadlines.note_line(time.monotonic())
        if self._output.complete:
            self._end = self._end or End(ExitStatus.DONE)

    def _wait(self, *, for_room: bool = False, at_most: float = _LONGEST_POLL) -> bool:
        """Wait, for room in stdout or else for items; return whether there is room.

        A wait also ends when a deadline is due, a signal arrives or stdout's reader is gone.
        """
        self.turns += 1
        now = time.monotonic()
        held = not for_room and self._live_waits
        busy = self._gaps.in_progress or self._output.unsettled > 0
        idles = not for_room and not busy
        if busy:
            self._deadlines.note_line(now)  # reading history is not idleness
        if for_room:
            self._deadlines.shutdown.note_blocked(now, self._output.progress)
        taking = not (for_room or held)
        seconds = max(0.0, self._due(now, for_room, held, idles=idles) - now)
        if self._intake.kept and not taking:
            seconds = min(seconds, _FILL_EVERY)
        room = self._poll(min(seconds, at_most), for_room=for_room, taking=taking)
        if not taking:
            self._fill()
        self._output.just_polled = not for_room
        self._answer_request()
        now = time.monotonic()
        if self._deadlines.check(now, idles=idles, failed=bool(self._intake.failure)):
            self._begin_shutdown()
        if for_room and not room and now >= self._deadlines.shutdown.stall_deadline:
            raise OutputStalled
        return room

    def _fill(self) -> None:
        """Secure what has come, if that was not just done: it must outlast a kill."""
        if time.monotonic() >= self._fill_due:
            self._intake.fill()
            self._fill_due = time.monotonic() + _FILL_EVERY

    def _poll(self, seconds: float, *, for_room: bool, taking: bool) -> bool:
        """Wait for descriptors; return whether there is room. May raise BrokenPipe."""
        room = False
        waits = select.poll()
        waits.register(self._alarm, select.POLLIN)
        self._output.register(waits, for_room=for_room)
        self._intake.register(waits, taking=taking)
        for descriptor, events in waits.poll(seconds * 1000):
            if descriptor == self._alarm.fileno():
                self._alarm.clear()
            else:
                room |= self._output.ready(descriptor, events)
        return room

    def _due(self, now: float, for_room: bool, held: bool, *, idles: bool) -> float:
        """Return the next deadline of anything that the loop does by the clock."""
        due = min(
            self._beat(now),
            now + self._progress(held),
            self._deadlines.due(idles=idles, for_room=for_room),
            self._intake.due if self._intake.due > now else inf,
        )
        return min(due, self._gaps.deadline) if held else due

    def _beat(self, now: float) -> float:
        """Beat if due, unless the socket's thread died; return when the next beat is due."""
        if self._heartbeat and (self._connection.alive or self._deadlines.shutdown.requested):
            return self._heartbeat.beat_if_due(now)
        return inf

    def _begin_shutdown(self) -> None:
        """Stop the connection; its last item ends the loop, or else the close deadline does."""
        if self._intake.failure:
            self._tell(ConnectionWarning(time.time_ns(), self._intake.failure))
        self._connection.stop()


def _without(failure: str, left: int) -> str:
    """Return the failure and how many events it cost."""
    return f"{failure}; {count_of_events(left)} not written" if left else failure
