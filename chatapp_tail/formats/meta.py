"""Status and gap records: `--meta` puts them on stdout, `--log-format json` on stderr."""

import msgspec

from ..pusher.items import Gap, Status
from .ndjson import timestamp


def encode_meta(item: Status | Gap) -> bytes:
    """Return a status or gap as one line of JSON; moments in UTC, spans in seconds."""
    return msgspec.json.encode(describe(item)) + b"\n"


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
            "recovered": 0,
        }
    members: dict[str, object] = msgspec.to_builtins(item)
    state, at = members.pop("item"), members.pop("at")
    assert isinstance(at, int)
    return {"v": 1, "type": "status", "state": state, "at": _moment(at), **members}


def _moment(nanoseconds: int) -> str:
    return timestamp(nanoseconds).decode()
