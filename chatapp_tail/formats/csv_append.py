"""Appends a table of `-o csv` to a file that has rows already."""

import fcntl
import os
import stat
from pathlib import Path

from .csv import Opening, header, opening_for


def csv_opening(descriptor: int) -> Opening:
    """Return what is written before the first row to a file, pipe or terminal."""
    if not (size := _bytes_before(descriptor)):
        return Opening(header())
    try:
        # The descriptor is open for writing only, as with >> of a shell.
        with Path(f"/dev/fd/{descriptor}").open("rb") as file:
            return opening_for(file, size)
    except OSError:
        return Opening(b"")  # not readable: the file is known to have content, and nothing else


def _bytes_before(descriptor: int) -> int:
    """Return the size of a file before the bytes that will be written to it."""
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        return 0
    appends = fcntl.fcntl(descriptor, fcntl.F_GETFL) & os.O_APPEND
    return os.lseek(descriptor, 0, os.SEEK_END if appends else os.SEEK_CUR)
