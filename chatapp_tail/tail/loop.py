"""The pipeline of the main thread: take, decode, filter, format, write, count.

It waits in one place, `_wait`, for whatever comes first: items, history, room in stdout, the end of
stdout's reader, a deadline, a signal. So a blocked or dead stdout is seen while idle, and costs the
socket's thread nothing.
"""

import select
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from itertools import accumulate
from math import inf

import msgspec
from msgspec.structs import replace

from ..errors import ExitStatus, OutputError
from ..history.checkpoint import Checkpoint
from ..history.gap_filler import BackfillBug, GapFiller, Reached
from ..items import (
    RENEWED,
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
from ..reporting.summary import span
from ..sinks.stdout import BrokenPipe, Stdout, ends_with_partial_line
from ..spool import Spool, count_events
from ..threads import Waker
from .deadlines import Heartbeat, Shutdown, TimeLimits
from .pipeline import Pipeline

_DEAD = select.POLLERR | select.POLLHUP | select.POLLNVAL
_LONGEST_POLL = 3600.0
_LOOK_EVERY = 0.1
"""Seconds after which a busy tail looks for what may end it, or is asked of it."""
_NOTED_AT_ONCE = 16
"""With a checkpoint, how many lines are written before that is noted: a kill in between doubles
them."""


Listener = Callable[[Status | Gap], None]
"""Told of every status change and gap, in order with the events."""

Meta = Callable[[Status | Gap], bytes]
"""A status change or gap -> its line for stdout."""


class Limits(msgspec.Struct, frozen=True):
    """When to stop by ourselves, whichever comes first.

    After `count` lines, after `duration` seconds, after `idle` seconds without a line.
    """

    count: int | None = None
    duration: float | None = None
    idle: float | None = None

    @property
    def shortest(self) -> float:
        """Seconds after which nothing at all has come and it is over; inf without a limit."""
        return min(
            [limit for limit in (self.duration, self.idle) if limit is not None], default=inf
        )


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


class _ReaderStalled(Exception):
    """The reader of stdout takes nothing; `events` were taken from the spool and not written."""

    def __init__(self) -> None:
        self.events = 0


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
        self._limits = limits
        self._heartbeat = heartbeat
        self._on_request = on_request
        self._backfill = backfill
        self._progress = progress
        self._checkpoint = checkpoint
        self._rest: Sequence[Item] = ()
        self._recovered: Counter[str] = Counter()
        self._requested = False
        self._stdout = Stdout(stdout, resumed=checkpoint is not None)
        self._fresh = False
        self._lines = 0
        self._interrupted = inf
        self._end: End | None = None
        self._time_limits = TimeLimits(limits.duration, limits.idle, time.monotonic())
        self._shutdown = Shutdown()
        self._readiness = Readiness()
        self._look_due = 0.0

    def interrupt(self, patience: float) -> None:
        """End as soon as what was received is written, or stdout took nothing for so long."""
        self._interrupted = patience
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
            self._mend_torn_line()
            return self._follow()
        except BrokenPipe:
            return End(ExitStatus.DONE, reader_gone=True)
        except _ReaderStalled as stalled:
            return self._stalled_end(stalled.events)
        finally:
            self._progress(None)
            self._stdout.close()
            self._connection.stop()
            if self._connection.join(self._shutdown.goodbye_left(time.monotonic())):
                self._spool.close()
                self._alarm.close()

    def _mend_torn_line(self) -> None:
        """End a line that the last run was killed in, lest it spoils the next one."""
        if self._checkpoint is None:
            if ends_with_partial_line(self._stdout.fileno(), if_appended=True):
                self._write_bytes(b"\n")
        elif self._checkpoint.partial_line or ends_with_partial_line(self._stdout.fileno()):
            self._write_bytes(b"\n")
            self._checkpoint.commit(())

    def _follow(self) -> End:
        while self._end is None:
            if time.monotonic() >= self._look_due:
                self._wait(at_most=0.0)
            # By turns, once live events no longer wait: neither keeps the other from coming.
            took = self._take_history()
            if self._live_waits:
                if not took:
                    self._wait()
            elif batch := self._rest or self._spool.take():
                self._rest = ()
                self._handle(batch)
            elif time.monotonic() >= self._patience_ends:
                self._end = self._asked_end()
            elif not took:
                self._wait()
        return self._end

    def _handle(self, batch: Sequence[Item]) -> None:
        """Write the records of a batch in one call where no status stands between them."""
        lines: list[bytes] = []
        process_live, full = self._pipeline.process_live, self._full
        try:
            for number, item in enumerate(batch, 1):
                if type(item) is ChannelEvent:
                    lines += process_live(item)
                    if len(lines) < full:
                        continue
                self._write(lines)
                lines = []
                if not isinstance(item, ChannelEvent):
                    self._take_status(item)
                    if self._live_waits:
                        self._rest = batch[number:]
                        break
                if self._end:
                    break
                full = self._full
            self._write(lines)
        except _ReaderStalled as stalled:
            stalled.events += count_events(batch[number:])
            raise

    @property
    def _full(self) -> float:
        """How many lines there may be before they are written: all that are wanted, or few."""
        wanted = self._enough - self._lines
        return wanted if self._checkpoint is None else min(wanted, _NOTED_AT_ONCE)

    def _take_status(self, status: Status | Gap | Watermarks) -> None:
        if self._checkpoint:
            self._note_status(self._checkpoint, status)
        if isinstance(status, Watermarks):
            return
        if isinstance(status, Gap) and self._backfill:
            reached = self._backfill.reached(status)
            if self._checkpoint and reached is Reached.OPEN:
                self._checkpoint.pin(status)
            if reached is not Reached.NOT_READ:
                return
        if isinstance(status, Gap) and status.reason == RENEWED:
            return  # nobody can tell whether it is one
        if isinstance(status, Stopped):
            for gap in self._backfill.unfinished() if self._backfill else ():
                if gap.reason == RENEWED and not self._recovered[gap.channel]:
                    continue
                recovered = self._recovered.pop(gap.channel, 0)
                why = "it ended before all of history was read"
                self._say(replace(gap, recovered=recovered, missing=why))
        self._say(status)
        if not isinstance(status, Stopped):
            return
        if status.cause is StopCause.ASKED:
            self._end = self._asked_end()
        else:
            self._end = End(_STATUS_OF[status.cause], cause=status.cause, reason=status.reason)

    def _note_status(self, checkpoint: Checkpoint, status: Status | Gap | Watermarks) -> None:
        match status:
            case Subscribed(at, channel):
                checkpoint.begin(channel, at)
            case Watermarks(until):
                checkpoint.advance(until)

    def _say(self, status: Status | Gap) -> None:
        self._tell(status)
        if self._meta and not isinstance(status, FrameTrace):
            self._write_meta(self._meta(status))

    def _write_meta(self, line: bytes) -> None:
        if self._checkpoint is None or not self._stdout.may_tear(len(line)):
            self._write_bytes(line)
            return
        self._checkpoint.mark_partial()
        self._write_bytes(line)
        self._checkpoint.commit(())

    @property
    def _patience_ends(self) -> float:
        """Until when the connection's last item is waited for; inf before the end is asked for."""
        return self._shutdown.goodbye_ends

    @property
    def _live_waits(self) -> bool:
        """Whether live events wait in the spool until history has filled the gap before them."""
        if self._backfill is None or self._patience_ends < inf:
            return False
        return self._backfill.holds

    def _take_history(self) -> bool:
        """Write what history has for a gap that was reached; return whether there was anything."""
        try:
            news = self._backfill.take() if self._backfill and self._patience_ends == inf else None
        except BackfillBug as bug:
            self._end = End(ExitStatus.BUG, cause=StopCause.BUG, reason=str(bug))
            return True
        if news is None:
            return False
        self._progress(False)
        if isinstance(news, Gap):
            recovered = self._recovered.pop(news.channel, 0)
            if recovered or news.given_up or news.reason != RENEWED:
                self._say(replace(news, recovered=recovered))
            if self._checkpoint:
                self._checkpoint.unpin(news)
            return True
        lines: list[bytes] = []
        for event in news:
            found = self._pipeline.process_history(event)
            lines += found
            self._recovered[event.channel or ""] += bool(found)
            if len(lines) >= self._full:
                self._write(lines)
                lines = []
        self._write(lines)
        return True

    def _tell(self, status: Status | Gap) -> None:
        self._readiness.note(status)
        for listener in self._listeners:
            listener(status)

    def _asked_end(self) -> End:
        """Return the end that was asked for: by a signal, the spool, or the clock."""
        if self._spool.failure:
            raise OutputError(_without(self._spool.failure, self.events_left))
        if self._interrupted < inf:
            return End(ExitStatus.DONE)
        if not self._readiness.reached:
            reason = self._readiness.explain(self._limits.shortest)
            return End(ExitStatus.UNREACHABLE, reason=reason)
        short = self._limits.count is not None
        return End(ExitStatus.COUNT_NOT_REACHED if short else ExitStatus.DONE)

    def _stalled_end(self, taken: int) -> End:
        """Return the end when stdout takes nothing; `taken` events are lost beside the spool's."""
        left = taken + self.events_left
        if self._spool.failure:
            raise OutputError(_without(self._spool.failure, left))
        stalled = f"the reader of stdout took nothing for {span(self._shutdown.patience)}"
        reason = f"ended with {_events(left)} not written: {stalled}"
        status = ExitStatus.DONE if self._interrupted < inf else ExitStatus.OUTPUT_FAILED
        return End(status, reason=reason)

    @property
    def events_left(self) -> int:
        """How many events wait to be written, beside those that are being written."""
        return self._spool.events_left + count_events(self._rest)

    @property
    def _enough(self) -> float:
        return inf if self._limits.count is None else self._limits.count

    def _write(self, lines: list[bytes]) -> None:
        """Write whole lines, never more than are wanted, waiting for room as long as it takes."""
        left_out = max(0, self._lines + len(lines) - self._enough)
        if self._lines + len(lines) >= self._enough:
            del lines[int(self._enough) - self._lines :]
            self._pipeline.leave_out(int(left_out))
            self._end = self._end or End(ExitStatus.DONE)
        if not lines:
            return
        self._lines += len(lines)
        before = self._stdout.written
        try:
            if self._checkpoint is None:
                self._write_bytes(b"".join(lines))
            else:
                self._write_and_note(lines, int(left_out), self._checkpoint)
        except _ReaderStalled as stalled:
            stalled.events += _count_beyond(lines, self._stdout.written - before)
            raise
        self._time_limits.note_line(time.monotonic())

    def _write_and_note(self, lines: list[bytes], left_out: int, checkpoint: Checkpoint) -> None:
        """Write lines in pieces that a kill finds whole or absent, then note what was shown.

        Where a kill may tear one all the same, that is noted before it begins.
        """
        for piece in _pieces(lines, self._stdout.at_most):
            if self._stdout.may_tear(len(piece)):
                checkpoint.mark_partial()
            self._write_bytes(piece)
        shown = self._pipeline.take_written(left_out)
        checkpoint.commit(each for each in shown if each.event == "message")

    def _write_bytes(self, data: bytes) -> None:
        unwritten = memoryview(data)
        # Just after a wait nothing else needs to be looked for: an own pipe tells if it is full.
        room, self._fresh = self._fresh and self._stdout.at_most > select.PIPE_BUF, False
        while unwritten:
            # A write without room would block, and then nothing could end it.
            if not room and not self._wait(for_room=True):
                continue
            room = False
            if written := self._stdout.write(unwritten):
                self._shutdown.note_taken()
                unwritten = unwritten[written:]

    def _wait(self, *, for_room: bool = False, at_most: float = _LONGEST_POLL) -> bool:
        """Wait for room in stdout or else for items, and in both cases for what ends the tail.

        For so many seconds. Returns whether there is room.
        """
        self.turns += 1
        now = time.monotonic()
        held = not for_room and self._live_waits
        if for_room:
            self._shutdown.note_blocked(now)
        idles = not for_room
        if self._backfill and self._backfill.busy:
            idles = False  # what is still to come is no idleness
            self._time_limits.note_line(now)
        seconds = max(0.0, self._due(now, for_room, held, idles=idles) - now)
        spool = None if for_room or held else self._spool
        room = _poll(min(seconds, at_most), self._stdout, self._alarm, spool, for_room=for_room)
        self._fresh = not for_room
        self._answer_request()
        now = time.monotonic()
        self._look_due = now + _LOOK_EVERY
        self._end_if_asked(now, idles=idles)
        if for_room and not room and now >= self._shutdown.gives_up_at:
            raise _ReaderStalled
        return room

    def _due(self, now: float, for_room: bool, held: bool, *, idles: bool) -> float:
        """Return the moment at which there is something to do, whatever comes until then."""
        due = min(self._beat(now), now + self._progress(held))
        if not self._shutdown.asked:
            due = min(due, self._time_limits.until(idles=idles))
        # The goodbye is over when all is written.
        due = min(due, self._shutdown.gives_up_at if for_room else self._shutdown.goodbye_ends)
        return min(due, self._backfill.due) if held and self._backfill else due

    def _beat(self, now: float) -> float:
        """Beat if it is time, unless the socket's thread died; return when to beat again."""
        if self._heartbeat and (self._connection.alive or self._shutdown.asked):
            return self._heartbeat.beat_if_due(now)
        return inf

    def _end_if_asked(self, now: float, *, idles: bool) -> None:
        """Stop the connection once; its last item ends the tail, or else our patience does."""
        was_asked = self._shutdown.asked
        if self._interrupted < inf:
            self._shutdown.ask(now, self._interrupted)
        elif self._spool.failure or now >= self._time_limits.until(idles=idles):
            self._shutdown.ask(now)
        if was_asked or not self._shutdown.asked:
            return
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


def _count_beyond(lines: Sequence[bytes], written: int) -> int:
    """Return how many lines are not whole within the first `written` bytes of all."""
    return sum([end > written for end in accumulate(map(len, lines))])


def _pieces(lines: Sequence[bytes], at_most: int) -> Iterator[bytes]:
    """Join lines, as many as are not longer than `at_most` together, and at least one."""
    piece: list[bytes] = []
    size = 0
    for line in lines:
        if piece and size + len(line) > at_most:
            yield b"".join(piece)
            piece, size = [], 0
        piece.append(line)
        size += len(line)
    yield b"".join(piece)
