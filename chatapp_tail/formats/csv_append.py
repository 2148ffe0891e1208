"""How a table of `-o csv` goes on in a file that holds rows already."""

import fcntl
import os
import stat
from pathlib import Path

from .csv import header, opening_for


def csv_opening(descriptor: int) -> bytes:
    """Return what goes before the first row that is written to a file, pipe or terminal."""
    if not (size := _bytes_before(descriptor)):
        return header()
    try:
        # It is open for writing only, as a shell's >> opens it.
        with Path(f"/dev/fd/{descriptor}").open("rb") as file:
            return opening_for(file, size)
    except OSError:
        return b""  # not ours to read, so all that is known is that something stands there


def _bytes_before(descriptor: int) -> int:
    """Return how much of a file stands before what will be written to it."""
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        return 0
    appends = fcntl.fcntl(descriptor, fcntl.F_GETFL) & os.O_APPEND
    return os.lseek(descriptor, 0, os.SEEK_END if appends else os.SEEK_CUR)
