"""Status and gap records: `--meta` puts them on stdout, `--log-format json` on stderr."""

import json

import msgspec

from ..items import Gap, Status
from ..redaction import redact
from .timestamps import timestamp


def encode_meta(item: Status | Gap) -> bytes:
    """Return a status or gap as one line of JSON; moments in UTC, spans in seconds."""
    return encode_record(describe(item)) + b"\n"


def encode_record(record: dict[str, object]) -> bytes:
    """Return a record as JSON, without secrets that a server repeated.

    Half a surrogate pair, which a server can send, becomes an escape.
    """
    try:
        text = msgspec.json.encode(record).decode()
    except UnicodeEncodeError:
        text = json.dumps(record, separators=(",", ":"))
    return redact(text).encode()


def describe(item: Status | Gap) -> dict[str, object]:
    """Return the members of the record, in the documented order."""
    if isinstance(item, Gap):
        return {
            "v": 1,
            "type": "gap",
            "channel": item.channel,
            "from": _moment(item.since),
            "to": _moment(item.until),
            "reason": item.reason,
            "recovered": item.recovered,
            "missing": item.missing,
        }
    members: dict[str, object] = msgspec.to_builtins(item)
    state, at = members.pop("item"), members.pop("at")
    assert isinstance(at, int)
    return {"v": 1, "type": "status", "state": state, "at": _moment(at), **members}


def _moment(nanoseconds: int) -> str:
    return timestamp(nanoseconds).decode()
