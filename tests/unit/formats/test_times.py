"""When a record came, in every way to say it."""

from datetime import UTC, timedelta, timezone, tzinfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatapp_tail.formats.times import (
    TimeStyle,
    date,
    format_delta,
    make_clock,
    time_of_day,
    timezone_for,
)

SECOND = 1_000_000_000
MOMENT = 1637319283_123456789
ALMATY = timezone(timedelta(hours=5))

STYLES = [
    (TimeStyle.LOCAL, ALMATY, "15:54:43"),
    (TimeStyle.LOCAL, UTC, "10:54:43"),
    (TimeStyle.UTC, ALMATY, "10:54:43"),
    (TimeStyle.ISO, ALMATY, "2021-11-19T10:54:43.123456Z"),
    (TimeStyle.RELATIVE, ALMATY, "+0.0s"),
    (TimeStyle.NONE, ALMATY, ""),
]


@pytest.mark.parametrize(("style", "zone", "expected"), STYLES)
def test_a_moment_in_each_style(style: TimeStyle, zone: tzinfo, expected: str) -> None:
    assert make_clock(style, zone)(MOMENT) == expected


def test_every_style_has_a_clock() -> None:
    assert {style for style, _, _ in STYLES} == set(TimeStyle)


def test_local_time_is_that_of_the_machine() -> None:
    here = date(MOMENT // SECOND, None)
    assert here is not None
    assert make_clock(TimeStyle.LOCAL)(MOMENT) == f"{here:%H:%M:%S}"


@pytest.mark.parametrize("style", TimeStyle)
def test_dates_beside_times_are_in_their_timezone(style: TimeStyle) -> None:
    assert timezone_for(style) == (UTC if style in ("utc", "iso") else None)


def test_relative_time_counts_from_the_record_before() -> None:
    clock, other = make_clock(TimeStyle.RELATIVE), make_clock(TimeStyle.RELATIVE)
    moments = [MOMENT, MOMENT + SECOND, MOMENT + SECOND, MOMENT]
    assert [clock(moment) for moment in moments] == ["+0.0s", "+1.0s", "+0.0s", "-1.0s"]
    assert other(MOMENT) == "+0.0s"


SPANS = [
    (0, "+0.0s"),
    (1.24, "+1.2s"),
    (59.94, "+59.9s"),
    (59.96, "+1m00s"),
    (192, "+3m12s"),
    (3599.4, "+59m59s"),
    (3600, "+1h00m"),
    (7500, "+2h05m"),
    (86399, "+23h59m"),
    (86400, "+1d00h"),
    (273600, "+3d04h"),
    (-1.24, "-1.2s"),
]


@pytest.mark.parametrize(("seconds", "expected"), SPANS)
def test_a_span(seconds: float, expected: str) -> None:
    assert format_delta(round(seconds * SECOND)) == expected


@given(st.integers(-(2**70), 2**70))
def test_any_number_is_a_span_and_a_time_of_day(nanoseconds: int) -> None:
    assert format_delta(nanoseconds)[0] in "+-"
    assert len(time_of_day(nanoseconds // SECOND, UTC)) == 8
