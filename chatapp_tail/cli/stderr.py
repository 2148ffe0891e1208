"""Writes lines to stderr without blocking on its reader.

The tail continues while a pager is paused or a parent process leaves the pipe full. Lines without
room are kept up to a bound; beyond it the oldest are dropped, and their number is reported.
"""

import errno
import os
import select
import time
from collections import deque
from collections.abc import Callable
from math import inf

from ..sinks.stdout import open_without_blocking

_WRITE_TIMEOUT = 0.05
"""Seconds for which a line waits for room; after a timeout, the next lines do not wait."""
_MAX_WAITING = 256 * 1024
"""Bytes of lines that wait for room."""
_RETRY_EVERY = 1.0
_CLOSED = (errno.EPIPE, errno.EBADF, errno.ECONNRESET)


class StderrWriter:
    """Writes lines to `descriptor` in `encoding`; for one thread.

    The flags of the descriptor stay unchanged, because other processes share them.
    """

    def __init__(self, descriptor: int, encoding: str = "utf-8") -> None:
        self._own = open_without_blocking(descriptor)
        """The descriptor reopened with O_NONBLOCK; None where that is not possible."""
        self._descriptor = descriptor if self._own is None else self._own
        """The descriptor to write to."""
        self._encoding = encoding
        """For characters that it lacks, escapes are written."""
        self.line_of: Callable[[str], str] = "chatapp-tail: {}".format
        """Formats the sentence about dropped lines."""
        self._waiting: deque[bytes] = deque()
        """Lines without room, oldest first."""
        self._size = 0
        """Bytes of them."""
        self._begun = b""
        """The rest of a partially written line."""
        self._dropped = 0
        """Lines dropped and not yet reported."""
        self._stuck = False
        """Whether the last write found no room, so that the next does not wait."""
        self._gone = False
        """Whether nobody can read stderr any more."""

    def write(self, line: str) -> None:
        """Write a line, or keep it if there is no room within a moment."""
        if not self._gone:
            self._keep(self._encoded(line))
            self._flush(0.0 if self._stuck else _WRITE_TIMEOUT)

    def retry(self) -> float:
        """Write waiting lines as far as there is room; return the seconds until the next call."""
        if not self._unfinished:
            return inf
        self._flush(0.0)
        return _RETRY_EVERY if self._unfinished else inf

    def finish(self, seconds: float) -> None:
        """Write waiting lines; give up those without room after `seconds`."""
        self._flush(seconds)

    def close(self) -> None:
        """Close the reopened descriptor, if there is one."""
        if self._own is not None:
            os.close(self._own)
        self._own, self._gone = None, True

    @property
    def _unfinished(self) -> bool:
        return not self._gone and bool(self._begun or self._dropped or self._waiting)

    def _encoded(self, line: str) -> bytes:
        return f"{line}\n".encode(self._encoding, "backslashreplace")

    def _keep(self, line: bytes) -> None:
        self._waiting.append(line)
        self._size += len(line)
        while self._size > _MAX_WAITING and len(self._waiting) > 1:
            self._size -= len(self._waiting.popleft())
            self._dropped += 1

    def _flush(self, timeout: float) -> None:
        until = time.monotonic() + timeout
        while self._unfinished:
            self._begun = self._begun or self._next()
            if not self._has_room(until) or not self._write_some():
                self._stuck = True
                return
        self._stuck = False

    def _next(self) -> bytes:
        if self._dropped:
            notices = "1 notice" if self._dropped == 1 else f"{self._dropped:,} notices"
            self._dropped = 0
            return self._encoded(self.line_of(f"{notices} dropped since nobody read stderr"))
        line = self._waiting.popleft()
        self._size -= len(line)
        return line

    def _has_room(self, until: float) -> bool:
        waits = select.poll()
        waits.register(self._descriptor, select.POLLOUT)
        return bool(waits.poll(max(0.0, until - time.monotonic()) * 1000))

    def _write_some(self) -> bool:
        """Write as much as cannot block once there is room; return whether to continue."""
        try:
            written = os.write(self._descriptor, self._begun[: select.PIPE_BUF])
        except BlockingIOError:  # another process took the room
            written = 0
        except OSError as error:
            self._gone = error.errno in _CLOSED
            return False  # a full disk may have room later
        self._begun = self._begun[written:]
        return True
