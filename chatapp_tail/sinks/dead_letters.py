"""Keeps on disk, with the reason, what a destination refused: `chatapp-tail replay` reads it."""

import errno
import os
import stat
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec

from ..errors import OutputError
from ..files import state_directory
from ..formats.ndjson import encode
from ..formats.timestamps import timestamp
from ..redaction import redact
from .delivery import Refused

LONGEST_REASON = 500
"""Characters."""

_FLAGS = os.O_RDWR | os.O_APPEND | os.O_NOCTTY
_encode = msgspec.json.encode


class DeadLetters:
    """Appends to the file at `path`, which is made when there is something to append.

    It is opened each time, so that it may be moved or removed between two dead letters.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def append(
        self,
        refused: Sequence[Refused],
        destination: str,
        *,
        now: Callable[[], int] = time.time_ns,
    ) -> None:
        """Append a line for each record of the deliveries, all on disk when this returns.

        `now` returns nanoseconds since the epoch. OutputError when they cannot be written.
        """
        lines = [line for one in refused for line in format_dead_letters(one, destination, now())]
        try:
            self._append(b"".join(lines))
        except OSError as error:
            raise OutputError(
                f"cannot write dead letters to {self.path}: {error.strerror}"
            ) from error

    def _append(self, data: bytes) -> None:
        descriptor = _open(self.path)
        try:
            # A device, such as /dev/null, has no end and nothing to sync.
            mode = os.fstat(descriptor).st_mode
            is_file = stat.S_ISREG(mode)
            if not (is_file or stat.S_ISCHR(mode)):  # a pipe keeps nothing
                raise OSError(errno.EINVAL, "it is not a file")
            if is_file and _ends_with_partial_line(descriptor):
                data = b"\n" + data
            unwritten = memoryview(data)
            while unwritten:
                unwritten = unwritten[os.write(descriptor, unwritten) :]
            if is_file:
                os.fsync(descriptor)
        finally:
            os.close(descriptor)


def dead_letters_path(name: str) -> Path:
    """Return where the dead letters of `--resume=NAME` are; OutputError without a home."""
    directory = state_directory()
    if directory is None:
        raise OutputError(
            "there is no home directory to keep dead letters in: set HOME or XDG_STATE_HOME"
        )
    return directory / "dead-letters" / f"{name}.ndjson"


def format_dead_letters(refused: Refused, destination: str, at: int) -> list[bytes]:
    """Return a line for each record of a delivery refused at `at` (nanoseconds)."""
    head = b'{"v":1,"type":"dead","at":"%b","destination":%b,"attempts":%d,' % (
        timestamp(at),
        _text(destination),
        refused.attempts,
    ) + b'"first":"%b","status":%b,"reason":%b,"record":' % (
        timestamp(refused.first_attempt),
        _encode(refused.status),
        _text(redact(refused.reason)[:LONGEST_REASON]),
    )
    return [head + encode(record)[:-1] + b"}\n" for record in refused.delivery.records]


def _text(text: str) -> bytes:
    """Return a text as JSON; a lone surrogate, which UTF-8 cannot have, becomes `?`."""
    return _encode(text.encode("utf-8", "replace").decode())


def _open(path: Path) -> int:
    """Open a file for appending; a new one is its owner's alone, and survives a loss of power."""
    try:
        return os.open(path, _FLAGS)
    except FileNotFoundError:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor = os.open(path, _FLAGS | os.O_CREAT, 0o600)
    _sync_directory(path.parent)
    return descriptor


def _sync_directory(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _ends_with_partial_line(descriptor: int) -> bool:
    size = os.fstat(descriptor).st_size
    return size > 0 and os.pread(descriptor, 1, size - 1) != b"\n"
