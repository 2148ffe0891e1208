"""Output formats: each is a callable that returns the lines of records and writes nothing."""

from collections.abc import Callable, Sequence
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..chatapp.records import DecodedEvent, Record

Format = Callable[["DecodedEvent", Sequence["Record"]], list[bytes]]
"""(a decoded frame, its records that passed the filters) -> the pieces to write, each with its
newline. `--count` counts these pieces."""


class Output(StrEnum):
    """Values of `-o`; `auto` is `pretty` on a terminal and `json` otherwise."""

    AUTO = "auto"
    PRETTY = "pretty"
    JSON = "json"
    RAW = "raw"
    CSV = "csv"
    TEMPLATE = "template"


class TimeStyle(StrEnum):
    """Values of `--time`."""

    LOCAL = "local"
    """`10:39:00`"""
    UTC = "utc"
    """`08:39:00`"""
    ISO = "iso"
    """`2026-11-22T08:39:00.123456Z`, as `received` in JSON"""
    RELATIVE = "relative"
    """`+1.2s` since the record before"""
    NONE = "none"
