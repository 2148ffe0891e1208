"""The fields of an item, by the names that filters, templates and tables use.

An item is any JSON value: every member may be absent, null or of the wrong type, and then its
field is empty text. No function here raises.
"""

import json
import time
from collections.abc import Callable
from enum import StrEnum
from functools import lru_cache
from operator import attrgetter
from typing import TypeGuard

import msgspec

from ..chatapp.records import Record
from .timestamps import timestamp


class Direction(StrEnum):
    """The direction of a message; the values are those of the member `side`."""

    INCOMING = "in"
    OUTGOING = "out"


# Filters and the format parse the same few items of one frame. A bytes object keeps its hash, so
# that it is computed once.
@lru_cache(maxsize=8)
def parse_item(data: bytes) -> object:
    """Return the value of an item (JSON), or its text if it cannot be parsed.

    The value is shared by all callers and must not be changed.
    """
    for loads in (msgspec.json.decode, json.loads):
        try:
            return loads(data)
        except (msgspec.DecodeError, ValueError, RecursionError):
            continue
    return data.decode("utf-8", "backslashreplace")


def get_path(value: object, *path: str) -> object:
    """Return the member at the end of `path`, None where there is none."""
    for name in path:
        value = value.get(name) if isinstance(value, dict) else None
    return value


def to_text(value: object) -> str:
    """Return a string or number as text, empty text for any other value."""
    if isinstance(value, str):
        return value
    return str(value) if isinstance(value, int | float) and not isinstance(value, bool) else ""


def is_number(value: object) -> TypeGuard[float]:
    """Return whether `value` is a number that can be a time or a size."""
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e15


def non_empty(value: object) -> dict[str, object]:
    """Return the members of an object that are not null or empty; false and 0 are kept."""
    members = value.items() if isinstance(value, dict) else ()
    return {name: member for name, member in members if member not in (None, "", [], {})}


def compact(value: object) -> str:
    """Return a value as JSON for people."""
    try:
        return json.dumps(value, ensure_ascii=False, separators=(", ", ":"))
    except (ValueError, RecursionError):
        return "(nested too deeply, -o json shows it)"


def direction(item: object) -> Direction | None:
    """Return the direction of a message, by `fromMe`, else by `side`; None if neither is there."""
    from_me = get_path(item, "fromMe")
    if isinstance(from_me, bool):
        return Direction.OUTGOING if from_me else Direction.INCOMING
    side = get_path(item, "side")
    return Direction(side) if side in ("in", "out") else None


def text(item: object) -> str:
    """Return text and caption of an item; most messages have only one. A string is its own text."""
    return message_text(get_path(item, "message")) if isinstance(item, dict) else message_text(item)


def message_text(message: object) -> str:
    """Return text and caption of the `message` member of an item."""
    if isinstance(message, str):
        return message.strip()
    texts = (to_text(get_path(message, name)).strip() for name in ("text", "caption"))
    return "\n".join(filter(None, texts))


def files(message: object) -> list[object]:
    """Return the files of an item's `message` member: in `file` or `files`, one or a list."""
    value = get_path(message, "file") or get_path(message, "files")
    return value if isinstance(value, list) else [value] if value else []


def error_text(error: object) -> str:
    """Return the reason in an `error` member: null, a string, or an object with text and code."""
    if not isinstance(error, dict):
        return to_text(error) or (compact(error) if error else "")
    texts = [to_text(error.get(name)) for name in ("title", "message", "details")]
    shown = ": ".join(filter(None, texts))
    code = to_text(error.get("code"))
    if not shown or len(non_empty(error)) > len([*filter(None, (*texts, code))]):
        return compact(error)
    return f"{shown} ({code})" if code else shown


def display_name(person: object) -> str:
    """Return the name of a person or chat, else @username, else phone, else id."""
    username = to_text(get_path(person, "username")).removeprefix("@")
    names = (
        get_path(person, "name"),
        username and f"@{username}",
        get_path(person, "phone"),
        get_path(person, "id"),
    )
    return next(filter(None, map(to_text, names)), "")


_ARROWS = {Direction.INCOMING: "←", Direction.OUTGOING: "→", None: "•"}


def _arrow(item: object) -> str:
    return _ARROWS[direction(item)]


_END_OF_YEAR_9999 = 253_402_300_800


def _sent(item: object) -> str:
    seconds = get_path(item, "time")
    if not is_number(seconds) or not 0 <= seconds < _END_OF_YEAR_9999:
        return ""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))


def _status(record: Record, item: object) -> str:
    return to_text(get_path(item, "type")) if record.event == "messageStatus" else ""


def _tag(item: object) -> str:
    return to_text(get_path(item, "tag", "name")) or to_text(get_path(item, "tag", "id"))


def _of_files(member: str, separator: str) -> Callable[[object], str]:
    def joined(item: object) -> str:
        attached = files(get_path(item, "message"))
        return separator.join(filter(None, (to_text(get_path(file, member)) for file in attached)))

    return joined


def _member(*path: str) -> Callable[[object], str]:
    return lambda item: to_text(get_path(item, *path))


Field = Callable[[Record, object], str]
"""(record, its parsed item) -> text, of one or more lines."""


def _of_record(member: str) -> Field:
    get = attrgetter(member)
    return lambda record, _: to_text(get(record))


def _of_item(say: Callable[[object], str]) -> Field:
    return lambda _, item: say(item)


RECORD_FIELDS: dict[str, Field] = {
    "received": lambda record, _: timestamp(record.received).decode(),
    **{
        name: _of_record(name)
        for name in ("event", "id", "hash", "channel", "license", "messenger", "source", "queue")
    },
    "part": _of_record("part"),
    "parts": _of_record("parts"),
    "data": lambda record, _: record.data.decode("utf-8", "backslashreplace"),
}
"""Fields that need no parsed item."""

ITEM_FIELDS: dict[str, Field] = {
    "direction": _of_item(lambda item: direction(item) or ""),
    "arrow": _of_item(_arrow),
    "sent": _of_item(_sent),
    "chat": _of_item(lambda item: display_name(get_path(item, "chat"))),
    **{
        f"chat.{name}": _of_item(_member("chat", name))
        for name in ("id", "type", "name", "phone", "username")
    },
    "from": _of_item(lambda item: display_name(get_path(item, "fromUser"))),
    **{
        f"from.{name}": _of_item(_member("fromUser", name))
        for name in ("id", "name", "phone", "username")
    },
    "type": _of_item(_member("type")),
    "text": _of_item(text),
    "status": _status,
    "error": _of_item(lambda item: error_text(get_path(item, "error"))),
    "tag": _of_item(_tag),
    "file.name": _of_item(_of_files("name", ", ")),
    "file.link": _of_item(_of_files("link", " ")),
}

FIELDS = RECORD_FIELDS | ITEM_FIELDS
