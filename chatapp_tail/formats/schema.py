"""JSON Schema of every record this program writes, generated from their types."""

from typing import Any, get_args

import msgspec

from ..chatapp.records import Record
from ..errors import ExitStatus
from ..items import Gap, Status

Schema = dict[str, Any]

_MOMENT: Schema = {
    "type": "string",
    "format": "date-time",
    "pattern": r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$",
}
_COUNT: Schema = {"type": "integer", "minimum": 1}
_ID: Schema = {
    "description": "names what the record is about; an edited message has the same id and another"
    " hash, so that duplicates are found by both, and the newest of a message by id alone; opaque"
}
_HASH: Schema = {
    "type": "string",
    "pattern": "^[0-9a-f]{12}$",
    "description": "the first 12 hexadecimal digits of the SHA-256 of data, byte for byte as it"
    " stands in this line; may differ between the live copy of a message and that from history",
}


def schema() -> Schema:
    """Return the schema (JSON Schema 2020-12) of any line: output, `--log-format`, dead letters.

    Members that are not listed are allowed: later releases may add some.
    """
    states = [_status(status) for status in get_args(Status)]
    records = {
        "event": _event(),
        **{f"status_{state['properties']['state']['const']}": state for state in states},
        "status_delivery": _delivery(),
        "gap": _gap(),
        "dead": _dead(),
        "error": _error(),
        "summary": _summary(),
    }
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "A record of chatapp-tail, version 1",
        "oneOf": [{"$ref": f"#/$defs/{name}"} for name in records],
        "$defs": records,
    }


def _record(kind: str, members: Schema, optional: Schema | None = None) -> Schema:
    required = {"v": {"const": 1}, "type": {"const": kind}, **members}
    return {
        "type": "object",
        "properties": required | (optional or {}),
        "required": list(required),
    }


def _event() -> Schema:
    fields = _members(Record)
    members = {"event": fields.pop("event"), "id": fields.pop("id") | _ID, "hash": _HASH, **fields}
    # Members whose form in the line is not that of the struct.
    members |= {"received": _MOMENT, "part": _COUNT, "parts": _COUNT}
    members["data"] = {"description": "the item as it came; any value"}
    members.pop("encoding")
    encoding = {"const": "text", "description": "data was not JSON and is here as text"}
    return _record("event", members, {"encoding": encoding})


# --log-format json has a sentence for people as well.
_MESSAGE: Schema = {"message": {"type": "string"}}


def _status(kind: type[msgspec.Struct]) -> Schema:
    members = _members(kind)
    del members["item"], members["at"]
    state = {"const": kind.__struct_config__.tag}
    return _record("status", {"state": state, "at": _MOMENT, **members}, _MESSAGE)


def _delivery() -> Schema:
    """Return the schema of notices about a destination, which only `--log-format` writes."""
    return _record("status", {"state": {"const": "delivery"}, "at": _MOMENT, **_MESSAGE})


def _gap() -> Schema:
    members = _members(Gap)
    channel, reason = members["channel"], members["reason"]
    moments = {"from": _MOMENT, "to": _MOMENT}
    recovered = {"type": "integer", "minimum": 0}
    gap = {"channel": channel, **moments, "reason": reason, "recovered": recovered}
    gap["missing"] = members["missing"]
    return _record("gap", gap, _MESSAGE)


def _dead() -> Schema:
    members = {
        "at": _MOMENT,
        "destination": {"type": "string"},
        "attempts": _COUNT,
        "first": _MOMENT,
        "status": {"type": ["integer", "null"]},
        "reason": {"type": "string"},
        "record": _event(),
    }
    return _record("dead", members)


def _error() -> Schema:
    status = {"enum": [status.value for status in ExitStatus if status is not ExitStatus.DONE]}
    return _record("error", {"message": {"type": "string"}, "exit_status": status})


def _summary() -> Schema:
    count: Schema = {"type": "integer", "minimum": 0}
    counts: Schema = {"type": "object", "additionalProperties": count}
    members: Schema = {
        "seconds": {"type": "number", "minimum": 0},
        "records": count,
        "events": counts,
        "channels": counts,
        "filtered": count,
        "reconnects": count,
        "gaps": count,
        "recovered": count,
        "spool_peak": count,
    }
    forwarded = dict.fromkeys(("delivered", "retried", "dead", "waiting"), count)
    with_destination = {"destination": {"type": "string"}, **forwarded}
    summary = _record("summary", members, with_destination | _MESSAGE)
    summary["required"].append("message")
    return summary


def _members(kind: type[msgspec.Struct]) -> Schema:
    """Return the schemas of the members of a struct, in order; enumerations are inlined."""
    (own,), others = msgspec.json.schema_components([kind], ref_template="{name}")
    members: Schema = others.pop(own["$ref"])["properties"]
    return {name: _plain(member, others) for name, member in members.items()}


def _plain(member: Schema, others: Schema) -> Schema:
    shown: Schema = others[member["$ref"]] if "$ref" in member else member
    return {name: value for name, value in shown.items() if name not in ("default", "title")}
