"""The time at which a record was received, in the style of `--time`."""

from collections.abc import Callable
from datetime import UTC, datetime, tzinfo
from functools import lru_cache

from . import TimeStyle as TimeStyle
from .timestamps import timestamp

Clock = Callable[[int], str]
"""Nanoseconds since the epoch -> text; called once per record, as it may be relative to the record
before."""


def make_clock(style: TimeStyle, timezone: tzinfo | None = None) -> Clock:
    """Return a new clock; `timezone` is used by `local` only, None is that of the machine."""
    return _CLOCKS[style](timezone)


def timezone_for(style: TimeStyle) -> tzinfo | None:
    """Return the timezone for dates beside such times; None is that of the machine."""
    return UTC if style in (TimeStyle.UTC, TimeStyle.ISO) else None


@lru_cache(maxsize=64)
def time_of_day(seconds: int, timezone: tzinfo | None) -> str:
    """Return `08:39:00` for a moment in seconds since the epoch."""
    moment = date(seconds, timezone)
    return f"{moment:%H:%M:%S}" if moment else "--:--:--"


def date(seconds: float, timezone: tzinfo | None) -> datetime | None:
    """Return a moment as date and time, None if it is out of range."""
    try:
        return datetime.fromtimestamp(seconds, timezone)
    except (OverflowError, OSError, ValueError):
        return None


def format_delta(nanoseconds: int) -> str:
    """Return a difference of times as `+0.0s`, `+1.2s`, `+3m12s`, `+2h05m` or `+3d04h`."""
    sign = "-" if nanoseconds < 0 else "+"
    tenths = round(abs(nanoseconds) / 100_000_000)
    if tenths < 600:
        return f"{sign}{tenths / 10:.1f}s"
    seconds = round(tenths / 10)
    _, large, small, names = next(unit for unit in _UNITS if seconds < unit[0])
    return f"{sign}{seconds // large}{names[0]}{seconds % large // small:02}{names[1]}"


_UNITS = (
    (3600, 60, 1, "ms"),
    (86400, 3600, 60, "hm"),
    (float("inf"), 86400, 3600, "dh"),
)


def _of_day(timezone: tzinfo | None) -> Clock:
    return lambda moment: time_of_day(moment // 1_000_000_000, timezone)


def _relative(_: tzinfo | None) -> Clock:
    before: int | None = None

    def since_before(moment: int) -> str:
        nonlocal before
        passed = 0 if before is None else moment - before
        before = moment
        return format_delta(passed)

    return since_before


def _iso(_: tzinfo | None) -> Clock:
    return lambda moment: timestamp(moment).decode()


def _none(_: tzinfo | None) -> Clock:
    return lambda _: ""


_CLOCKS: dict[TimeStyle, Callable[[tzinfo | None], Clock]] = {
    TimeStyle.LOCAL: _of_day,
    TimeStyle.UTC: lambda _: _of_day(UTC),
    TimeStyle.ISO: _iso,
    TimeStyle.RELATIVE: _relative,
    TimeStyle.NONE: _none,
}
