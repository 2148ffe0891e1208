"""The parts of an entry of pretty output: segments of text with a style."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple

from rich.style import Style

# No background, no black and no white: readable on dark and on light terminals.
PLAIN = Style()
DIM = Style(dim=True)
BOLD = Style(bold=True)
GREEN = Style(color="green")
CYAN = Style(color="cyan")
MAGENTA = Style(color="magenta")
RED = Style(color="red")
BOLD_GREEN = Style(color="green", bold=True)
BOLD_CYAN = Style(color="cyan", bold=True)
BOLD_RED = Style(color="red", bold=True)


class Symbol(Enum):
    """Symbols, for UTF-8 terminals and for others."""

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


Spans = Sequence[tuple[int, int]]
"""Parts of a text as (start, end), in order and without overlap."""


@dataclass(frozen=True, slots=True)
class UserText:
    """Text of a message, not escaped, and the spans that `--grep` matches."""

    text: str
    matches: Spans = ()


Segment = tuple[str | UserText | Symbol, Style]


class Entry(NamedTuple):
    """The description of a record: a mark, and groups of segments, separated by two spaces."""

    mark: Symbol
    mark_style: Style
    groups: list[list[Segment]]
