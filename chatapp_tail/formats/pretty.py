"""Records for people: time, channel, a mark, who, and what; one line each where it fits.

A record is first described, as pieces of plain text with a style, then laid out. What came from
outside is escaped in one place, `_Screen.runs`, and only the result is measured, broken into lines
and coloured; of rich that takes widths and colours: no markup, nothing from the environment.
"""

import codecs
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import tzinfo
from functools import lru_cache
from itertools import pairwise
from typing import Literal
from unicodedata import category
from zlib import crc32

from rich.cells import get_character_cell_size
from rich.color import ColorSystem
from rich.style import Style

from ..chatapp.channels import short_name
from ..chatapp.records import Decoded, Record
from ..escape import escape_line, escape_text
from .description import describe
from .pieces import BOLD_RED, CYAN, DIM, GREEN, MAGENTA, PLAIN, Piece, Said, Spans, Symbol
from .times import Clock, TimeStyle, make_clock

LINE_LIMIT = 6
"""How many lines of one record are shown; a note counts what is left out."""

Highlight = Callable[[str], list[tuple[int, int]]]
"""What people wrote, as it came -> the (start, end) of what stands out, as `Grep.spans` has it."""

_NARROWEST = 20
_NARROWEST_CHANNEL = 10
_WIDEST_TIME = 27
_GAP = 2
_NARROW_BLOCK = 32

_CHANNEL_STYLES = (CYAN, MAGENTA, Style(color="yellow"), GREEN, Style(color="blue"))
_MARK_CELLS = 2

_COLOR_SYSTEMS = {
    "standard": ColorSystem.STANDARD,
    "256": ColorSystem.EIGHT_BIT,
    "truecolor": ColorSystem.TRUECOLOR,
}


class Pretty:
    """Lines for a terminal of `width()` cells.

    `color_system` None is text without any escape sequence. What `encoding` does not have is shown
    as a backslash escape. `clock` None is the local time of day; where it says nothing there is no
    column. `timezone` is that of the times in notes, None where the machine is. `highlight` is
    asked about text and caption, and only where there are colours.
    """

    def __init__(
        self,
        *,
        width: Callable[[], int],
        color_system: Literal["standard", "256", "truecolor"] | None,
        encoding: str = "utf-8",
        clock: Clock | None = None,
        highlight: Highlight | None = None,
        timezone: tzinfo | None = None,
    ) -> None:
        self._width = width
        self._screen = _Screen(color_system, encoding, highlight)
        self._clock = clock or make_clock(TimeStyle.LOCAL, timezone)
        self._timezone = timezone
        self._time_cells = 0
        self._channel_cells = 0

    def __call__(self, decoded: Decoded, kept: Sequence[Record]) -> list[bytes]:
        """Return one entry a record, of one or more whole lines."""
        width = max(self._width(), _NARROWEST)
        return [self._entry(record, width) for record in kept]

    def _entry(self, record: Record, width: int) -> bytes:
        """Lay a record out in columns or, where they leave no room, below time and channel."""
        entry = describe(record, self._timezone)
        time = self._time(record.received)
        channel, style = self._channel(record.channel, width)
        mark: list[Piece] = [(entry.mark, entry.mark_style)]
        indent = self._time_cells + self._channel_cells + _GAP + _MARK_CELLS + 1
        if width - indent < _NARROW_BLOCK:
            where: list[Piece] = [(time.lstrip(), DIM), (channel, style)]
            indent = _MARK_CELLS + 1
            return self._screen.draw(where, mark, indent, entry.groups, width - indent)
        padding = " " * (self._channel_cells - len(channel) + _GAP)
        first = [(time, DIM), (channel, style), (padding, PLAIN), *mark]
        return self._screen.draw([], first, indent, entry.groups, width - indent)

    def _time(self, moment: int) -> str:
        """Return the time to the right of its column, which is as wide as the widest so far."""
        time = self._clock(moment)[:_WIDEST_TIME]
        if time:
            self._time_cells = max(self._time_cells, len(time) + _GAP)
            time += " " * _GAP
        return time.rjust(self._time_cells)

    def _channel(self, name: str | None, width: int) -> tuple[str, Style]:
        """Return the channel and its style; the column is as wide as the longest so far."""
        beside_time = max(width - self._time_cells, _NARROWEST_CHANNEL)
        limit = min(beside_time, max(20, width // 3), 40)
        channel, style = _channel(name, limit)
        self._channel_cells = min(max(self._channel_cells, len(channel)), limit)
        return channel, style


# Layout: from pieces to bytes.


_Run = tuple[str, Style]
"""Text that is safe to show, and its style."""


class _Screen:
    """One terminal: its colours, its encoding and the symbols it has."""

    def __init__(
        self, color_system: str | None, encoding: str, highlight: Highlight | None
    ) -> None:
        self._colors = None if color_system is None else _COLOR_SYSTEMS[color_system]
        self._highlight = highlight if self._colors is not None else None
        self._encoding = encoding
        self._is_utf8 = codecs.lookup(encoding).name == "utf-8"

    def draw(
        self,
        above: list[Piece],
        first: list[Piece],
        indent: int,
        groups: list[list[Piece]],
        width: int,
    ) -> bytes:
        """Return a block of `groups`, `width` wide and beside `first`, with `above` over it."""
        left = self.runs(first)
        start = self._rendered(left) + " " * (indent - _cells(_plain(left)))
        lines = self._wrapped(self.runs(above), indent + width) if above else []
        for line in self._block(groups, width):
            lines.append(start + line)
            start = " " * indent
        text = "\n".join(line.rstrip() for line in lines)
        return f"{text}\n".encode(self._encoding, "backslashreplace")

    def runs(self, pieces: Iterable[Piece]) -> list[_Run]:
        """Return the pieces escaped: there is no other way to the terminal."""
        runs: list[_Run] = []
        for piece, style in pieces:
            if isinstance(piece, Symbol):
                runs.append((piece.value[0 if self._is_utf8 else 1], style))
            elif isinstance(piece, Said) and piece.found:
                safe = self._safe(piece.text)
                runs += _marked(safe, moved(piece.found, piece.text, safe), style)
            else:
                runs.append((self._safe(_raw(piece)), style))
        return runs

    def _safe(self, text: str) -> str:
        safe = escape_text(text)
        if self._is_utf8:
            return safe
        return safe.encode(self._encoding, "backslashreplace").decode(self._encoding)

    def _searched(self, piece: Piece) -> Piece:
        said, style = piece
        if self._highlight is None or not isinstance(said, Said):
            return piece
        return Said(said.text, self._highlight(said.text)), style

    def _block(self, groups: list[list[Piece]], width: int) -> list[str]:
        pieces, hidden = _cut(map(self._searched, _spaced(groups)), width * (LINE_LIMIT + 1))
        runs = self.runs(pieces)
        parts = _parts(_plain(runs), width)
        # A note in the place of a single line would save nothing.
        if not hidden and len(parts) <= LINE_LIMIT + 1:
            return [self._rendered(_sliced(runs, *part)) for part in parts]
        hidden += sum(end - start for start, end in parts[LINE_LIMIT:])
        said = f" ({hidden} more characters, -o json shows all)"
        note = self._wrapped(self.runs([(Symbol.MORE, DIM), (said, DIM)]), width)
        return [self._rendered(_sliced(runs, *part)) for part in parts[:LINE_LIMIT]] + note

    def _wrapped(self, runs: list[_Run], width: int) -> list[str]:
        parts = _parts(_plain(runs), width)
        return [self._rendered(_sliced(runs, *part)) for part in parts]

    def _rendered(self, runs: list[_Run]) -> str:
        if self._colors is None:
            return _plain(runs)
        return "".join([self._styled(text, style) for text, style in runs])

    def _styled(self, text: str, style: Style) -> str:
        if style is PLAIN or text.isspace():
            return text
        # The nearest of few colours to a tag's own may be the one of the background.
        if _is_rgb(style) and self._colors is not ColorSystem.TRUECOLOR:
            return text
        return style.render(text, color_system=self._colors)


def _is_rgb(style: Style) -> bool:
    return style.color is not None and style.color.triplet is not None


def _spaced(groups: Iterable[list[Piece]]) -> Iterator[Piece]:
    separator = ""
    for group in filter(None, groups):
        yield separator, PLAIN
        yield from group
        separator = "  "


def _cut(pieces: Iterable[Piece], budget: int) -> tuple[list[Piece], int]:
    """Return the first `budget` characters, and how many more there are: wrapping is slow."""
    kept: list[Piece] = []
    hidden = 0
    for piece, style in pieces:
        if not isinstance(piece, Symbol):
            raw = _raw(piece)
            if len(raw) > budget:
                hidden += len(raw) - budget
                raw = raw[:budget]
                piece = Said(raw, piece.found) if isinstance(piece, Said) else raw
            budget -= len(raw)
        kept.append((piece, style))
    return kept, hidden


def _raw(piece: str | Said) -> str:
    return piece.text if isinstance(piece, Said) else piece


def moved(spans: Spans, raw: str, safe: str) -> Spans:
    """Return where the parts of `raw` stand after escaping; what was cut off stands at the end."""
    if raw == safe:
        return spans
    offsets, end = _offsets(raw, safe), len(raw)
    return [(offsets[min(start, end)], offsets[min(stop, end)]) for start, stop in spans]


def _offsets(raw: str, safe: str) -> list[int]:
    """Return where each character of `raw` begins in `safe`, and where the last one ends."""
    offsets = [0]
    for character in raw:
        offsets.append(offsets[-1] + _escaped_length(character, safe, offsets[-1]))
    return offsets


def _escaped_length(character: str, safe: str, offset: int) -> int:
    """Return how long a character became: its escape begins otherwise than it does."""
    if safe.startswith(character, offset):
        return 1
    if character == "\t":
        return 4
    if character == "\r" and safe.startswith("\n", offset):
        return 0
    escape = ascii(character)[1:-1]
    # Some encodings have one character for two, as Shift JIS for yen and backslash.
    return len(escape) if safe.startswith(escape, offset) else 1


def _marked(text: str, spans: Spans, style: Style) -> Iterator[_Run]:
    end = 0
    for start, stop in spans:
        yield text[end:start], style
        yield text[start:stop], BOLD_RED
        end = stop
    yield text[end:], style


def _plain(runs: list[_Run]) -> str:
    return "".join([text for text, _ in runs])


def _sliced(runs: list[_Run], start: int, end: int) -> list[_Run]:
    """Return one line of a text of which `runs` are all parts, without the spaces it ends in."""
    sliced: list[_Run] = []
    for text, style in runs:
        if part := text[max(start, 0) : max(end, 0)]:
            sliced.append((part, style))
        start -= len(text)
        end -= len(text)
    while sliced and sliced[-1][0][-1].isspace():
        text, style = sliced.pop()
        if text := text.rstrip():
            sliced.append((text, style))
    return sliced


def _parts(text: str, width: int) -> list[tuple[int, int]]:
    """Return the (start, end) of each line; all are no wider than `width` once stripped."""
    if "\n" not in text and _cells(text) <= width:
        return [(0, len(text))]
    parts: list[tuple[int, int]] = []
    offset = 0
    for line in text.split("\n"):
        ends = pairwise([0, *_breaks(line, width), len(line)])
        parts += [(offset + start, offset + end) for start, end in ends]
        offset += len(line) + 1
    return parts


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


# What rich counts with the character before it; a letter of a flag that does not join is a square.
_FLAG_LETTERS = map(chr, range(0x1F1E6, 0x1F200))
_WIDER = {"\ufe0f": 1, **dict.fromkeys("🏻🏼🏽🏾🏿", 2), **dict.fromkeys(_FLAG_LETTERS, 2)}


@lru_cache(maxsize=4096)
def _character_cells(character: str) -> int:
    known = _WIDER.get(character, get_character_cell_size(character))
    return max(known, 1) if category(character) == "Mc" else known


@lru_cache(maxsize=1024)
def _channel(name: str | None, limit: int) -> tuple[str, Style]:
    """Return the short name in ASCII, its middle left out if it is too long, and its colour."""
    if not name:
        return "-", DIM
    style = _CHANNEL_STYLES[crc32(name.encode("utf-8", "backslashreplace")) % len(_CHANNEL_STYLES)]
    shown = escape_line(short_name(name)).encode("ascii", "backslashreplace").decode()
    if len(shown) > limit:
        tail = (limit - 3) // 2
        shown = f"{shown[: limit - 3 - tail]}...{shown[-tail:]}"
    return shown, style
