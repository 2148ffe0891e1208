"""`-o json`: one JSON object a line, version 1, with the item byte for byte."""

import time
from collections.abc import Sequence
from functools import lru_cache

import msgspec

from ..chatapp.events import Decoded, Record

_encode = msgspec.json.encode
_REMEMBERED = 1000


def format_ndjson(_: Decoded, kept: Sequence[Record]) -> list[bytes]:
    """Return one line a record."""
    return [encode(record) for record in kept]


def encode(record: Record) -> bytes:
    """Return a record as its line; members in the documented order, `data` as it came."""
    # Names of any length may come; only reasonable ones are worth remembering.
    known = len(record.event) + len(record.channel or "") < _REMEMBERED
    head = (_head if known else _head.__wrapped__)(
        record.event, record.channel, record.license, record.messenger
    )
    return b"%b%b%b%b%b%b%b%d,%b%d%b%b%b}\n" % (
        head[0],
        _encode(record.id),
        head[1],
        timestamp(record.received),
        b'","source":"',
        record.source.encode(),
        b'","queue":' + _encode(record.queue) + b',"part":',
        record.part,
        b'"parts":',
        record.parts,
        b',"encoding":"text"' if record.encoding else b"",
        b',"data":',
        record.data,
    )


@lru_cache(maxsize=4096)
def _head(
    event: str, channel: str | None, license_id: int | None, messenger: str | None
) -> tuple[bytes, bytes]:
    """Return what stands before and after the id; the same for thousands of records."""
    where = {"channel": channel, "license": license_id, "messenger": messenger}
    return (
        b'{"v":1,"type":"event","event":' + _encode(event) + b',"id":',
        b"," + _encode(where)[1:-1] + b',"received":"',
    )


def timestamp(nanoseconds: int) -> bytes:
    """Return a moment as RFC 3339 in UTC with microseconds: `2026-11-22T08:39:00.123456Z`."""
    seconds, rest = divmod(nanoseconds, 1_000_000_000)
    return b"%b.%06dZ" % (_second(seconds), rest // 1000)


@lru_cache(maxsize=16)
def _second(seconds: int) -> bytes:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds)).encode()
