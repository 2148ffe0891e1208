"""What an item says, by the names that filters, templates and tables use.

An item is any JSON value: every member may be absent, null or of the wrong type, and then its
field is empty text. Nothing here fails.
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
    """Which way a message went, in the words of the item's own `side`."""

    INCOMING = "in"
    OUTGOING = "out"


# Filters and the format after them ask for the same few items of one frame. The key is the object
# that holds the bytes, so its hash is computed once.
@lru_cache(maxsize=8)
def read(data: bytes) -> object:
    """Return the value of an item (JSON), or its text if nothing can read it.

    The value is shared by all who ask, so it must not be changed.
    """
    for loads in (msgspec.json.decode, json.loads):
        try:
            return loads(data)
        except (msgspec.DecodeError, ValueError, RecursionError):
            continue
    return data.decode("utf-8", "backslashreplace")


def at(value: object, *path: str) -> object:
    """Return the member at the end of `path`, None where there is none."""
    for name in path:
        value = value.get(name) if isinstance(value, dict) else None
    return value


def string(value: object) -> str:
    """Return text or a number as text; anything else is nothing."""
    if isinstance(value, str):
        return value
    return str(value) if isinstance(value, int | float) and not isinstance(value, bool) else ""


def is_number(value: object) -> TypeGuard[float]:
    """Tell whether `value` is a number that fits into a float and can be a time or a size."""
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e15


def filled(value: object) -> dict[str, object]:
    """Return the members of an object that hold something; false and 0 do."""
    members = value.items() if isinstance(value, dict) else ()
    return {name: member for name, member in members if member not in (None, "", [], {})}


def compact(value: object) -> str:
    """Return a value as JSON for people."""
    try:
        return json.dumps(value, ensure_ascii=False, separators=(", ", ":"))
    except (ValueError, RecursionError):
        return "(nested too deeply, -o json shows it)"


def direction(item: object) -> Direction | None:
    """Return which way a message went, by `fromMe`, else by `side`; None if neither says."""
    from_me = at(item, "fromMe")
    if isinstance(from_me, bool):
        return Direction.OUTGOING if from_me else Direction.INCOMING
    side = at(item, "side")
    return Direction(side) if side in ("in", "out") else None


def text(item: object) -> str:
    """Return text and caption, of which most messages have only one; an item of text is its own."""
    return words(at(item, "message")) if isinstance(item, dict) else words(item)


def words(message: object) -> str:
    """Return what the `message` member of an item says."""
    if isinstance(message, str):
        return message.strip()
    said = (string(at(message, name)).strip() for name in ("text", "caption"))
    return "\n".join(filter(None, said))


def files(message: object) -> list[object]:
    """Return the files of an item's `message` member: in `file` or `files`, one or a list."""
    found = at(message, "file") or at(message, "files")
    return found if isinstance(found, list) else [found] if found else []


def reason(error: object) -> str:
    """Return why something failed: nothing, text, or an object with words and a code."""
    if not isinstance(error, dict):
        return string(error) or (compact(error) if error else "")
    said = [string(error.get(name)) for name in ("title", "message", "details")]
    shown = ": ".join(filter(None, said))
    code = string(error.get("code"))
    if not shown or len(filled(error)) > len([*filter(None, (*said, code))]):
        return compact(error)
    return f"{shown} ({code})" if code else shown


def called(person: object) -> str:
    """Return what a person or chat is called: by name, else @username, else phone, else id."""
    username = string(at(person, "username")).removeprefix("@")
    names = (at(person, "name"), username and f"@{username}", at(person, "phone"), at(person, "id"))
    return next(filter(None, map(string, names)), "")


_ARROWS = {Direction.INCOMING: "←", Direction.OUTGOING: "→", None: "•"}


def _arrow(item: object) -> str:
    return _ARROWS[direction(item)]


_END_OF_YEAR_9999 = 253_402_300_800


def _sent(item: object) -> str:
    seconds = at(item, "time")
    if not is_number(seconds) or not 0 <= seconds < _END_OF_YEAR_9999:
        return ""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))


def _status(record: Record, item: object) -> str:
    return string(at(item, "type")) if record.event == "messageStatus" else ""


def _tag(item: object) -> str:
    return string(at(item, "tag", "name")) or string(at(item, "tag", "id"))


def _of_files(member: str, separator: str) -> Callable[[object], str]:
    def joined(item: object) -> str:
        found = files(at(item, "message"))
        return separator.join(filter(None, (string(at(file, member)) for file in found)))

    return joined


def _member(*path: str) -> Callable[[object], str]:
    return lambda item: string(at(item, *path))


Field = Callable[[Record, object], str]
"""A record and its item, as `read` returned it -> text, on as many lines as it has."""


def _of_record(member: str) -> Field:
    get = attrgetter(member)
    return lambda record, _: string(get(record))


def _of_item(say: Callable[[object], str]) -> Field:
    return lambda _, item: say(item)


RECORD_FIELDS: dict[str, Field] = {
    "received": lambda record, _: timestamp(record.received).decode(),
    **{
        name: _of_record(name)
        for name in ("event", "id", "channel", "license", "messenger", "source", "queue")
    },
    "part": _of_record("part"),
    "parts": _of_record("parts"),
    "data": lambda record, _: record.data.decode("utf-8", "backslashreplace"),
}
"""Fields that need no item: what is asked for of these alone costs no parsing."""

ITEM_FIELDS: dict[str, Field] = {
    "direction": _of_item(lambda item: direction(item) or ""),
    "arrow": _of_item(_arrow),
    "sent": _of_item(_sent),
    "chat": _of_item(lambda item: called(at(item, "chat"))),
    **{
        f"chat.{name}": _of_item(_member("chat", name))
        for name in ("id", "type", "name", "phone", "username")
    },
    "from": _of_item(lambda item: called(at(item, "fromUser"))),
    **{
        f"from.{name}": _of_item(_member("fromUser", name))
        for name in ("id", "name", "phone", "username")
    },
    "type": _of_item(_member("type")),
    "text": _of_item(text),
    "status": _status,
    "error": _of_item(lambda item: reason(at(item, "error"))),
    "tag": _of_item(_tag),
    "file.name": _of_item(_of_files("name", ", ")),
    "file.link": _of_item(_of_files("link", " ")),
}

FIELDS = RECORD_FIELDS | ITEM_FIELDS
