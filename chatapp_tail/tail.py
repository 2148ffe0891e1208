"""The pipeline of the main thread: take, decode, filter, format, write, count.

It waits in one place, `_wait`, for whatever comes first: items, history, room in stdout, the end of
stdout's reader, a deadline, a signal. So a blocked or dead stdout is seen while idle, and costs the
socket's thread nothing.
"""

import os
import select
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from math import inf

import msgspec
from msgspec.structs import replace

from .backfill import Backfill, BackfillBug
from .checkpoint import Checkpoint
from .errors import ExitStatus, OutputError
from .pipeline import Pipeline
from .pusher.connection import Connection
from .pusher.items import (
    RENEWED,
    ChannelEvent,
    Covered,
    Gap,
    Item,
    Status,
    StopCause,
    Stopped,
    Subscribed,
    Traced,
    Trouble,
)
from .spool import Spool
from .stdout import ReaderGone, ends_mid_line, make_room, without_blocking, write_some
from .waker import Waker

_DEAD = select.POLLERR | select.POLLHUP | select.POLLNVAL
_GOODBYE = 1.0
_STALL = 10.0
"""Seconds without a byte taken after which the end no longer waits for stdout's reader."""
_LONGEST_POLL = 3600.0
_NOTED_AT_ONCE = 16
"""With a checkpoint, how many lines are written before that is noted: a kill in between doubles
them."""


Listener = Callable[[Status | Gap], None]
"""Told of every status change and gap, in order with the events."""

Meta = Callable[[Status | Gap], bytes]
"""A status change or gap -> its line for stdout."""

ShowProgress = Callable[[bool | None], float]
"""Shows how far history is, or no longer does; told at every wait whether live events wait for it,
and None at the end. Returns after how many seconds it wants to be asked again."""


class Heartbeat(msgspec.Struct, frozen=True):
    """Call `beat` every `interval` seconds."""

    interval: float
    beat: Callable[[], None]


class Limits(msgspec.Struct, frozen=True):
    """When to stop by ourselves, whichever comes first.

    After `count` lines, after `duration` seconds, after `idle` seconds without a line.
    """

    count: int | None = None
    duration: float | None = None
    idle: float | None = None


class End(msgspec.Struct, frozen=True):
    """How the tail ended. `cause` and `reason` are set when the connection gave up by itself."""

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

    `interrupt` may be called from a signal handler.
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
        backfill: Backfill | None = None,
        progress: ShowProgress = lambda _: inf,
        checkpoint: Checkpoint | None = None,
    ) -> None:
        self.written = 0
        """Bytes written so far; a watchdog sees by it whether stdout still moves."""
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
        self._beat_due = inf if heartbeat is None else 0.0
        self._stdout, self._at_most = without_blocking(stdout, atomically=checkpoint is not None)
        # What a pipe holds counts with a checkpoint, so then it stays as it is.
        self._wide = checkpoint is not None
        self._fresh = False
        self._lines = 0
        self._interrupted = False
        self._end: End | None = None
        self._deadline = inf
        self._idle_until = inf
        self._patience_ends = inf
        self._stalled_at = inf

    def interrupt(self) -> None:
        """End as soon as what was received is written."""
        self._interrupted = True
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
        now = time.monotonic()
        if self._limits.duration is not None:
            self._deadline = now + self._limits.duration
        self._note_line(now)
        self._connection.start()
        try:
            self._mend_torn_line()
            return self._follow()
        except ReaderGone:
            return End(ExitStatus.DONE, reader_gone=True)
        finally:
            self._progress(None)
            os.close(self._stdout)
            self._connection.stop()
            if self._connection.join(_GOODBYE):
                self._spool.close()
                self._alarm.close()

    def _mend_torn_line(self) -> None:
        """End a line that the last run was killed in, lest it spoils the next one."""
        if self._checkpoint and (self._checkpoint.torn or ends_mid_line(self._stdout)):
            self._write_bytes(b"\n")
            self._checkpoint.wrote(())

    def _follow(self) -> End:
        while self._end is None:
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
        of_event, full = self._pipeline.of_event, self._full
        for number, item in enumerate(batch, 1):
            if type(item) is ChannelEvent:
                lines += of_event(item)
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

    @property
    def _full(self) -> float:
        """How many lines there may be before they are written: all that are wanted, or few."""
        wanted = self._enough - self._lines
        return wanted if self._checkpoint is None else min(wanted, _NOTED_AT_ONCE)

    def _take_status(self, status: Status | Gap | Covered) -> None:
        if self._checkpoint:
            self._note_status(self._checkpoint, status)
        if isinstance(status, Covered):
            return
        if isinstance(status, Gap) and self._backfill and self._backfill.reached(status):
            if self._checkpoint and self._backfill.fills(status):
                self._checkpoint.hold(status)
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

    def _note_status(self, checkpoint: Checkpoint, status: Status | Gap | Covered) -> None:
        match status:
            case Subscribed(at, channel):
                checkpoint.begin(channel, at)
            case Covered(until):
                checkpoint.cover(until)

    def _say(self, status: Status | Gap) -> None:
        self._tell(status)
        if self._meta and not isinstance(status, Traced):
            self._write_bytes(self._meta(status))

    @property
    def _live_waits(self) -> bool:
        """Whether live events wait in the spool until history has filled the gap before them."""
        if self._backfill is None or self._patience_ends < inf:
            return False
        return time.monotonic() < self._backfill.due

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
            if recovered or news.reason != RENEWED:
                self._say(replace(news, recovered=recovered))
            if self._checkpoint:
                self._checkpoint.release(news)
            return True
        lines: list[bytes] = []
        for event in news:
            found = self._pipeline.of_history(event)
            lines += found
            self._recovered[event.channel or ""] += bool(found)
            if len(lines) >= self._full:
                self._write(lines)
                lines = []
        self._write(lines)
        return True

    def _tell(self, status: Status | Gap) -> None:
        for listener in self._listeners:
            listener(status)

    def _asked_end(self) -> End:
        """Return the end that was asked for: by a signal, the spool, or the clock."""
        if self._interrupted:
            return End(ExitStatus.DONE)
        if self._spool.failure:
            raise OutputError(self._spool.failure)
        short = self._limits.count is not None
        return End(ExitStatus.COUNT_NOT_REACHED if short else ExitStatus.DONE)

    @property
    def _enough(self) -> float:
        return inf if self._limits.count is None else self._limits.count

    def _write(self, lines: list[bytes]) -> None:
        """Write whole lines, never more than are wanted, waiting for room as long as it takes."""
        left_out = max(0, self._lines + len(lines) - self._enough)
        if self._lines + len(lines) >= self._enough:
            del lines[int(self._enough) - self._lines :]
            self._end = self._end or End(ExitStatus.DONE)
        if not lines:
            return
        self._lines += len(lines)
        if self._checkpoint is None:
            self._write_bytes(b"".join(lines))
        else:
            self._write_and_note(lines, int(left_out), self._checkpoint)
        self._note_line(time.monotonic())

    def _write_and_note(self, lines: list[bytes], left_out: int, checkpoint: Checkpoint) -> None:
        """Write lines in pieces that a kill finds whole or absent, then note what was shown.

        A line that is too long for that is noted before it begins.
        """
        for piece in _pieces(lines, self._at_most):
            if len(piece) > self._at_most:
                checkpoint.tear()
            self._write_bytes(piece)
        shown = self._pipeline.take_shown(left_out)
        checkpoint.wrote(each for each in shown if each.event == "message")

    def _note_line(self, now: float) -> None:
        if self._limits.idle is not None:
            self._idle_until = now + self._limits.idle

    def _write_bytes(self, data: bytes) -> None:
        unwritten = memoryview(data)
        # Just after a wait nothing else needs to be looked for: an own pipe tells if it is full.
        room, self._fresh = self._fresh and self._at_most > select.PIPE_BUF, False
        while unwritten:
            # A write without room would block, and then nothing could end it.
            if not room and not self._wait(for_room=True):
                continue
            room = False
            written = write_some(self._stdout, unwritten[: self._at_most])
            if written < len(unwritten) and not self._wide:
                self._wide = True
                make_room(self._stdout)
            unwritten = unwritten[written:]
            self.written += written
            self._note_progress()

    def _wait(self, *, for_room: bool = False) -> bool:
        """Wait for room in stdout or else for items, and in both cases for what ends the tail.

        Returns whether there is room.
        """
        room = False
        held = not for_room and self._live_waits
        waits = select.poll()
        waits.register(self._alarm, select.POLLIN)
        waits.register(self._stdout, select.POLLOUT if for_room else 0)
        if not (for_room or held):
            waits.register(self._spool, select.POLLIN)
        if self._backfill and self._backfill.busy:
            self._note_line(time.monotonic())  # what is still to come is no idleness
        until = min(self._deadline, self._beat(), time.monotonic() + self._progress(held))
        # Whoever waits for room is not idle, and the goodbye is over when all is written.
        until = min(until, self._stalled_at if for_room else self._patience_ends)
        until = until if for_room else min(until, self._idle_until)
        if held and self._backfill:
            until = min(until, self._backfill.due)
        seconds = min(max(0.0, until - time.monotonic()), _LONGEST_POLL)
        for descriptor, events in waits.poll(seconds * 1000 + 1):
            if descriptor == self._stdout and events & _DEAD:
                raise ReaderGone
            room = room or (descriptor == self._stdout and bool(events & select.POLLOUT))
            if descriptor == self._alarm.fileno():
                self._alarm.clear()
        now = time.monotonic()
        self._fresh = not for_room
        self._answer_request()
        idle = not for_room and now >= self._idle_until
        if self._interrupted or self._spool.failure or idle or now >= self._deadline:
            self._ask_to_end()
        if for_room and now >= self._stalled_at:
            raise OutputError(self._spool.failure or "the reader of stdout takes nothing any more")
        return room

    def _beat(self) -> float:
        """Beat if it is time, as long as the socket's thread lives; return when to beat again."""
        if self._heartbeat and time.monotonic() >= self._beat_due and self._connection.alive:
            self._heartbeat.beat()
            self._beat_due = time.monotonic() + self._heartbeat.interval
        return self._beat_due

    def _ask_to_end(self) -> None:
        """Stop the connection once; its last item ends the tail, or else our patience does."""
        if self._patience_ends == inf:
            self._deadline = self._idle_until = inf
            self._patience_ends = time.monotonic() + _GOODBYE
            self._note_progress()
            if self._spool.failure:
                self._tell(Trouble(time.time_ns(), self._spool.failure))
            self._connection.stop()

    def _note_progress(self) -> None:
        """A slow reader may take its time to the last byte, but once we end it must not stall."""
        if self._patience_ends < inf:
            self._stalled_at = time.monotonic() + _STALL


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
