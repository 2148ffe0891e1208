"""From a record to what is shown of it; any member may be absent, null or of the wrong type."""

import json
import re
from datetime import datetime, tzinfo
from functools import lru_cache
from typing import TypeGuard

import msgspec
from rich.color import Color
from rich.style import Style

from ..chatapp.events import Record, Source
from .pieces import (
    BOLD,
    BOLD_CYAN,
    BOLD_GREEN,
    BOLD_RED,
    CYAN,
    DIM,
    GREEN,
    MAGENTA,
    PLAIN,
    RED,
    Entry,
    Piece,
    Symbol,
)

_LABEL_LIMIT = 40
_QUOTE_LIMIT = 24
_LATE_SECONDS = 60


@lru_cache(maxsize=64)
def clock(seconds: int, timezone: tzinfo | None) -> str:
    """Return the time of day of a moment in seconds since the epoch."""
    time = date(seconds, timezone)
    return f"{time:%H:%M:%S}" if time else "--:--:--"


def date(seconds: float, timezone: tzinfo | None) -> datetime | None:
    """Return a moment as local date and time, None where no calendar reaches."""
    try:
        return datetime.fromtimestamp(seconds, timezone)
    except (OverflowError, OSError, ValueError):
        return None


def describe(record: Record, timezone: tzinfo | None) -> Entry:
    """Return what is shown of a record; one of an unknown kind is shown as compact JSON."""
    item = _read(record.data)
    if isinstance(item, dict):
        entry: Entry | None = None
        if record.event == "message":
            entry = _message(item, _notes(item, record, timezone))
        elif record.event == "messageStatus":
            entry = _status(item)
        elif record.event == "chatTag":
            entry = _tag(item)
        if entry:
            return entry
    return _unknown(record, item)


def _read(data: bytes) -> object:
    """Return the value of an item, or its text if nothing can read it."""
    for loads in (msgspec.json.decode, json.loads):
        try:
            return loads(data)
        except (msgspec.DecodeError, ValueError, RecursionError):
            continue
    return data.decode("utf-8", "backslashreplace")


def _message(item: dict[str, object], notes: str) -> Entry | None:
    message = item.get("message")
    if not isinstance(message, dict | str) and not isinstance(item.get("type"), str):
        return None
    noted: list[Piece] = [(notes, DIM)] if notes else []
    content = _content(label(item.get("type")) or "text", message)
    if _is_outgoing(item):
        groups = [_who(item.get("chat"), BOLD), _id(item), noted, content]
        return Entry(Symbol.OUTGOING, BOLD_CYAN, groups)
    return Entry(Symbol.INCOMING, BOLD_GREEN, [_author(item), noted, content])


def _is_outgoing(item: dict[str, object]) -> bool:
    from_me = item.get("fromMe")
    return from_me if isinstance(from_me, bool) else item.get("side") == "out"


def _author(item: dict[str, object]) -> list[Piece]:
    """Return who wrote and, when others can read it, in which chat."""
    author, chat = item.get("fromUser"), item.get("chat")
    name, room = _name(author), _name(chat)
    if not name:
        return _who(chat, BOLD)
    if not room or room == name or _at(chat, "type") == "private":
        return _who(author, BOLD)
    return [(name, BOLD), (" in ", DIM), (room, PLAIN)]


def _who(person: object, style: Style) -> list[Piece]:
    """Return the best name of a person or chat and, dimly, the next best."""
    second = _names(person)[1:2]
    return [(_name(person) or "?", style), *((f" {name}", DIM) for name in second)]


def _name(person: object) -> str:
    return next(iter(_names(person)), "") or label(_at(person, "id"))


def _names(person: object) -> list[str]:
    """Return what a person or chat is called, best first."""
    username = label(_at(person, "username")).removeprefix("@")
    names = (label(_at(person, "name")), username and f"@{username}", label(_at(person, "phone")))
    return list(dict.fromkeys(filter(None, names)))


def _id(item: dict[str, object]) -> list[Piece]:
    """Return the message's id; of a long one the end, where they differ."""
    number = _string(item.get("id")) or _string(item.get("internalId"))
    shown = number if len(number) <= 16 else f"...{number[-12:]}"
    return [(f"#{' '.join(shown.split())}", DIM)] if number else []


def _notes(item: dict[str, object], record: Record, timezone: tzinfo | None) -> str:
    notes = (
        "backfill" if record.source is Source.BACKFILL else "",
        "api" if item.get("fromApi") is True else "",
        "forwarded" if item.get("isForwarded") is True else "",
        _quoted(item.get("quotedMessage")),
        _late(item.get("time"), record.received // 1_000_000_000, timezone),
    )
    said = ", ".join(filter(None, notes))
    return f"({said})" if said else ""


def _quoted(quoted: object) -> str:
    if not quoted:
        return ""
    words = _words(_at(quoted, "message")) or _words(quoted)
    return f're "{label(words, _QUOTE_LIMIT)}"' if words else "reply"


def _late(sent: object, received: int, timezone: tzinfo | None) -> str:
    """Return when a message was sent, if that is not about when it came."""
    if not _is_number(sent) or not _is_number(received) or abs(received - sent) <= _LATE_SECONDS:
        return ""
    then, now = date(sent, timezone), date(received, timezone)
    if not then or not now:
        return ""
    return f"sent {then:%H:%M}" if then.date() == now.date() else f"sent {then:%Y-%m-%d %H:%M}"


_KIND_NAMES = {"image": "photo", "document": "file", "call_log": "call"}
_KINDS_WITH_FILE_NAMES = {"file", "files", "document"}
_MEDIA = {"image", "video", "voice", "audio", "sticker"}
# Of other kinds, whatever their message holds is shown.
_KNOWN_KINDS = {"text", "system"} | _MEDIA | _KINDS_WITH_FILE_NAMES


def _content(kind: str, message: object) -> list[Piece]:
    """Return what a message says: in brackets what it is unless text, its words, and the rest."""
    files = _files(message)
    if kind == "text" and files:
        kind = "file"
    parts = (
        (_bracketed(kind, message, files), MAGENTA),
        (_words(message), PLAIN),
        (_rest(kind, message), DIM),
    )
    pieces: list[Piece] = []
    for part in filter(lambda part: part[0], parts):
        pieces += [(" ", PLAIN), part] if pieces else [part]
    return pieces or [("(no text)", DIM)]


def _bracketed(kind: str, message: object, files: list[object]) -> str:
    if kind == "text":
        return ""
    with_name = kind in _KINDS_WITH_FILE_NAMES or kind not in _KNOWN_KINDS
    details = [_file(file, with_name) for file in files]
    details.append(_coordinates(_at(message, "location")))
    shown = ", ".join(filter(None, details))
    name = _KIND_NAMES.get(kind, kind)
    return f"[{name} {shown}]" if shown else f"[{name}]"


def _files(message: object) -> list[object]:
    found = _at(message, "file") or _at(message, "files")
    return found if isinstance(found, list) else [found] if found else []


def _file(file: object, with_name: bool) -> str:
    name = label(_at(file, "name")) if with_name else ""
    return " ".join(filter(None, (name, _size(_at(file, "size")))))


def _size(size: object) -> str:
    if not _is_number(size) or size <= 0:
        return ""
    if size < 999.5 * 1024:
        return f"{size:.0f} B" if size < 999.5 else f"{size / 1024:.0f} KB"
    megabytes = size / 1024**2
    return f"{megabytes:.1f} MB" if megabytes < 999.5 else f"{megabytes / 1024:.1f} GB"


def _coordinates(location: object) -> str:
    latitude, longitude = _at(location, "latitude"), _at(location, "longitude")
    return f"{latitude}, {longitude}" if _is_number(latitude) and _is_number(longitude) else ""


def _words(message: object) -> str:
    """Return text and caption, of which most messages have only one."""
    if isinstance(message, str):
        return message.strip()
    words = (_string(_at(message, name)).strip() for name in ("text", "caption"))
    return "\n".join(filter(None, words))


def _rest(kind: str, message: object) -> str:
    """Return as JSON what has no other place: of kinds not known by heart, or if all is unknown."""
    if not isinstance(message, dict):
        return ""
    if kind in _KNOWN_KINDS and (_words(message) or _files(message)):
        return ""
    shown = {"text", "caption", "file", "files"}
    location = message.get("location")
    if _coordinates(location) and _filled(location).keys() == {"latitude", "longitude"}:
        shown.add("location")
    rest = {name: value for name, value in _filled(message).items() if name not in shown}
    return _compact(rest) if rest else ""


_STATUSES = {
    "sent": (Symbol.SENT, PLAIN),
    "delivered": (Symbol.DELIVERED, GREEN),
    "viewed": (Symbol.VIEWED, CYAN),
    "failed": (Symbol.FAILED, BOLD_RED),
}


def _status(item: dict[str, object]) -> Entry | None:
    status = label(item.get("type"))
    if not status:
        return None
    mark, style = _STATUSES.get(status, (Symbol.OTHER, PLAIN))
    reason = _reason(item.get("error"))
    groups: list[list[Piece]] = [
        [(status, style)],
        _who(item.get("chat"), PLAIN),
        _id(item),
        [(reason, RED)] if reason else [],
    ]
    return Entry(mark, style, groups)


def _reason(error: object) -> str:
    """Return why something failed: nothing, text, or an object with words and a code."""
    if not isinstance(error, dict):
        return _string(error) or (_compact(error) if error else "")
    said = [_string(error.get(name)) for name in ("title", "message", "details")]
    words = ": ".join(filter(None, said))
    code = _string(error.get("code"))
    if not words or len(_filled(error)) > len([*filter(None, (*said, code))]):
        return _compact(error)
    return f"{words} ({code})" if code else words


_TAG_ACTIONS = {"add": (Symbol.ADDED, BOLD_GREEN), "destroy": (Symbol.REMOVED, BOLD_RED)}


def _tag(item: dict[str, object]) -> Entry | None:
    tag, action = item.get("tag"), label(item.get("type"))
    name = label(_at(tag, "name")) or label(_at(tag, "id"))
    if not name:
        return None
    mark, style = _TAG_ACTIONS.get(action, (Symbol.OTHER, PLAIN))
    group = label(_at(tag, "category", "name"))
    pieces: list[Piece] = [
        ("tag " if action in _TAG_ACTIONS else f"tag {action} ", DIM),
        (Symbol.DOT, _color(_at(tag, "color"))),
        (f" {name}", BOLD),
        (f" ({group})" if group else "", DIM),
    ]
    return Entry(mark, style, [pieces, _who(item.get("chat"), PLAIN)])


def _color(color: object) -> Style:
    # Seven digits have been seen; the first six are as good a guess as any.
    found = re.match(r"#([0-9a-fA-F]{2})([0-9a-fA-F]{2})([0-9a-fA-F]{2})", _string(color))
    if not found:
        return PLAIN
    red, green, blue = (int(part, 16) for part in found.groups())
    return Style(color=Color.from_rgb(red, green, blue))


def _unknown(record: Record, item: object) -> Entry:
    if record.encoding == "text" and isinstance(item, str):
        content: Piece = (item, PLAIN)
    else:
        content = (_compact(item), DIM)
    return Entry(Symbol.OTHER, PLAIN, [[(label(record.event) or "?", BOLD)], [content]])


# Values of any type.


def _at(value: object, *path: str) -> object:
    for name in path:
        value = value.get(name) if isinstance(value, dict) else None
    return value


def _filled(value: object) -> dict[str, object]:
    """Return the members of an object that hold something; false and 0 do."""
    members = value.items() if isinstance(value, dict) else ()
    return {name: member for name, member in members if member not in (None, "", [], {})}


def _is_number(value: object) -> TypeGuard[float]:
    """Tell whether `value` is a number that fits into a float and can be a time or a size."""
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e15


def _string(value: object) -> str:
    """Return text or a number as text; anything else is nothing."""
    if isinstance(value, str):
        return value
    return str(value) if isinstance(value, int | float) and not isinstance(value, bool) else ""


def label(value: object, limit: int = _LABEL_LIMIT) -> str:
    """Return a name on one line and with single spaces, as two spaces set groups apart."""
    words = " ".join(_string(value).split())
    return words if len(words) <= limit else f"{words[:limit]}..."


def _compact(value: object) -> str:
    try:
        return json.dumps(value, ensure_ascii=False, separators=(", ", ":"))
    except (ValueError, RecursionError):
        return "(nested too deeply, -o json shows it)"
