"""Writes lines to stderr without waiting for whoever reads it.

Events go on while a pager is paused or a parent process leaves the pipe full: what finds no room is
kept up to a bound, the oldest lines are dropped first, and how many were is said before the rest.
"""

import errno
import os
import select
import time
from collections import deque
from collections.abc import Callable
from math import inf

from ..sinks.stdout import open_without_blocking

_MOMENT = 0.05
"""Seconds for which a line waits for room; without room before that, the next ones do not wait."""
_KEPT = 256 * 1024
"""Bytes of lines that wait for room."""
_TRY_AGAIN = 1.0
_NOBODY = (errno.EPIPE, errno.EBADF, errno.ECONNRESET)


class StderrWriter:
    """Lines for `descriptor`, in `encoding`; for one thread.

    The descriptor's own flags are left as they are: other processes share them.
    """

    def __init__(
        self,
        descriptor: int,
        encoding: str = "utf-8",
    ) -> None:
        self._own = open_without_blocking(descriptor)
        self._descriptor = descriptor if self._own is None else self._own
        self._encoding = encoding
        self.line_of: Callable[[str], str] = "chatapp-tail: {}".format
        """Makes a line of a sentence about lines that were dropped."""
        self._waiting: deque[bytes] = deque()
        self._size = 0
        self._begun = b""
        """What is left of a line of which some is written."""
        self._dropped = 0
        self._stuck = False
        self._gone = False

    def write(self, line: str) -> None:
        """Write a line, or keep it until there is room; waits for a moment at most."""
        if not self._gone:
            self._keep(self._encoded(line))
            self._flush(0.0 if self._stuck else _MOMENT)

    def retry(self) -> float:
        """Write what waits, as far as there is room; return in how many seconds to call again."""
        if not self._unfinished:
            return inf
        self._flush(0.0)
        return _TRY_AGAIN if self._unfinished else inf

    def finish(self, seconds: float) -> None:
        """Write what waits; what finds no room for as long as that is given up."""
        self._flush(seconds)

    def close(self) -> None:
        """Release the descriptor, if it is an own one."""
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
        while self._size > _KEPT and len(self._waiting) > 1:
            self._size -= len(self._waiting.popleft())
            self._dropped += 1

    def _flush(self, patience: float) -> None:
        until = time.monotonic() + patience
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
        """Write as much as cannot block once there is room; return whether to go on."""
        try:
            written = os.write(self._descriptor, self._begun[: select.PIPE_BUF])
        except BlockingIOError:  # another process was faster
            written = 0
        except OSError as error:
            self._gone = error.errno in _NOBODY
            return False  # a full disk may have room again
        self._begun = self._begun[written:]
        return True
