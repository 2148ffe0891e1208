"""Writes to stdout; tells a closed pipe, which is no error, from a failure such as a full disk."""

import fcntl
import os
import select
import stat
import sys
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from ..errors import OutputError


class BrokenPipe(Exception):
    """The reader of stdout has closed it, which is no error."""


_LARGE_WRITE = 1024 * 1024
"""Bytes per write where a write never blocks."""
_PIPE_SIZE = 256 * 1024


def open_nonblocking(descriptor: int, *, atomically: bool = False) -> tuple[int, int]:
    """Return another descriptor of `descriptor`'s file, and how many bytes to write at once.

    A write of so many bytes does not block after poll reported room; where the file cannot be
    opened with O_NONBLOCK, POSIX guarantees this up to PIPE_BUF bytes. With `atomically` a pipe
    takes all of these bytes or none, even if the process is killed.
    """
    mode = os.fstat(descriptor).st_mode
    own = open_without_blocking(descriptor)
    if own is None:
        return os.dup(descriptor), _LARGE_WRITE if stat.S_ISREG(mode) else select.PIPE_BUF
    return own, _LARGE_WRITE if stat.S_ISFIFO(mode) and not atomically else select.PIPE_BUF


def open_without_blocking(descriptor: int) -> int | None:
    """Reopen the pipe or terminal behind a descriptor with O_NONBLOCK.

    Set on the descriptor itself, the flag would apply to all processes that share its open file
    description. None for other files, and where reopening fails: without /proc, or for a pipe or
    terminal of another user.
    """
    if not (stat.S_ISFIFO(os.fstat(descriptor).st_mode) or os.isatty(descriptor)):
        return None
    try:
        flags = fcntl.fcntl(descriptor, fcntl.F_GETFL) | os.O_NONBLOCK | os.O_NOCTTY
        return os.open(f"/proc/self/fd/{descriptor}", flags)
    except OSError:
        return None


def grow_pipe(pipe: int) -> None:
    """Grow a pipe from the 64 KiB of Linux to 256, which means fewer switches to its reader.

    Only for a pipe that was full: its content is lost with its reader, and the system limits a user
    to the size of 256 such pipes.
    """
    if sys.platform == "linux":
        with suppress(OSError):  # not a pipe, or the user's limit is reached
            if fcntl.fcntl(pipe, fcntl.F_GETPIPE_SZ) < _PIPE_SIZE:
                fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, _PIPE_SIZE)


def write_some(descriptor: int, data: memoryview) -> int:
    """Write a prefix of `data` and return its length; 0 when there is no room."""
    try:
        return os.write(descriptor, data)
    except BlockingIOError:
        return 0
    except (BrokenPipeError, ConnectionResetError):
        raise BrokenPipe from None
    except OSError as error:
        raise OutputError(f"cannot write to stdout: {error.strerror}") from error


def ends_with_partial_line(descriptor: int, *, if_appended: bool = False) -> bool:
    """Return whether the next write continues a partial line; False unless in a readable file.

    With `if_appended` also False for a file that is not open for appending.
    """
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        return False
    try:
        appends = fcntl.fcntl(descriptor, fcntl.F_GETFL) & os.O_APPEND
        if if_appended and not appends:
            return False
        offset = os.lseek(descriptor, 0, os.SEEK_END if appends else os.SEEK_CUR)
        with _open_to_read(descriptor) as file:
            return offset > 0 and os.pread(file.fileno(), 1, offset - 1) not in (b"\n", b"")
    except OSError:
        return False


def _open_to_read(descriptor: int) -> BinaryIO:
    """Open the file behind a descriptor; OSError without permission to read it."""
    return Path(f"/dev/fd/{descriptor}").open("rb")


def _hides_its_end(descriptor: int) -> bool:
    """Return whether this is a file with permission to write and not to read, as of systemd."""
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        return False
    try:
        _open_to_read(descriptor).close()
    except OSError:
        return True
    return False


class Stdout:
    """Another descriptor for the file behind `descriptor`, non-blocking where possible.

    `resumed`: a later run continues the output, so a kill must not leave a partial line unnoticed.
    """

    def __init__(self, descriptor: int, *, resumed: bool) -> None:
        self.written = 0
        """Bytes so far."""
        self._descriptor, self.at_most = open_nonblocking(descriptor, atomically=resumed)
        # A later run counts the content of the pipe as written, so the pipe is not grown.
        self._may_grow = not resumed
        self._hides_its_end = resumed and _hides_its_end(descriptor)

    def fileno(self) -> int:
        """Return the descriptor."""
        return self._descriptor

    def write(self, data: memoryview) -> int:
        """Write a prefix of `data` as far as there is room, and return its length."""
        written = write_some(self._descriptor, data[: self.at_most])
        if written < len(data) and self._may_grow:
            self._may_grow = False
            grow_pipe(self._descriptor)
        self.written += written
        return written

    def may_tear(self, size: int) -> bool:
        """Return whether a kill may leave part of `size` bytes that the next run cannot detect."""
        return size > self.at_most or self._hides_its_end

    def close(self) -> None:
        """Release the descriptor."""
        os.close(self._descriptor)


def write_all(descriptor: int, data: bytes) -> None:
    """Write all of `data`, waiting for room without a timeout."""
    unwritten = memoryview(data)
    while unwritten:
        written = write_some(descriptor, unwritten)
        if not written:
            select.select([], [descriptor], [])
        unwritten = unwritten[written:]
