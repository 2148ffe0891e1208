"""`-o pretty`: time, channel, a mark, author and content; one line per record where it fits.

A record is first described, as segments of plain text with a style, then laid out. Text from
outside is escaped in one place, `_Screen.runs`, and only the result is measured, wrapped and
coloured. Of rich, only widths and colours are used: no markup, nothing from the environment.
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
from ..chatapp.records import DecodedEvent, Record
from ..escape import escape_line, escape_text
from .description import describe
from .pieces import BOLD_RED, CYAN, DIM, GREEN, MAGENTA, PLAIN, Segment, Spans, Symbol, UserText
from .times import Clock, TimeStyle, make_clock

LINE_LIMIT = 6
"""Lines shown per record; a note counts the characters left out."""

Highlight = Callable[[str], list[tuple[int, int]]]
"""Text of a message -> the (start, end) of each match, see `Grep.spans`."""

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

    `color_system` None writes no escape sequence. Characters that `encoding` lacks are written as
    backslash escapes. `clock` None is the local time of day; if it returns empty text there is no
    column. `timezone` is that of the times in notes, None for the local one. `highlight` is called
    for text and caption, and only with colours.
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

    def __call__(self, decoded: DecodedEvent, kept: Sequence[Record]) -> list[bytes]:
        """Return one entry per record, of one or more whole lines."""
        width = max(self._width(), _NARROWEST)
        return [self._entry(record, width) for record in kept]

    def _entry(self, record: Record, width: int) -> bytes:
        """Lay a record out in columns or, if they leave no room, below time and channel."""
        entry = describe(record, self._timezone)
        time = self._time(record.received)
        channel, style = self._channel(record.channel, width)
        mark: list[Segment] = [(entry.mark, entry.mark_style)]
        indent = self._time_cells + self._channel_cells + _GAP + _MARK_CELLS + 1
        if width - indent < _NARROW_BLOCK:
            where: list[Segment] = [(time.lstrip(), DIM), (channel, style)]
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


# Layout: from segments to bytes.


_StyledText = tuple[str, Style]
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
        above: list[Segment],
        first: list[Segment],
        indent: int,
        groups: list[list[Segment]],
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

    def runs(self, segments: Iterable[Segment]) -> list[_StyledText]:
        """Return the segments escaped; every text passes here on its way to the terminal."""
        runs: list[_StyledText] = []
        for segment, style in segments:
            if isinstance(segment, Symbol):
                runs.append((segment.value[0 if self._is_utf8 else 1], style))
            elif isinstance(segment, UserText) and segment.matches:
                safe = self._safe(segment.text)
                runs += _highlighted(safe, shift_spans(segment.matches, segment.text, safe), style)
            else:
                runs.append((self._safe(_raw(segment)), style))
        return runs

    def _safe(self, text: str) -> str:
        safe = escape_text(text)
        if self._is_utf8:
            return safe
        return safe.encode(self._encoding, "backslashreplace").decode(self._encoding)

    def _with_matches(self, segment: Segment) -> Segment:
        content, style = segment
        if self._highlight is None or not isinstance(content, UserText):
            return segment
        return UserText(content.text, self._highlight(content.text)), style

    def _block(self, groups: list[list[Segment]], width: int) -> list[str]:
        segments, hidden = _cut(map(self._with_matches, _spaced(groups)), width * (LINE_LIMIT + 1))
        runs = self.runs(segments)
        parts = _parts(_plain(runs), width)
        # A note that replaces a single line would save nothing.
        if not hidden and len(parts) <= LINE_LIMIT + 1:
            return [self._rendered(_sliced(runs, *part)) for part in parts]
        hidden += sum(end - start for start, end in parts[LINE_LIMIT:])
        hint = f" ({hidden} more characters, -o json shows all)"
        note = self._wrapped(self.runs([(Symbol.MORE, DIM), (hint, DIM)]), width)
        return [self._rendered(_sliced(runs, *part)) for part in parts[:LINE_LIMIT]] + note

    def _wrapped(self, runs: list[_StyledText], width: int) -> list[str]:
        parts = _parts(_plain(runs), width)
        return [self._rendered(_sliced(runs, *part)) for part in parts]

    def _rendered(self, runs: list[_StyledText]) -> str:
        if self._colors is None:
            return _plain(runs)
        return "".join([self._styled(text, style) for text, style in runs])

    def _styled(self, text: str, style: Style) -> str:
        if style is PLAIN or text.isspace():
            return text
        # The nearest of few colours to that of a tag may be the colour of the background.
        if _is_rgb(style) and self._colors is not ColorSystem.TRUECOLOR:
            return text
        return style.render(text, color_system=self._colors)


def _is_rgb(style: Style) -> bool:
    return style.color is not None and style.color.triplet is not None


def _spaced(groups: Iterable[list[Segment]]) -> Iterator[Segment]:
    separator = ""
    for group in filter(None, groups):
        yield separator, PLAIN
        yield from group
        separator = "  "


def _cut(segments: Iterable[Segment], budget: int) -> tuple[list[Segment], int]:
    """Return the first `budget` characters, and how many more there are: wrapping is slow."""
    kept: list[Segment] = []
    hidden = 0
    for segment, style in segments:
        if not isinstance(segment, Symbol):
            raw = _raw(segment)
            if len(raw) > budget:
                hidden += len(raw) - budget
                raw = raw[:budget]
                segment = UserText(raw, segment.matches) if isinstance(segment, UserText) else raw
            budget -= len(raw)
        kept.append((segment, style))
    return kept, hidden


def _raw(segment: str | UserText) -> str:
    return segment.text if isinstance(segment, UserText) else segment


def shift_spans(spans: Spans, raw: str, safe: str) -> Spans:
    """Return the spans of `raw` after escaping; those that were cut off are at the end."""
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
    """Return the length of a character after escaping: an escape begins with another character."""
    if safe.startswith(character, offset):
        return 1
    if character == "\t":
        return 4
    if character == "\r" and safe.startswith("\n", offset):
        return 0
    escape = ascii(character)[1:-1]
    # Some encodings have one character for two, such as Shift JIS for yen and backslash.
    return len(escape) if safe.startswith(escape, offset) else 1


def _highlighted(text: str, spans: Spans, style: Style) -> Iterator[_StyledText]:
    end = 0
    for start, stop in spans:
        yield text[end:start], style
        yield text[start:stop], BOLD_RED
        end = stop
    yield text[end:], style


def _plain(runs: list[_StyledText]) -> str:
    return "".join([text for text, _ in runs])


def _sliced(runs: list[_StyledText], start: int, end: int) -> list[_StyledText]:
    """Return one line of the text that `runs` form, without trailing spaces."""
    sliced: list[_StyledText] = []
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
    """Return the (start, end) of each line; no line is wider than `width` once stripped."""
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
# A character with its modifiers, so that joined emoji and flags are not split.
_MODIFIED = "[^\u200d][\ufe0f\U0001f3fb-\U0001f3ff]?"
_cluster = re.compile(
    f"[\U0001f1e6-\U0001f1ff]{{2}}|{_MODIFIED}(?:\u200d{_MODIFIED}){{0,3}}|\u200d"
).finditer


def _breaks(line: str, width: int) -> list[int]:
    """Return where to break a line, so that no part is wider than `width` once stripped."""
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
    """Yield the parts that are not to be broken, with offsets: words, wide characters, spaces."""
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


# Characters that rich counts with the one before; a flag's letter that does not join is two cells.
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
