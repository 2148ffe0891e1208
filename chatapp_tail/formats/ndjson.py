"""`-o json`: one JSON object per line, version 1, with the item byte for byte."""

from collections.abc import Sequence

import msgspec

from ..chatapp.records import DecodedEvent, Record
from .timestamps import timestamp

_encode = msgspec.json.encode
_MOST_REMEMBERED = 4096
_LONGEST_REMEMBERED = 1000

_Names = tuple[str, str | None, int | None, str | None, str | None, str]
_remembered: dict[_Names, tuple[bytes, bytes, bytes]] = {}
_ONLY = b'1,"parts":1'


def format_ndjson(_: DecodedEvent, kept: Sequence[Record]) -> list[bytes]:
    """Return one line per record."""
    if len(kept) == 1:  # nearly always, and a comprehension is a call
        return [encode(kept[0])]
    return [encode(record) for record in kept]


def encode(record: Record) -> bytes:
    """Return the line of a record; members in the documented order, `data` as received."""
    names = (
        record.event,
        record.channel,
        record.license,
        record.messenger,
        record.queue,
        record.source,
    )
    event, where, source = _remembered.get(names) or _pieces(names)
    return b"".join(
        (
            event,
            _encode(record.id),
            b',"hash":"',
            record.hash.encode(),
            where,
            timestamp(record.received),
            source,
            _ONLY
            if record.part == record.parts == 1
            else b'%d,"parts":%d' % (record.part, record.parts),
            b',"encoding":"text","data":' if record.encoding else b',"data":',
            record.data,
            b"}\n",
        )
    )


def _pieces(names: _Names) -> tuple[bytes, bytes, bytes]:
    """Return the parts before the id, after the hash and after the time; shared by many records."""
    event, channel, license_id, messenger, queue, source = names
    where = {"channel": channel, "license": license_id, "messenger": messenger}
    pieces = (
        b'{"v":1,"type":"event","event":' + _encode(event) + b',"id":',
        b'",' + _encode(where)[1:-1] + b',"received":"',
        b'","source":"%b","queue":%b,"part":' % (source.encode(), _encode(queue)),
    )
    # Names may have any length; only short ones are cached.
    if sum(map(len, pieces)) < _LONGEST_REMEMBERED:
        if len(_remembered) >= _MOST_REMEMBERED:
            _remembered.clear()
        _remembered[names] = pieces
    return pieces
