"""Writes lines to stdout, up to a count, and commits to the checkpoint what is written."""

import select
from collections.abc import Callable, Iterator, Sequence
from itertools import accumulate
from math import inf

from ..history.checkpoint import Checkpoint
from ..sinks.stdout import BrokenPipe, Stdout, ends_with_partial_line
from .output import OutputStalled
from .pipeline import Pipeline

_DEAD = select.POLLERR | select.POLLHUP | select.POLLNVAL
_LINES_PER_COMMIT = 16
"""With a checkpoint, lines per write and commit; a SIGKILL in between duplicates at most these."""


class LineWriter:
    """Writes whole lines that the pipeline returned, at most `count` of them.

    `wait_for_room` waits, then returns whether stdout has room; OutputStalled when it gives up.
    """

    def __init__(
        self,
        stdout: Stdout,
        pipeline: Pipeline[bytes],
        checkpoint: Checkpoint | None,
        *,
        count: int | None,
        wait_for_room: Callable[[], bool],
    ) -> None:
        self._stdout = stdout
        self.just_polled = False
        """Whether the caller has polled since the last write, so that the next needs no poll."""
        self._pipeline = pipeline
        self._checkpoint = checkpoint
        self._wait_for_room = wait_for_room
        self._wanted = inf if count is None else count
        """Lines that are still to be written."""

    @property
    def complete(self) -> bool:
        """Whether as many lines are written as are wanted."""
        return self._wanted <= 0

    @property
    def unsettled(self) -> int:
        """Nothing: what is written is settled."""
        return 0

    @property
    def progress(self) -> int:
        """Bytes written so far."""
        return self._stdout.written

    @property
    def batch_size(self) -> float:
        """How many lines to collect before they are written."""
        return self._wanted if self._checkpoint is None else min(self._wanted, _LINES_PER_COMMIT)

    def begin(self) -> None:
        """End a line in the middle of which the last run was killed."""
        if self._checkpoint is None:
            if ends_with_partial_line(self._stdout.fileno(), if_appended=True):
                self._write_bytes(b"\n")
        elif self._checkpoint.partial_line or ends_with_partial_line(self._stdout.fileno()):
            self._write_bytes(b"\n")
            self._checkpoint.commit(())

    def write(self, lines: list[bytes], position: int = 0) -> bool:
        """Write lines, without those beyond the count; return whether there were any.

        With them all items of the journal up to `position` are settled.
        """
        surplus = int(max(0, len(lines) - self._wanted))
        if surplus:
            del lines[-surplus:]
            self._pipeline.leave_out(surplus)
        if not lines:
            return False
        self._wanted -= len(lines)
        before = self._stdout.written
        try:
            if self._checkpoint is None:
                self._write_bytes(b"".join(lines))
            else:
                self._write_and_commit(lines, surplus, self._checkpoint, position)
        except OutputStalled as stalled:
            stalled.events += _count_unwritten(lines, self._stdout.written - before)
            raise
        return True

    def write_meta(self, line: bytes) -> None:
        """Write a line that is no event's and does not count."""
        if self._checkpoint is None or not self._stdout.may_tear(len(line)):
            self._write_bytes(line)
            return
        self._checkpoint.mark_partial()
        self._write_bytes(line)
        self._checkpoint.commit(())

    def relink(self, channel: str) -> None:
        """Do nothing: lines are independent of links."""

    def after(self, action: Callable[[], None]) -> None:
        """Call `action`: what was given is written."""
        action()

    def register(self, waits: "select.poll", *, for_room: bool) -> None:
        """Wait for the end of stdout's reader, and for room."""
        waits.register(self._stdout, select.POLLOUT if for_room else 0)

    def ready(self, descriptor: int, events: int) -> bool:
        """Return whether stdout has room; BrokenPipe if its reader is gone."""
        if descriptor != self._stdout.fileno():
            return False
        if events & _DEAD:
            raise BrokenPipe
        return bool(events & select.POLLOUT)

    def finish(self) -> None:
        """Return: what was given is written."""

    def explain_stall(self, left: int, seconds: str) -> str:
        """Return that the reader of stdout took nothing."""
        events = count_of_events(left)
        return f"ended with {events} not written: the reader of stdout took nothing for {seconds}"

    def close(self) -> None:
        """Release stdout's second descriptor."""
        self._stdout.close()

    def _write_and_commit(
        self, lines: list[bytes], surplus: int, checkpoint: Checkpoint, position: int
    ) -> None:
        """Write lines in pieces that a kill leaves whole or absent, then commit their messages.

        A piece that a kill may tear all the same is marked as partial before it is written.
        """
        for piece in _pieces(lines, self._stdout.at_most):
            if self._stdout.may_tear(len(piece)):
                checkpoint.mark_partial()
            self._write_bytes(piece)
        records = self._pipeline.take_written(surplus)
        messages = [record for record in records if record.event == "message"]
        checkpoint.commit(messages, position - 1 if surplus else position)

    def _write_bytes(self, data: bytes) -> None:
        unwritten = memoryview(data)
        # Right after a poll nothing else is due, and a non-blocking pipe tells that it is full.
        has_room = self.just_polled and self._stdout.at_most > select.PIPE_BUF
        self.just_polled = False
        while unwritten:
            # A write without room would block, and then nothing could end it.
            if not has_room and not self._wait_for_room():
                continue
            has_room = False
            if written := self._stdout.write(unwritten):
                unwritten = unwritten[written:]


def count_of_events(count: int) -> str:
    """Return a count for people."""
    return f"{count:,} event{'' if count == 1 else 's'}"


def _count_unwritten(lines: Sequence[bytes], written: int) -> int:
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
