"""Writes to stdout, and tells a reader that is gone from a disk that is full."""

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
    """Nobody reads stdout any more; that is no error."""


_WHOLE = 1024 * 1024
_ROOM = 256 * 1024


def open_nonblocking(descriptor: int, *, atomically: bool = False) -> tuple[int, int]:
    """Return another descriptor of `descriptor`'s file, and how many bytes to write to it at once.

    `atomically`: so few that a pipe takes all of them or none, whatever kills the process.

    So many never block once poll says that there is room; where the file cannot be opened without
    blocking, POSIX promises as much up to PIPE_BUF bytes.
    """
    mode = os.fstat(descriptor).st_mode
    own = open_without_blocking(descriptor)
    if own is None:
        return os.dup(descriptor), _WHOLE if stat.S_ISREG(mode) else select.PIPE_BUF
    return own, _WHOLE if stat.S_ISFIFO(mode) and not atomically else select.PIPE_BUF


def open_without_blocking(descriptor: int) -> int | None:
    """Open the pipe or terminal behind a descriptor once more, with O_NONBLOCK.

    Set on the descriptor itself, everybody who shares it would have that flag. None for other files
    and where it cannot be opened: no /proc, or a pipe or terminal of another user.
    """
    if not (stat.S_ISFIFO(os.fstat(descriptor).st_mode) or os.isatty(descriptor)):
        return None
    try:
        flags = fcntl.fcntl(descriptor, fcntl.F_GETFL) | os.O_NONBLOCK | os.O_NOCTTY
        return os.open(f"/proc/self/fd/{descriptor}", flags)
    except OSError:
        return None


def grow_pipe(pipe: int) -> None:
    """Let a pipe hold 256 KiB in place of the 64 it has on Linux: fewer turns with its reader.

    Not for everybody: what it holds is lost with its reader, and the system gives one user as much
    as 256 such pipes need.
    """
    if sys.platform == "linux":
        with suppress(OSError):  # it is no pipe, or the user's share is used up
            if fcntl.fcntl(pipe, fcntl.F_GETPIPE_SZ) < _ROOM:
                fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, _ROOM)


def write_some(descriptor: int, data: memoryview) -> int:
    """Write what is taken of `data` and return how much; 0 when there is no room just now."""
    try:
        return os.write(descriptor, data)
    except BlockingIOError:
        return 0
    except (BrokenPipeError, ConnectionResetError):
        raise BrokenPipe from None
    except OSError as error:
        raise OutputError(f"cannot write to stdout: {error.strerror}") from error


def ends_with_partial_line(descriptor: int, *, if_appended: bool = False) -> bool:
    """Return whether what is written goes behind half a line; only a file that we may read tells.

    `if_appended`: False too for a file that is not opened to append to.
    """
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        return False
    try:
        appends = fcntl.fcntl(descriptor, fcntl.F_GETFL) & os.O_APPEND
        if if_appended and not appends:
            return False
        at = os.lseek(descriptor, 0, os.SEEK_END if appends else os.SEEK_CUR)
        with _open_to_read(descriptor) as file:
            return at > 0 and os.pread(file.fileno(), 1, at - 1) not in (b"\n", b"")
    except OSError:
        return False


def _open_to_read(descriptor: int) -> BinaryIO:
    """Open the file behind a descriptor; OSError when it is not ours to read."""
    return Path(f"/dev/fd/{descriptor}").open("rb")


def _hides_its_end(descriptor: int) -> bool:
    """Return whether this is a file that can be written and not read, as systemd opens them."""
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        return False
    try:
        _open_to_read(descriptor).close()
    except OSError:
        return True
    return False


class Stdout:
    """A descriptor of our own for the file behind `descriptor`, which blocks no write if it can.

    `resumed`: a later run goes on behind what is written, so it matters what a kill leaves.
    """

    def __init__(self, descriptor: int, *, resumed: bool) -> None:
        self.written = 0
        """Bytes so far."""
        self._descriptor, self.at_most = open_nonblocking(descriptor, atomically=resumed)
        # What a pipe holds counts for a later run, so then it stays as it is.
        self._wide = resumed
        self._hides_its_end = resumed and _hides_its_end(descriptor)

    def fileno(self) -> int:
        """Return the descriptor."""
        return self._descriptor

    def write(self, data: memoryview) -> int:
        """Write some of `data` as far as there is room, and return how much."""
        written = write_some(self._descriptor, data[: self.at_most])
        if written < len(data) and not self._wide:
            self._wide = True
            grow_pipe(self._descriptor)
        self.written += written
        return written

    def may_tear(self, size: int) -> bool:
        """Return whether a kill may leave part of so many bytes that the next run cannot see."""
        return size > self.at_most or self._hides_its_end

    def close(self) -> None:
        """Release the descriptor."""
        os.close(self._descriptor)


def write_all(descriptor: int, data: bytes) -> None:
    """Write all of `data`, however long its reader takes."""
    unwritten = memoryview(data)
    while unwritten:
        written = write_some(descriptor, unwritten)
        if not written:
            select.select([], [descriptor], [])
        unwritten = unwritten[written:]
