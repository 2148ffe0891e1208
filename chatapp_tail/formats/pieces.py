"""What an entry of pretty output is made of: pieces of text, each with a style."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple

from rich.style import Style

# No background, no black and no white: it has to be readable on dark and on light.
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


Spans = Sequence[tuple[int, int]]
"""Parts of a text: (start, end) of each, in order, none overlapping."""


@dataclass(frozen=True, slots=True)
class Said:
    """What people wrote, as it came, and the spans of it that were searched for."""

    text: str
    found: Spans = ()


Piece = tuple[str | Said | Symbol, Style]


class Entry(NamedTuple):
    """What is shown of a record: a mark, and groups of pieces that two spaces set apart."""

    mark: Symbol
    mark_style: Style
    groups: list[list[Piece]]
