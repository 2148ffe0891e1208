"""One stdout that many runs write to, one after the other, and its reader.

A pipe, as in `while true; do chatapp-tail --resume; done | consumer`, or a file, as in
`>>events.ndjson`. Offsets count from the first byte of the first run.
"""

import fcntl
import json
import os
import select
import struct
import termios
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Self

_BLOCK = 256 * 1024
_LOOK_EVERY = 0.01
_SIP = 1024


@dataclass(frozen=True, slots=True)
class OutputLine:
    """One line, from its first byte to behind its newline; `at` (monotonic) is when it was read.

    `number` is that of a message, None in a line that is none; then `text` has how it begins.
    """

    start: int
    end: int
    at: float
    number: int | None = None
    chat: str = ""
    time: int = 0
    source: str = ""
    text: str = ""


class SharedOutput(ABC):
    """Read by a thread as long as the block lasts; `changed` is notified of every new line."""

    def __init__(self) -> None:
        self.lines: list[OutputLine] = []
        self.changed = threading.Condition()
        self.sips_per_second: float | None = None
        """How fast the reader is, in KiB a second; None: as fast as it can."""
        self._numbers: set[int] = set()
        self._whole_until = 0
        self._partial = b""
        self._read = 0
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._collect)

    @property
    @abstractmethod
    def stdout(self) -> int:
        """The descriptor that the runs inherit."""

    @abstractmethod
    def written(self) -> int:
        """Return how many bytes were written, read or not; nobody may write meanwhile."""

    @abstractmethod
    def _collect(self) -> None:
        """Read until the end."""

    def _take(self, data: bytes) -> None:
        """Take what was read; `_read` is still the offset of its first byte."""
        *whole, rest = (self._partial + data).split(b"\n")
        start = self._read - len(self._partial)
        now = time.monotonic()
        with self.changed:
            for content in whole:
                end = start + len(content) + 1
                self._add(_line(content, start, end, now))
                start = end
            self._partial = rest
            self._read += len(data)
            self.changed.notify_all()

    def _take_end(self) -> None:
        if self._partial:
            with self.changed:
                self._add(_line(self._partial, self._read - len(self._partial), self._read, 0.0))

    def _add(self, line: OutputLine) -> None:
        self.lines.append(line)
        if line.number is not None:
            self._numbers.add(line.number)
            while self._whole_until + 1 in self._numbers:
                self._whole_until += 1

    def wait_for(self, happened: Callable[[], object], seconds: float) -> bool:
        """Wait until what is read makes it so, `seconds` at most."""
        with self.changed:
            return bool(self.changed.wait_for(happened, max(0.0, seconds)))

    def wait_whole(self, number: int, seconds: float) -> bool:
        """Wait until every message up to this number was read."""
        return self.wait_for(lambda: self._whole_until >= number, seconds)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Read the rest, and the end. May be repeated."""
        self.sips_per_second = None
        self._closing.set()
        self._thread.join()


class PipeOutput(SharedOutput):
    """A pipe, read as fast as `sips_per_second` says."""

    def __init__(self) -> None:
        super().__init__()
        self._reading, self._writing = os.pipe()
        self._lock = threading.Lock()

    @property
    def stdout(self) -> int:
        return self._writing

    def written(self) -> int:
        with self._lock:
            return self._read + _unread(self._reading)

    def _collect(self) -> None:
        while True:
            ready, _, _ = select.select([self._reading], [], [], _LOOK_EVERY)
            speed = self.sips_per_second
            if ready:
                with self._lock:
                    self._take(os.read(self._reading, _SIP if speed else _BLOCK))
            elif self._closing.is_set():
                break
            if speed:
                self._closing.wait(1.0 / speed)
        self._take_end()

    def close(self) -> None:
        if not self._closing.is_set():
            super().close()
            os.close(self._writing)
            os.close(self._reading)


class FileOutput(SharedOutput):
    """A file that is opened for append."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._appended = path.open("ab", buffering=0)
        self._reading = path.open("rb", buffering=0)

    @property
    def stdout(self) -> int:
        return self._appended.fileno()

    def written(self) -> int:
        return os.fstat(self.stdout).st_size

    def _collect(self) -> None:
        # A file tells nobody that it grows.
        while (data := self._reading.read(_BLOCK)) or not self._closing.wait(_LOOK_EVERY):
            if data:
                self._take(data)
        self._take_end()

    def close(self) -> None:
        if not self._closing.is_set():
            super().close()
            self._appended.close()
            self._reading.close()


def _unread(pipe: int) -> int:
    found: int = struct.unpack("i", fcntl.ioctl(pipe, termios.FIONREAD, b"\0" * 4))[0]
    return found


def _line(content: bytes, start: int, end: int, at: float) -> OutputLine:
    try:
        record = json.loads(content)
        data = record["data"]
        number, chat, moment = data["id"], data["chat"]["id"], data["time"]
        return OutputLine(start, end, at, number, chat, moment, record["source"])
    except (ValueError, LookupError, TypeError):
        return OutputLine(start, end, at, text=content[:100].decode("utf-8", "replace"))
