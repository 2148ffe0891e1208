"""The program with a wall clock that can be set while it runs.

`python -m tests.soak.stepped_clock FILE ARGUMENTS...`; FILE holds by how many nanoseconds the clock
is off, as `Offset` writes it. Monotonic clocks go on as they do when somebody sets the time.
"""

import mmap
import struct
import sys
import time
from pathlib import Path

_NUMBER = struct.Struct("<q")


class Offset:
    """By how many seconds the clock of the processes that read `path` is off."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.write_bytes(_NUMBER.pack(0))
        with path.open("r+b") as file:
            self._shared = mmap.mmap(file.fileno(), _NUMBER.size)

    def set(self, seconds: float) -> None:
        _NUMBER.pack_into(self._shared, 0, int(seconds * 1e9))


def _install(path: str) -> None:
    with Path(path).open("rb") as file:
        shared = mmap.mmap(file.fileno(), _NUMBER.size, access=mmap.ACCESS_READ)
    real = time.time_ns

    def time_ns() -> int:
        offset: int = _NUMBER.unpack_from(shared)[0]
        return real() + offset

    time.time_ns = time_ns
    time.time = lambda: time_ns() / 1e9


if __name__ == "__main__":
    _install(sys.argv.pop(1))
    from chatapp_tail.cli import main

    main()
