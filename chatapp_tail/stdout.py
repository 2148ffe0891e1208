"""Writes to stdout, and tells a reader that is gone from a disk that is full."""

import fcntl
import os
import select
import stat
import sys
from contextlib import suppress
from pathlib import Path

from .errors import OutputError


class ReaderGone(Exception):
    """Nobody reads stdout any more; that is no error."""


_WHOLE = 1024 * 1024
_ROOM = 256 * 1024


def without_blocking(descriptor: int, *, atomically: bool = False) -> tuple[int, int]:
    """Return another descriptor of `descriptor`'s file, and how many bytes to write to it at once.

    `atomically`: so few that a pipe takes all of them or none, whatever kills the process.

    So many never block once poll says that there is room. A pipe is opened anew, with O_NONBLOCK:
    set on the descriptor we were given, everybody who shares that would have it. Where it cannot be
    opened (no /proc, a pipe of somebody else), POSIX promises as much up to PIPE_BUF bytes.
    """
    mode = os.fstat(descriptor).st_mode
    if stat.S_ISFIFO(mode):
        try:
            flags = fcntl.fcntl(descriptor, fcntl.F_GETFL) | os.O_NONBLOCK
            at_most = select.PIPE_BUF if atomically else _WHOLE
            return os.open(f"/proc/self/fd/{descriptor}", flags), at_most
        except OSError:
            return os.dup(descriptor), select.PIPE_BUF
    return os.dup(descriptor), _WHOLE if stat.S_ISREG(mode) else select.PIPE_BUF


def make_room(pipe: int) -> None:
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
        raise ReaderGone from None
    except OSError as error:
        raise OutputError(f"cannot write to stdout: {error.strerror}") from error


def ends_mid_line(descriptor: int) -> bool:
    """Return whether what is written goes behind half a line; only a file can tell."""
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        return False
    try:
        appends = fcntl.fcntl(descriptor, fcntl.F_GETFL) & os.O_APPEND
        at = os.lseek(descriptor, 0, os.SEEK_END if appends else os.SEEK_CUR)
        with Path(f"/dev/fd/{descriptor}").open("rb") as file:
            return at > 0 and os.pread(file.fileno(), 1, at - 1) not in (b"\n", b"")
    except OSError:
        return False  # not ours to read, or a system whose /dev/fd cannot open it anew


def write_all(descriptor: int, data: bytes) -> None:
    """Write all of `data`, however long its reader takes."""
    unwritten = memoryview(data)
    while unwritten:
        written = write_some(descriptor, unwritten)
        if not written:
            select.select([], [descriptor], [])
        unwritten = unwritten[written:]
