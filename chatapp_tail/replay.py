"""Reads saved lines of `-o json` or `-o raw`, and dead letters, plain or compressed.

A record of `-o json` is restored with its item byte for byte; its source becomes `replay`, and its
hash is computed from the item, so that lines without one can be read. A dead letter is read as the
record in it. A frame of `-o raw` has no event name, channel or time: they are derived from its
`meta` and queue, and the time is when it is read.
"""

import json
import shlex
import sys
import zlib
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime, timedelta
from importlib import import_module
from math import inf
from pathlib import Path
from time import time_ns
from typing import BinaryIO, NamedTuple, Protocol

import msgspec
from msgspec import Raw

from . import raw_json
from .chatapp.channels import of_license
from .chatapp.records import DecodedEvent, Record, Source, decode
from .errors import UsageError
from .items import ChannelEvent

LONGEST = 64 * 1024 * 1024
"""Limit of a line in bytes; the rest of a longer one is skipped, so that it is broken."""

_STDIN = "stdin"
_CHUNK = 64 * 1024
# zstd compresses logs to a thousandth or less, and returns all output of a chunk at once.
_COMPRESSED_CHUNK = 512


class Broken(NamedTuple):
    """A line that cannot be replayed; `line` counts from 1."""

    file: str
    line: int
    reason: str


class _Unreadable(Exception):
    """The rest of a file cannot be read."""


OnBroken = Callable[[Broken], None]

OnRecord = Callable[[], None]


def read_saved(
    files: Iterable[str],
    on_broken: OnBroken,
    on_record: OnRecord,
    *,
    stdin: BinaryIO,
    now: Callable[[], int] = time_ns,
) -> Iterator[DecodedEvent]:
    """Yield the saved events, one per record or frame; the file `-` is `stdin`.

    `on_record` is called for each record or frame that was read; records other than events (status,
    gap) are skipped. `on_broken` is called for any other line, and for the end of a truncated file;
    later lines and files are still read. `now` returns nanoseconds since the epoch. UsageError when
    a file cannot be opened, or needs a library or another program.
    """
    for file in files:
        if file == "-":
            yield from _read_stream(_STDIN, stdin, on_broken, on_record, now)
            continue
        try:
            stream = Path(file).open("rb")  # noqa: SIM115 - closed below; only opening may fail here
        except OSError as error:
            raise UsageError(f"cannot read {file}: {error.strerror}") from None
        with stream:
            yield from _read_stream(file, stream, on_broken, on_record, now)


def _read_stream(
    file: str,
    stream: BinaryIO,
    on_broken: OnBroken,
    on_record: OnRecord,
    now: Callable[[], int],
) -> Iterator[DecodedEvent]:
    number = 0
    try:
        for number, line in enumerate(_lines(_decompressed(file, stream)), 1):
            if not line.strip():
                continue
            try:
                decoded = parse_line(line, now)
            except ValueError as error:
                on_broken(Broken(file, number, str(error)))
                continue
            on_record()
            if decoded:
                yield decoded
    except (OSError, _Unreadable) as error:
        on_broken(Broken(file, number + 1, f"the rest cannot be read: {error}"))


# From bytes to lines.


class _Decompressor(Protocol):
    """What zlib, zstandard and Python's own zstd have in common."""

    @property
    def eof(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    def decompress(self, data: bytes, /) -> bytes: ...


class _Compression(NamedTuple):
    new: Callable[[], _Decompressor]
    error: type[Exception]


def _gzip(_: str) -> _Compression:
    return _Compression(lambda: zlib.decompressobj(wbits=31), zlib.error)


def _zstd(file: str) -> _Compression:
    if sys.version_info >= (3, 14):
        own = import_module("compression.zstd")
        return _Compression(own.ZstdDecompressor, own.ZstdError)
    try:
        library = import_module("zstandard")
    except ImportError:
        library_or_pipe = f"pip install zstandard, or use {_piped('zstd', file)}"
        raise UsageError(f"{file} is compressed with zstd: {library_or_pipe}") from None
    return _Compression(lambda: library.ZstdDecompressor().decompressobj(), library.ZstdError)


def _piped(program: str, file: str) -> str:
    """Return the command that replays a file which another program decompresses."""
    command = f"{program} -dc" if file == _STDIN else f"{program} -dc {shlex.quote(file)}"
    return f"{command} | chatapp-tail replay -"


def _foreign(program: str) -> Callable[[str], _Compression]:
    def refuse(file: str) -> _Compression:
        raise UsageError(f"{file} is compressed with {program}: use {_piped(program, file)}")

    return refuse


_COMPRESSIONS = {
    b"\x1f\x8b": _gzip,
    b"\x28\xb5\x2f\xfd": _zstd,
    b"BZh": _foreign("bzip2"),
    b"\xfd7zXZ\0": _foreign("xz"),
}
"""First bytes of a compressed file, with which no JSON begins -> how to read it."""


def _decompressed(file: str, stream: BinaryIO) -> Iterator[bytes]:
    read = getattr(stream, "read1", stream.read)
    head = b""
    while len(head) < max(map(len, _COMPRESSIONS)) and (more := read(_COMPRESSED_CHUNK)):
        head += more
    for magic, compression in _COMPRESSIONS.items():
        if head.startswith(magic):
            yield from _inflated(head, read, compression(file))
            return
    yield head
    while chunk := read(_CHUNK):
        yield chunk


def _inflated(
    data: bytes, read: Callable[[int], bytes], compression: _Compression
) -> Iterator[bytes]:
    """Decompress one stream after another: `cat a.gz b.gz` is valid."""
    stream = compression.new()
    while data:
        if stream.eof:
            # The last block of a tape or disk may be padded with zeros.
            data = data.lstrip(b"\0") or read(_COMPRESSED_CHUNK)
            if data[:1] == b"\0" or not data:
                continue
            stream = compression.new()
        try:
            yield stream.decompress(data)
        except compression.error as error:
            raise _Unreadable(str(error)) from None
        data = stream.unused_data or read(_COMPRESSED_CHUNK)
    if not stream.eof:
        raise _Unreadable("the compressed data is cut off")


def _lines(chunks: Iterable[bytes]) -> Iterator[bytes]:
    pieces: list[bytes] = []
    size = 0
    for chunk in chunks:
        first, *others = chunk.split(b"\n")
        if size < LONGEST:
            pieces.append(first)
            size += len(first)
        for start in others:
            yield b"".join(pieces)
            pieces, size = [start], len(start)
    if size:
        yield b"".join(pieces)


# From a line to an event.


class _Saved(msgspec.Struct, gc=False):
    """A record as `-o json` wrote it."""

    event: str
    id: str
    channel: str | None
    license: int | None
    messenger: str | None
    received: str
    queue: str | None
    part: int
    parts: int
    data: Raw
    encoding: str | None = None


class _Kind(msgspec.Struct, gc=False):
    v: int | None = None
    type: str | None = None
    record: Raw = Raw()
    """Of a dead letter."""


_NOT_TEXT = "not text in UTF-8"

_decode_saved = msgspec.json.Decoder(_Saved).decode
_decode_kind = msgspec.json.Decoder(_Kind).decode


def parse_line(line: bytes, now: Callable[[], int] = time_ns) -> DecodedEvent | None:
    """Return the event of a saved line, None if it has none; ValueError says what is wrong."""
    line = line.strip()
    if not line:
        return None
    try:
        kind = _decode_kind(line)
        if kind.type == "dead" and kind.v == 1:
            line = bytes(kind.record)
            kind = _decode_kind(line)
    except (msgspec.ValidationError, RecursionError):
        kind = _Kind()
    except msgspec.DecodeError:
        return _parse_unusual(line, now)
    return _parse(kind, line, now, None)


def _parse_unusual(line: bytes, now: Callable[[], int]) -> DecodedEvent | None:
    """Parse a line that msgspec refuses, with an escaped lone surrogate in the data."""
    try:
        members = raw_json.members(line.decode())
        if members.get("type") == '"dead"':
            members = raw_json.members(members.get("record", ""))
    except UnicodeDecodeError:
        raise ValueError(_NOT_TEXT) from None
    except ValueError as error:
        raise ValueError(f"not a JSON object: {error}") from None
    data = members.get("data", "null")
    others = {name: value for name, value in members.items() if name != "data"}
    if not {"v", "type"} <= others.keys():
        return _frame(line, now)
    document = ",".join(f"{json.dumps(name)}:{value}" for name, value in others.items())
    line = f'{{{document},"data":null}}'.encode()
    try:
        return _parse(_decode_kind(line), line, now, data.encode())
    except msgspec.DecodeError as error:
        raise ValueError(f"not a record: {error}") from None


def _parse(
    kind: _Kind, line: bytes, now: Callable[[], int], data: bytes | None
) -> DecodedEvent | None:
    if kind.v is None or kind.type is None:
        return _frame(line, now)
    if kind.v != 1:
        raise ValueError(f"version {kind.v} of records is not known, a later release wrote it")
    if kind.type != "event":
        return None
    try:
        saved = _decode_saved(line)
    except msgspec.DecodeError as error:
        raise ValueError(f"not a record: {error}") from None
    return _of_record(saved, bytes(saved.data) if data is None else data)


def _of_record(saved: _Saved, data: bytes) -> DecodedEvent:
    record = Record(
        saved.event,
        saved.id,
        saved.channel,
        saved.license,
        saved.messenger,
        _nanoseconds(saved.received),
        Source.REPLAY,
        saved.queue,
        saved.part,
        saved.parts,
        data,
        saved.encoding,
    )
    return DecodedEvent(_enveloped(record), [record])


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def _nanoseconds(received: str) -> int:
    try:
        moment = datetime.fromisoformat(received)
        return (moment - _EPOCH) // _MICROSECOND * 1000
    except (ValueError, TypeError):
        raise ValueError(f"not a moment: received is {received!r}") from None


_encode = msgspec.json.encode


def _enveloped(record: Record) -> bytes:
    """Return the item of a record in ChatApp's envelope, if it came in one."""
    if record.queue is None:
        return record.data
    return b'{"queue":%b,"payload":{"data":[%b],"meta":%b}}' % (
        _encode(record.queue),
        record.data,
        _encode(
            {
                "type": record.event,
                "licenseId": record.license,
                "messengerType": record.messenger,
            }
        ),
    )


_EVENTS = {"Message": "message", "Message.Status": "messageStatus", "ChatTag": "chatTag"}
"""The part of a queue's name after `Broadcast.` -> event."""


class _Meta(msgspec.Struct, gc=False):
    type: str | None = None
    license: int | None = msgspec.field(default=None, name="licenseId")
    messenger: str | None = msgspec.field(default=None, name="messengerType")


class _Payload(msgspec.Struct, gc=False):
    meta: _Meta | None = None


class _Frame(msgspec.Struct, gc=False):
    payload: _Payload
    queue: str | None = None


_decode_frame = msgspec.json.Decoder(_Frame).decode
_decode_meta = msgspec.json.Decoder(_Meta | None).decode


def _frame(line: bytes, now: Callable[[], int]) -> DecodedEvent:
    """Decode a line of `-o raw` as an event of the channel in its `meta`."""
    try:
        frame = _decode_frame(line)
    except raw_json.DECODE_ERRORS:
        frame = _unusual_frame(line)
    meta = frame.payload.meta or _Meta()
    event = meta.type or _EVENTS.get((frame.queue or "").partition(".Broadcast.")[2], "unknown")
    return decode(ChannelEvent(now(), event, _channel(meta), line), Source.REPLAY)


def _channel(meta: _Meta) -> str | None:
    if meta.license is None or meta.messenger is None:
        return None
    return of_license(meta.license, meta.messenger)


def _unusual_frame(line: bytes) -> _Frame:
    """Read a frame in the form of a webhook, or one that msgspec refuses."""
    try:
        outer = raw_json.members(line.decode())
        inner = raw_json.members(outer["payload"]) if "payload" in outer else outer
        queue = raw_json.string(outer.get("queue"))
    except UnicodeDecodeError:
        raise ValueError(_NOT_TEXT) from None
    except ValueError as error:
        raise ValueError(f"neither a record nor a frame: {error}") from None
    if not ("payload" in outer or {"data", "meta"} <= outer.keys()):
        raise ValueError("neither a record of -o json nor a frame of -o raw")
    try:
        meta = _decode_meta(inner.get("meta", "null"))
    except raw_json.DECODE_ERRORS:
        meta = None
    return _Frame(_Payload(meta), queue)


# Pace.


def parse_speed(text: str) -> float:
    """Return the factor of a speed such as `1`, `10`, `0.5` or `max`; else ValueError."""
    try:
        speed = inf if text == "max" else float(text.removesuffix("x"))
    except ValueError:
        speed = 0.0
    if not speed > 0 or (speed == inf and text != "max"):
        raise ValueError("a speed is a number such as 1 or 10, or max")
    return speed


LONGEST_PAUSE = 86400.0
"""Seconds; records may be centuries apart, which is more than any timeout can be."""


def delay(before: int, received: int, speed: float) -> float:
    """Return the seconds between two events, received at nanoseconds; 0 if they are reversed."""
    return min(max(0, received - before) / 1e9 / speed, LONGEST_PAUSE)
