"""Records for people: time, channel, a mark, who, and what; one line each where it fits.

A record is first described, as pieces of plain text with a style, then laid out. What came from
outside is escaped in one place, `_Screen.text`, and rich only ever sees the result as a `Text`: no
markup, no highlighting, nothing from the environment.
"""

import codecs
import json
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime, tzinfo
from enum import Enum
from functools import lru_cache
from io import StringIO
from typing import Literal, NamedTuple, TypeGuard
from unicodedata import category
from zlib import crc32

import msgspec
from rich.cells import get_character_cell_size
from rich.color import Color, ColorSystem
from rich.console import Console
from rich.style import Style
from rich.text import Text

from ..chatapp.channels import short_name
from ..chatapp.events import Decoded, Record, Source
from .escape import escape_line, escape_text

LINE_LIMIT = 6
"""How many lines of one record are shown; a note counts what is left out."""

_NARROWEST = 20
_NARROW_BLOCK = 32
_LABEL_LIMIT = 40
_QUOTE_LIMIT = 24
_LATE_SECONDS = 60

# No background, no black and no white: it has to be readable on dark and on light.
_PLAIN = Style()
_DIM = Style(dim=True)
_BOLD = Style(bold=True)
_GREEN = Style(color="green")
_CYAN = Style(color="cyan")
_MAGENTA = Style(color="magenta")
_RED = Style(color="red")
_BOLD_GREEN = Style(color="green", bold=True)
_BOLD_CYAN = Style(color="cyan", bold=True)
_BOLD_RED = Style(color="red", bold=True)
_CHANNEL_STYLES = (_CYAN, _MAGENTA, Style(color="yellow"), _GREEN, Style(color="blue"))

_COLOR_SYSTEMS = {
    "standard": ColorSystem.STANDARD,
    "256": ColorSystem.EIGHT_BIT,
    "truecolor": ColorSystem.TRUECOLOR,
}


class _Symbol(Enum):
    """What we draw: on UTF-8 terminals and on others."""

    INCOMING = ("←", "<-")
    OUTGOING = ("→", "->")
    SENT = ("·", ".")
    DELIVERED = ("✓", "v")
    VIEWED = ("✓✓", "vv")
    FAILED = ("✗", "x")
    ADDED = ("+", "+")
    REMOVED = ("−", "-")
    OTHER = ("•", "*")
    DOT = ("●", "*")
    MORE = ("…", "...")


_MARK_CELLS = 2

_Piece = tuple[str | _Symbol, Style]


class _Entry(NamedTuple):
    """What is shown of a record: a mark, and groups of pieces that two spaces set apart."""

    mark: _Symbol
    mark_style: Style
    groups: list[list[_Piece]]


class Pretty:
    """Lines for a terminal of `width()` cells.

    `color_system` None is text without any escape sequence. What `encoding` does not have is shown
    as a backslash escape. `timezone` None is local time.
    """

    def __init__(
        self,
        *,
        width: Callable[[], int],
        color_system: Literal["standard", "256", "truecolor"] | None,
        encoding: str = "utf-8",
        timezone: tzinfo | None = None,
    ) -> None:
        self._width = width
        self._screen = _Screen(color_system, encoding)
        self._timezone = timezone
        self._channel_cells = 0

    def __call__(self, decoded: Decoded, kept: Sequence[Record]) -> list[bytes]:
        """Return one entry a record, of one or more whole lines."""
        width = max(self._width(), _NARROWEST)
        return [self._entry(record, width) for record in kept]

    def _entry(self, record: Record, width: int) -> bytes:
        """Lay a record out in columns or, where they leave no room, below time and channel."""
        entry = _describe(record, self._timezone)
        limit = min(width - 10, max(20, width // 3), 40)
        channel, channel_style = _channel(record.channel, limit)
        self._channel_cells = min(max(self._channel_cells, len(channel)), limit)
        time = _clock(record.received // 1_000_000_000, self._timezone)
        where: list[_Piece] = [(time, _DIM), ("  ", _PLAIN), (channel, channel_style)]
        mark: list[_Piece] = [(entry.mark, entry.mark_style)]
        indent = len(time) + 2 + self._channel_cells + 2 + _MARK_CELLS + 1
        if width - indent < _NARROW_BLOCK:
            indent = _MARK_CELLS + 1
            return self._screen.draw(where, mark, indent, entry.groups, width - indent)
        padding = " " * (self._channel_cells - len(channel) + 2)
        first = [*where, (padding, _PLAIN), *mark]
        return self._screen.draw([], first, indent, entry.groups, width - indent)


# Layout: from pieces to bytes.


class _Screen:
    """One terminal: its colours, its encoding and the symbols it has."""

    def __init__(self, color_system: str | None, encoding: str) -> None:
        self._colors = None if color_system is None else _COLOR_SYSTEMS[color_system]
        self._encoding = encoding
        self._is_utf8 = codecs.lookup(encoding).name == "utf-8"
        self._console = Console(file=StringIO(), color_system=None, _environ={})

    def draw(
        self,
        above: list[_Piece],
        first: list[_Piece],
        indent: int,
        groups: list[list[_Piece]],
        width: int,
    ) -> bytes:
        """Return a block of `groups`, `width` wide and beside `first`, with `above` over it."""
        left = self.text(first)
        left.pad_right(indent - _cells(left.plain))
        start = self._rendered(left)
        lines = [self._rendered(self.text(above))] if above else []
        for line in self._block(groups, width):
            lines.append(start + self._rendered(line))
            start = " " * indent
        text = "\n".join(line.rstrip() for line in lines)
        return f"{text}\n".encode(self._encoding, "backslashreplace")

    def text(self, pieces: Iterable[_Piece]) -> Text:
        """Return the pieces as a `Text`, escaped: there is no other way to the terminal."""
        text = Text()
        for piece, style in pieces:
            text.append(self._safe(piece), style)
        return text

    def _safe(self, piece: str | _Symbol) -> str:
        if isinstance(piece, _Symbol):
            return piece.value[0 if self._is_utf8 else 1]
        safe = escape_text(piece)
        if self._is_utf8:
            return safe
        return safe.encode(self._encoding, "backslashreplace").decode(self._encoding)

    def _block(self, groups: list[list[_Piece]], width: int) -> list[Text]:
        pieces, hidden = _cut(_spaced(groups), width * (LINE_LIMIT + 1))
        lines = _wrapped(self.text(pieces), width)
        # A note in the place of a single line would save nothing.
        if hidden or len(lines) > LINE_LIMIT + 1:
            hidden += sum(map(len, lines[LINE_LIMIT:]))
            note = (f" ({hidden} more characters, -o json shows all)", _DIM)
            lines[LINE_LIMIT:] = _wrapped(self.text([(_Symbol.MORE, _DIM), note]), width)
        for line in lines:
            line.rstrip()
        return lines

    def _rendered(self, line: Text) -> str:
        if self._colors is None:
            return line.plain
        segments = line.render(self._console)
        return "".join(self._styled(text, style) for text, style, _ in segments)

    def _styled(self, text: str, style: Style | None) -> str:
        if style is None or text.isspace():
            return text
        # The nearest of few colours to a tag's own may be the one of the background.
        if _is_rgb(style) and self._colors is not ColorSystem.TRUECOLOR:
            return text
        return style.render(text, color_system=self._colors)


def _is_rgb(style: Style) -> bool:
    return style.color is not None and style.color.triplet is not None


def _spaced(groups: Iterable[list[_Piece]]) -> Iterator[_Piece]:
    separator = ""
    for group in filter(None, groups):
        yield separator, _PLAIN
        yield from group
        separator = "  "


def _cut(pieces: Iterable[_Piece], budget: int) -> tuple[list[_Piece], int]:
    """Return the first `budget` characters, and how many more there are: wrapping is slow."""
    kept: list[_Piece] = []
    hidden = 0
    for piece, style in pieces:
        if isinstance(piece, str):
            hidden += max(0, len(piece) - budget)
            piece = piece[:budget]
            budget -= len(piece)
        kept.append((piece, style))
    return kept, hidden


def _wrapped(text: Text, width: int) -> list[Text]:
    if "\n" not in text.plain and _cells(text.plain) <= width:
        return [text]
    lines = text.split("\n", allow_blank=True)
    return [part for line in lines for part in line.divide(_breaks(line.plain, width))]


_WIDE = "\u2e80-\u9fff\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe4f\uff00-\uff60\U00020000-\U0003fffd"
_CLOSING = "、。，．！？：；）」』】〉》,.!?:;)"
_token = re.compile(rf"\s+|[{_WIDE}][{_CLOSING}]*|[^\s{_WIDE}]+").finditer
# A character with what belongs to it, so that joined emoji and flags are not torn apart.
_MODIFIED = "[^\u200d][\ufe0f\U0001f3fb-\U0001f3ff]?"
_cluster = re.compile(
    f"[\U0001f1e6-\U0001f1ff]{{2}}|{_MODIFIED}(?:\u200d{_MODIFIED}){{0,3}}|\u200d"
).finditer


def _breaks(line: str, width: int) -> list[int]:
    """Return where to break a line, all its parts being no wider than `width` once stripped."""
    breaks = []
    used = 0
    for start, token in _tokens(line, width):
        cells = _cells(token)
        if used + cells > width and not token.isspace():
            breaks.append(start)
            used = 0
        used += cells
    return breaks


def _tokens(line: str, width: int) -> Iterator[tuple[int, str]]:
    """Yield what is not to be broken, with its offset: words, wide characters, spaces."""
    for token in _token(line):
        if _cells(token[0]) <= width or token[0].isspace():
            yield token.start(), token[0]
            continue
        for part in _cluster(token[0]):
            yield token.start() + part.start(), part[0]


def _cells(text: str) -> int:
    """Return the most cells any terminal may need.

    rich counts a joined emoji once. A terminal that does not join shows all its parts, and the
    line would overflow into the first column, where records begin.
    """
    return len(text) if text.isascii() else sum(map(_character_cells, text))


_WIDER = {"\ufe0f": 1, **dict.fromkeys("🏻🏼🏽🏾🏿", 2)}


@lru_cache(maxsize=4096)
def _character_cells(character: str) -> int:
    known = _WIDER.get(character, get_character_cell_size(character))
    return max(known, 1) if category(character) == "Mc" else known


@lru_cache(maxsize=1024)
def _channel(name: str | None, limit: int) -> tuple[str, Style]:
    """Return the short name in ASCII, its middle left out if it is too long, and its colour."""
    if not name:
        return "-", _DIM
    style = _CHANNEL_STYLES[crc32(name.encode("utf-8", "backslashreplace")) % len(_CHANNEL_STYLES)]
    shown = escape_line(short_name(name)).encode("ascii", "backslashreplace").decode()
    if len(shown) > limit:
        tail = (limit - 3) // 2
        shown = f"{shown[: limit - 3 - tail]}...{shown[-tail:]}"
    return shown, style


# Time.


@lru_cache(maxsize=64)
def _clock(seconds: int, timezone: tzinfo | None) -> str:
    time = _date(seconds, timezone)
    return f"{time:%H:%M:%S}" if time else "--:--:--"


def _date(seconds: float, timezone: tzinfo | None) -> datetime | None:
    try:
        return datetime.fromtimestamp(seconds, timezone)
    except (OverflowError, OSError, ValueError):
        return None


# Description: from a record to pieces.


def _describe(record: Record, timezone: tzinfo | None) -> _Entry:
    item = _read(record.data)
    if isinstance(item, dict):
        entry: _Entry | None = None
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


def _message(item: dict[str, object], notes: str) -> _Entry | None:
    message = item.get("message")
    if not isinstance(message, dict | str) and not isinstance(item.get("type"), str):
        return None
    noted: list[_Piece] = [(notes, _DIM)] if notes else []
    content = _content(_label(item.get("type")) or "text", message)
    if _is_outgoing(item):
        groups = [_who(item.get("chat"), _BOLD), _id(item), noted, content]
        return _Entry(_Symbol.OUTGOING, _BOLD_CYAN, groups)
    return _Entry(_Symbol.INCOMING, _BOLD_GREEN, [_author(item), noted, content])


def _is_outgoing(item: dict[str, object]) -> bool:
    from_me = item.get("fromMe")
    return from_me if isinstance(from_me, bool) else item.get("side") == "out"


def _author(item: dict[str, object]) -> list[_Piece]:
    """Return who wrote and, when others can read it, in which chat."""
    author, chat = item.get("fromUser"), item.get("chat")
    name, room = _name(author), _name(chat)
    if not name:
        return _who(chat, _BOLD)
    if not room or room == name or _at(chat, "type") == "private":
        return _who(author, _BOLD)
    return [(name, _BOLD), (" in ", _DIM), (room, _PLAIN)]


def _who(person: object, style: Style) -> list[_Piece]:
    """Return the best name of a person or chat and, dimly, the next best."""
    second = _names(person)[1:2]
    return [(_name(person) or "?", style), *((f" {name}", _DIM) for name in second)]


def _name(person: object) -> str:
    return next(iter(_names(person)), "") or _label(_at(person, "id"))


def _names(person: object) -> list[str]:
    """Return what a person or chat is called, best first."""
    username = _label(_at(person, "username")).removeprefix("@")
    names = (_label(_at(person, "name")), username and f"@{username}", _label(_at(person, "phone")))
    return list(dict.fromkeys(filter(None, names)))


def _id(item: dict[str, object]) -> list[_Piece]:
    """Return the message's id; of a long one the end, where they differ."""
    number = _string(item.get("id")) or _string(item.get("internalId"))
    shown = number if len(number) <= 16 else f"...{number[-12:]}"
    return [(f"#{' '.join(shown.split())}", _DIM)] if number else []


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
    return f're "{_label(words, _QUOTE_LIMIT)}"' if words else "reply"


def _late(sent: object, received: int, timezone: tzinfo | None) -> str:
    """Return when a message was sent, if that is not about when it came."""
    if not _is_number(sent) or not _is_number(received) or abs(received - sent) <= _LATE_SECONDS:
        return ""
    then, now = _date(sent, timezone), _date(received, timezone)
    if not then or not now:
        return ""
    return f"sent {then:%H:%M}" if then.date() == now.date() else f"sent {then:%Y-%m-%d %H:%M}"


_KIND_NAMES = {"image": "photo", "document": "file", "call_log": "call"}
_KINDS_WITH_FILE_NAMES = {"file", "files", "document"}
_MEDIA = {"image", "video", "voice", "audio", "sticker"}
# Of other kinds, whatever their message holds is shown.
_KNOWN_KINDS = {"text", "system"} | _MEDIA | _KINDS_WITH_FILE_NAMES


def _content(kind: str, message: object) -> list[_Piece]:
    """Return what a message says: in brackets what it is unless text, its words, and the rest."""
    files = _files(message)
    if kind == "text" and files:
        kind = "file"
    parts = (
        (_bracketed(kind, message, files), _MAGENTA),
        (_words(message), _PLAIN),
        (_rest(kind, message), _DIM),
    )
    pieces: list[_Piece] = []
    for part in filter(lambda part: part[0], parts):
        pieces += [(" ", _PLAIN), part] if pieces else [part]
    return pieces or [("(no text)", _DIM)]


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
    name = _label(_at(file, "name")) if with_name else ""
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
    "sent": (_Symbol.SENT, _PLAIN),
    "delivered": (_Symbol.DELIVERED, _GREEN),
    "viewed": (_Symbol.VIEWED, _CYAN),
    "failed": (_Symbol.FAILED, _BOLD_RED),
}


def _status(item: dict[str, object]) -> _Entry | None:
    status = _label(item.get("type"))
    if not status:
        return None
    mark, style = _STATUSES.get(status, (_Symbol.OTHER, _PLAIN))
    reason = _reason(item.get("error"))
    groups: list[list[_Piece]] = [
        [(status, style)],
        _who(item.get("chat"), _PLAIN),
        _id(item),
        [(reason, _RED)] if reason else [],
    ]
    return _Entry(mark, style, groups)


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


_TAG_ACTIONS = {"add": (_Symbol.ADDED, _BOLD_GREEN), "destroy": (_Symbol.REMOVED, _BOLD_RED)}


def _tag(item: dict[str, object]) -> _Entry | None:
    tag, action = item.get("tag"), _label(item.get("type"))
    name = _label(_at(tag, "name")) or _label(_at(tag, "id"))
    if not name:
        return None
    mark, style = _TAG_ACTIONS.get(action, (_Symbol.OTHER, _PLAIN))
    group = _label(_at(tag, "category", "name"))
    pieces: list[_Piece] = [
        ("tag " if action in _TAG_ACTIONS else f"tag {action} ", _DIM),
        (_Symbol.DOT, _color(_at(tag, "color"))),
        (f" {name}", _BOLD),
        (f" ({group})" if group else "", _DIM),
    ]
    return _Entry(mark, style, [pieces, _who(item.get("chat"), _PLAIN)])


def _color(color: object) -> Style:
    # Seven digits have been seen; the first six are as good a guess as any.
    found = re.match(r"#([0-9a-fA-F]{2})([0-9a-fA-F]{2})([0-9a-fA-F]{2})", _string(color))
    if not found:
        return _PLAIN
    red, green, blue = (int(part, 16) for part in found.groups())
    return Style(color=Color.from_rgb(red, green, blue))


def _unknown(record: Record, item: object) -> _Entry:
    if record.encoding == "text" and isinstance(item, str):
        content: _Piece = (item, _PLAIN)
    else:
        content = (_compact(item), _DIM)
    return _Entry(_Symbol.OTHER, _PLAIN, [[(_label(record.event) or "?", _BOLD)], [content]])


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


def _label(value: object, limit: int = _LABEL_LIMIT) -> str:
    """Return a name on one line and with single spaces, as two spaces set groups apart."""
    words = " ".join(_string(value).split())
    return words if len(words) <= limit else f"{words[:limit]}..."


def _compact(value: object) -> str:
    try:
        return json.dumps(value, ensure_ascii=False, separators=(", ", ":"))
    except (ValueError, RecursionError):
        return "(nested too deeply, -o json shows it)"
