"""Describes records for `-o pretty`; any member may be absent, null or of the wrong type."""

import re
from datetime import tzinfo

from rich.color import Color
from rich.style import Style

from ..chatapp.records import Record, Source
from .fields import (
    Direction,
    compact,
    direction,
    error_text,
    files,
    get_path,
    is_number,
    message_text,
    non_empty,
    parse_item,
    to_text,
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
    Segment,
    Symbol,
    UserText,
)
from .times import date

_LABEL_LIMIT = 40
_QUOTE_LIMIT = 24
_LATE_SECONDS = 60


def describe(record: Record, timezone: tzinfo | None) -> Entry:
    """Return the description of a record; one of an unknown kind is shown as compact JSON.

    Times in it are those of `timezone`; None is the local one.
    """
    item = parse_item(record.data)
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
    noted: list[Segment] = [(notes, DIM)] if notes else []
    content = _content(label(item.get("type")) or "text", message)
    if direction(item) is Direction.OUTGOING:
        groups = [_who(item.get("chat"), BOLD), _id(item), noted, content]
        return Entry(Symbol.OUTGOING, BOLD_CYAN, groups)
    return Entry(Symbol.INCOMING, BOLD_GREEN, [_author(item), noted, content])


def _author(item: dict[str, object]) -> list[Segment]:
    """Return the author and, unless the chat is private, the chat."""
    author, chat = item.get("fromUser"), item.get("chat")
    name, room = _name(author), _name(chat)
    if not name:
        return _who(chat, BOLD)
    if not room or room == name or get_path(chat, "type") == "private":
        return _who(author, BOLD)
    return [(name, BOLD), (" in ", DIM), (room, PLAIN)]


def _who(person: object, style: Style) -> list[Segment]:
    """Return the best name of a person or chat and, dimmed, the next best."""
    second = _names(person)[1:2]
    return [(_name(person) or "?", style), *((f" {name}", DIM) for name in second)]


def _name(person: object) -> str:
    return next(iter(_names(person)), "") or label(get_path(person, "id"))


def _names(person: object) -> list[str]:
    """Return the names of a person or chat, best first."""
    username = label(get_path(person, "username")).removeprefix("@")
    names = (
        label(get_path(person, "name")),
        username and f"@{username}",
        label(get_path(person, "phone")),
    )
    return list(dict.fromkeys(filter(None, names)))


def _id(item: dict[str, object]) -> list[Segment]:
    """Return the message's id; of a long one the end, in which ids differ."""
    number = to_text(item.get("id")) or to_text(item.get("internalId"))
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
    joined = ", ".join(filter(None, notes))
    return f"({joined})" if joined else ""


def _quoted(quoted: object) -> str:
    if not quoted:
        return ""
    text = message_text(get_path(quoted, "message")) or message_text(quoted)
    return f're "{label(text, _QUOTE_LIMIT)}"' if text else "reply"


def _late(sent: object, received: int, timezone: tzinfo | None) -> str:
    """Return when a message was sent, if it was received more than a minute apart."""
    if not is_number(sent) or not is_number(received) or abs(received - sent) <= _LATE_SECONDS:
        return ""
    then, now = date(sent, timezone), date(received, timezone)
    if not then or not now:
        return ""
    return f"sent {then:%H:%M}" if then.date() == now.date() else f"sent {then:%Y-%m-%d %H:%M}"


_KIND_NAMES = {"image": "photo", "document": "file", "call_log": "call"}
_KINDS_WITH_FILE_NAMES = {"file", "files", "document"}
_MEDIA = {"image", "video", "voice", "audio", "sticker"}
# Messages of other kinds are shown in full.
_KNOWN_KINDS = {"text", "system"} | _MEDIA | _KINDS_WITH_FILE_NAMES


def _content(kind: str, message: object) -> list[Segment]:
    """Return the content of a message: its kind in brackets unless text, its text, and the rest."""
    attached = files(message)
    if kind == "text" and attached:
        kind = "file"
    text = message_text(message)
    parts: tuple[Segment, ...] = (
        (_bracketed(kind, message, attached), MAGENTA),
        (UserText(text) if text else "", PLAIN),
        (_rest(kind, message), DIM),
    )
    pieces: list[Segment] = []
    for part in parts:
        if part[0]:
            pieces += [(" ", PLAIN), part] if pieces else [part]
    return pieces or [("(no text)", DIM)]


def _bracketed(kind: str, message: object, attached: list[object]) -> str:
    if kind == "text":
        return ""
    with_name = kind in _KINDS_WITH_FILE_NAMES or kind not in _KNOWN_KINDS
    details = [_file(file, with_name) for file in attached]
    details.append(_coordinates(get_path(message, "location")))
    shown = ", ".join(filter(None, details))
    name = _KIND_NAMES.get(kind, kind)
    return f"[{name} {shown}]" if shown else f"[{name}]"


def _file(file: object, with_name: bool) -> str:
    name = label(get_path(file, "name")) if with_name else ""
    return " ".join(filter(None, (name, _size(get_path(file, "size")))))


def _size(size: object) -> str:
    if not is_number(size) or size <= 0:
        return ""
    if size < 999.5 * 1024:
        return f"{size:.0f} B" if size < 999.5 else f"{size / 1024:.0f} KB"
    megabytes = size / 1024**2
    return f"{megabytes:.1f} MB" if megabytes < 999.5 else f"{megabytes / 1024:.1f} GB"


def _coordinates(location: object) -> str:
    latitude, longitude = get_path(location, "latitude"), get_path(location, "longitude")
    return f"{latitude}, {longitude}" if is_number(latitude) and is_number(longitude) else ""


def _rest(kind: str, message: object) -> str:
    """Return the other members as JSON, of unknown kinds and of messages without text or files."""
    if not isinstance(message, dict):
        return ""
    if kind in _KNOWN_KINDS and (message_text(message) or files(message)):
        return ""
    shown = {"text", "caption", "file", "files"}
    location = message.get("location")
    if _coordinates(location) and non_empty(location).keys() == {"latitude", "longitude"}:
        shown.add("location")
    rest = {name: value for name, value in non_empty(message).items() if name not in shown}
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
    reason = error_text(item.get("error"))
    groups: list[list[Segment]] = [
        [(status, style)],
        _who(item.get("chat"), PLAIN),
        _id(item),
        [(reason, RED)] if reason else [],
    ]
    return Entry(mark, style, groups)


_TAG_ACTIONS = {"add": (Symbol.ADDED, BOLD_GREEN), "destroy": (Symbol.REMOVED, BOLD_RED)}


def _tag(item: dict[str, object]) -> Entry | None:
    tag, action = item.get("tag"), label(item.get("type"))
    name = label(get_path(tag, "name")) or label(get_path(tag, "id"))
    if not name:
        return None
    mark, style = _TAG_ACTIONS.get(action, (Symbol.OTHER, PLAIN))
    group = label(get_path(tag, "category", "name"))
    pieces: list[Segment] = [
        ("tag " if action in _TAG_ACTIONS else f"tag {action} ", DIM),
        (Symbol.DOT, _color(get_path(tag, "color"))),
        (f" {name}", BOLD),
        (f" ({group})" if group else "", DIM),
    ]
    return Entry(mark, style, [pieces, _who(item.get("chat"), PLAIN)])


def _color(color: object) -> Style:
    # Seven digits have been seen; the first six are taken.
    digits = re.match(r"#([0-9a-fA-F]{2})([0-9a-fA-F]{2})([0-9a-fA-F]{2})", to_text(color))
    if not digits:
        return PLAIN
    red, green, blue = (int(part, 16) for part in digits.groups())
    return Style(color=Color.from_rgb(red, green, blue))


def _unknown(record: Record, item: object) -> Entry:
    if record.encoding == "text" and isinstance(item, str):
        content: Segment = (UserText(item), PLAIN)
    else:
        content = (compact(item), DIM)
    return Entry(Symbol.OTHER, PLAIN, [[(label(record.event) or "?", BOLD)], [content]])


def label(value: object, limit: int = _LABEL_LIMIT) -> str:
    """Return a name on one line and with single spaces, as two spaces separate groups."""
    name = " ".join(to_text(value).split())
    return name if len(name) <= limit else f"{name[:limit]}..."
