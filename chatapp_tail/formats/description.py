"""From a record to what is shown of it; any member may be absent, null or of the wrong type."""

import re
from datetime import tzinfo

from rich.color import Color
from rich.style import Style

from ..chatapp.records import Record, Source
from .fields import (
    Direction,
    at,
    compact,
    direction,
    files,
    filled,
    is_number,
    read,
    reason,
    string,
    words,
)
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
    Said,
    Symbol,
)
from .times import date

_LABEL_LIMIT = 40
_QUOTE_LIMIT = 24
_LATE_SECONDS = 60


def describe(record: Record, timezone: tzinfo | None) -> Entry:
    """Return what is shown of a record; one of an unknown kind is shown as compact JSON.

    Times that are part of it are those of `timezone`; None is where the machine is.
    """
    item = read(record.data)
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


def _message(item: dict[str, object], notes: str) -> Entry | None:
    message = item.get("message")
    if not isinstance(message, dict | str) and not isinstance(item.get("type"), str):
        return None
    noted: list[Piece] = [(notes, DIM)] if notes else []
    content = _content(label(item.get("type")) or "text", message)
    if direction(item) is Direction.OUTGOING:
        groups = [_who(item.get("chat"), BOLD), _id(item), noted, content]
        return Entry(Symbol.OUTGOING, BOLD_CYAN, groups)
    return Entry(Symbol.INCOMING, BOLD_GREEN, [_author(item), noted, content])


def _author(item: dict[str, object]) -> list[Piece]:
    """Return who wrote and, when others can read it, in which chat."""
    author, chat = item.get("fromUser"), item.get("chat")
    name, room = _name(author), _name(chat)
    if not name:
        return _who(chat, BOLD)
    if not room or room == name or at(chat, "type") == "private":
        return _who(author, BOLD)
    return [(name, BOLD), (" in ", DIM), (room, PLAIN)]


def _who(person: object, style: Style) -> list[Piece]:
    """Return the best name of a person or chat and, dimly, the next best."""
    second = _names(person)[1:2]
    return [(_name(person) or "?", style), *((f" {name}", DIM) for name in second)]


def _name(person: object) -> str:
    return next(iter(_names(person)), "") or label(at(person, "id"))


def _names(person: object) -> list[str]:
    """Return what a person or chat is called, best first."""
    username = label(at(person, "username")).removeprefix("@")
    names = (label(at(person, "name")), username and f"@{username}", label(at(person, "phone")))
    return list(dict.fromkeys(filter(None, names)))


def _id(item: dict[str, object]) -> list[Piece]:
    """Return the message's id; of a long one the end, where they differ."""
    number = string(item.get("id")) or string(item.get("internalId"))
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
    said = words(at(quoted, "message")) or words(quoted)
    return f're "{label(said, _QUOTE_LIMIT)}"' if said else "reply"


def _late(sent: object, received: int, timezone: tzinfo | None) -> str:
    """Return when a message was sent, if that is not about when it came."""
    if not is_number(sent) or not is_number(received) or abs(received - sent) <= _LATE_SECONDS:
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
    attached = files(message)
    if kind == "text" and attached:
        kind = "file"
    said = words(message)
    parts: tuple[Piece, ...] = (
        (_bracketed(kind, message, attached), MAGENTA),
        (Said(said) if said else "", PLAIN),
        (_rest(kind, message), DIM),
    )
    pieces: list[Piece] = []
    for part in parts:
        if part[0]:
            pieces += [(" ", PLAIN), part] if pieces else [part]
    return pieces or [("(no text)", DIM)]


def _bracketed(kind: str, message: object, attached: list[object]) -> str:
    if kind == "text":
        return ""
    with_name = kind in _KINDS_WITH_FILE_NAMES or kind not in _KNOWN_KINDS
    details = [_file(file, with_name) for file in attached]
    details.append(_coordinates(at(message, "location")))
    shown = ", ".join(filter(None, details))
    name = _KIND_NAMES.get(kind, kind)
    return f"[{name} {shown}]" if shown else f"[{name}]"


def _file(file: object, with_name: bool) -> str:
    name = label(at(file, "name")) if with_name else ""
    return " ".join(filter(None, (name, _size(at(file, "size")))))


def _size(size: object) -> str:
    if not is_number(size) or size <= 0:
        return ""
    if size < 999.5 * 1024:
        return f"{size:.0f} B" if size < 999.5 else f"{size / 1024:.0f} KB"
    megabytes = size / 1024**2
    return f"{megabytes:.1f} MB" if megabytes < 999.5 else f"{megabytes / 1024:.1f} GB"


def _coordinates(location: object) -> str:
    latitude, longitude = at(location, "latitude"), at(location, "longitude")
    return f"{latitude}, {longitude}" if is_number(latitude) and is_number(longitude) else ""


def _rest(kind: str, message: object) -> str:
    """Return as JSON what has no other place: of kinds not known by heart, or if all is unknown."""
    if not isinstance(message, dict):
        return ""
    if kind in _KNOWN_KINDS and (words(message) or files(message)):
        return ""
    shown = {"text", "caption", "file", "files"}
    location = message.get("location")
    if _coordinates(location) and filled(location).keys() == {"latitude", "longitude"}:
        shown.add("location")
    rest = {name: value for name, value in filled(message).items() if name not in shown}
    return compact(rest) if rest else ""


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
    why = reason(item.get("error"))
    groups: list[list[Piece]] = [
        [(status, style)],
        _who(item.get("chat"), PLAIN),
        _id(item),
        [(why, RED)] if why else [],
    ]
    return Entry(mark, style, groups)


_TAG_ACTIONS = {"add": (Symbol.ADDED, BOLD_GREEN), "destroy": (Symbol.REMOVED, BOLD_RED)}


def _tag(item: dict[str, object]) -> Entry | None:
    tag, action = item.get("tag"), label(item.get("type"))
    name = label(at(tag, "name")) or label(at(tag, "id"))
    if not name:
        return None
    mark, style = _TAG_ACTIONS.get(action, (Symbol.OTHER, PLAIN))
    group = label(at(tag, "category", "name"))
    pieces: list[Piece] = [
        ("tag " if action in _TAG_ACTIONS else f"tag {action} ", DIM),
        (Symbol.DOT, _color(at(tag, "color"))),
        (f" {name}", BOLD),
        (f" ({group})" if group else "", DIM),
    ]
    return Entry(mark, style, [pieces, _who(item.get("chat"), PLAIN)])


def _color(color: object) -> Style:
    # Seven digits have been seen; the first six are as good a guess as any.
    found = re.match(r"#([0-9a-fA-F]{2})([0-9a-fA-F]{2})([0-9a-fA-F]{2})", string(color))
    if not found:
        return PLAIN
    red, green, blue = (int(part, 16) for part in found.groups())
    return Style(color=Color.from_rgb(red, green, blue))


def _unknown(record: Record, item: object) -> Entry:
    if record.encoding == "text" and isinstance(item, str):
        content: Piece = (Said(item), PLAIN)
    else:
        content = (compact(item), DIM)
    return Entry(Symbol.OTHER, PLAIN, [[(label(record.event) or "?", BOLD)], [content]])


def label(value: object, limit: int = _LABEL_LIMIT) -> str:
    """Return a name on one line and with single spaces, as two spaces set groups apart."""
    words = " ".join(string(value).split())
    return words if len(words) <= limit else f"{words[:limit]}..."
