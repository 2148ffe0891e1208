"""Timestamps: RFC 3339 in UTC, to the microsecond."""

import re
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatapp_tail.formats.timestamps import timestamp


@pytest.mark.parametrize(
    ("nanoseconds", "text"),
    [
        (0, "1970-01-01T00:00:00.000000Z"),
        (999, "1970-01-01T00:00:00.000000Z"),
        (1_000, "1970-01-01T00:00:00.000001Z"),
        (999_999_999, "1970-01-01T00:00:00.999999Z"),
        (1_000_000_000, "1970-01-01T00:00:01.000000Z"),
        (-1, "1969-12-31T23:59:59.999999Z"),
        (-(10**18), "1938-04-24T22:13:20.000000Z"),
        (1_795_336_740_123_456_789, "2026-11-22T08:39:00.123456Z"),
        (1_709_164_800_000_000_000, "2024-02-29T00:00:00.000000Z"),
        (2**63 - 1, "2262-04-11T23:47:16.854775Z"),
    ],
)
def test_timestamps(nanoseconds: int, text: str) -> None:
    assert timestamp(nanoseconds).decode() == text


@given(st.integers(-(2**63), 2**63 - 1))
def test_any_moment_is_rfc_3339_in_utc(nanoseconds: int) -> None:
    text = timestamp(nanoseconds).decode()
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", text)
    moment = datetime.fromisoformat(text)
    since = moment - datetime(1970, 1, 1, tzinfo=UTC)
    microseconds = (since.days * 86_400 + since.seconds) * 10**6 + since.microseconds
    assert microseconds == nanoseconds // 1000


@pytest.mark.parametrize("zone", ["UTC", "Asia/Tokyo", "America/New_York"])
def test_timestamps_do_not_depend_on_the_time_zone(
    zone: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TZ", zone)
    assert timestamp(86_400_000_000_000) == b"1970-01-02T00:00:00.000000Z"
