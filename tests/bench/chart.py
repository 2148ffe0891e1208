"""The figures that matter as bars, one picture for GitHub's dark mode and one for its light mode.

Written by hand as text: a few rectangles need no library to draw them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from xml.sax.saxutils import escape

from .peers import OURS
from .table import number, ratio

Medians = Mapping[str, Mapping[str, float | str]]


@dataclass(frozen=True, slots=True)
class Theme:
    """Colours of the page behind, of text, and of the bars: ours and the others'."""

    page: str
    text: str
    faint: str
    ours: str
    theirs: str


THEMES = {
    "dark": Theme("#0d1117", "#e6edf3", "#9198a1", "#3fb950", "#484f58"),
    "light": Theme("#ffffff", "#1f2328", "#59636e", "#1a7f37", "#c8d1da"),
}

PANELS = (
    ("ws: events/s", "Events a second", "more is better"),
    ("ws: CPU µs/event", "CPU an event, µs", "less is better"),
    ("latency, p99: ms", "Latency at 100 events a second, p99, ms", "less is better"),
    ("RSS, 1 channel: MiB", "Memory when idle, MiB", "less is better"),
)
"""Figure, its title, and what is good."""

_PANEL, _GAP, _EDGE = 400, 24, 20
_HEAD, _ROW, _BAR = 44, 22, 14
_NAMES, _VALUES = 104, 96


def chart(figures: Medians, peers: Sequence[str], theme: str) -> str:
    """Return one SVG; figures that were not measured have no panel."""
    panels = [panel for panel in PANELS if panel[0] in figures]
    height = _HEAD + _ROW * len(peers) + _GAP
    rows = -(-len(panels) // 2)
    whole = (2 * _EDGE + 2 * _PANEL + _GAP, 2 * _EDGE + rows * height - _GAP)
    colours = THEMES[theme]
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {whole[0]} {whole[1]}"'
        ' font-family="sans-serif" font-size="13" role="img">',
        f"<title>{escape(_spoken(figures, panels, peers))}</title>",
        f'<rect width="{whole[0]}" height="{whole[1]}" rx="8" fill="{colours.page}"/>',
    ]
    for at, (name, title, good) in enumerate(panels):
        left = _EDGE + (at % 2) * (_PANEL + _GAP)
        top = _EDGE + (at // 2) * height
        parts.append(f'<g transform="translate({left} {top})">')
        parts += _panel(figures[name], title, good, peers, colours)
        parts.append("</g>")
    return "\n".join([*parts, "</svg>"]) + "\n"


def _spoken(figures: Medians, panels: Sequence[tuple[str, str, str]], peers: Sequence[str]) -> str:
    """Return the picture in words, for those who do not see it."""
    told = []
    for name, title, _ in panels:
        values = (f"{peer} {_value(figures[name].get(peer), None)}" for peer in peers)
        told.append(f"{title}: {', '.join(values)}")
    return "; ".join(told)


def _panel(
    row: Mapping[str, float | str], title: str, good: str, peers: Sequence[str], colours: Theme
) -> list[str]:
    numbers = [value for value in map(row.get, peers) if isinstance(value, float | int)]
    most = max(numbers, default=0.0) or 1.0
    lines = [
        _text(0, 14, title, colours.text, 'font-weight="600"'),
        _text(0, 32, good, colours.faint, 'font-size="11"'),
    ]
    for at, peer in enumerate(peers):
        middle = _HEAD + at * _ROW + _BAR // 2
        value = row.get(peer)
        width = _width(value, most)
        colour = colours.ours if peer == OURS else colours.theirs
        weight = 'font-weight="600"' if peer == OURS else ""
        lines.append(
            _text(_NAMES - 8, middle + 4, peer, colours.text, f'text-anchor="end" {weight}')
        )
        lines.append(
            f'<rect x="{_NAMES}" y="{middle - _BAR // 2}" width="{width:.1f}" height="{_BAR}"'
            f' rx="2" fill="{colour}"/>'
        )
        shown = _value(value, None if peer == OURS else row.get(OURS))
        lines.append(_text(_NAMES + width + 6, middle + 4, shown, colours.text, weight))
    return lines


def _width(value: float | str | None, most: float) -> float:
    known = value if isinstance(value, float | int) else 0.0
    return max(known, 0.0) / most * (_PANEL - _NAMES - _VALUES)


def _value(value: float | str | None, ours: float | str | None) -> str:
    """Return a figure and how many times ours it is; a dash for what could not be measured."""
    if not isinstance(value, float | int):
        return "–"
    times = ratio(value, ours)
    return number(value) if times is None else f"{number(value)} ({number(times, 2)}×)"


def _text(x: float, y: float, text: str, colour: str, more: str = "") -> str:
    return f'<text x="{x:.1f}" y="{y}" fill="{colour}" {more}>{escape(text)}</text>'
