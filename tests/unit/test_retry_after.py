"""The Retry-After header, which servers write as they like."""

import time
from email.utils import formatdate
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatapp_tail.net import parse_retry_after

NOW = 1637319283.25
OF_RFC_9110 = "%a, %d %b %Y %H:%M:%S GMT"
OF_RFC_850 = "%A, %d-%b-%y %H:%M:%S GMT"


@pytest.fixture(autouse=True)
def _a_clock_that_stands(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("chatapp_tail.net.time", SimpleNamespace(time=lambda: NOW))


@pytest.mark.parametrize(
    ("text", "seconds"), [("0", 0.0), ("7", 7.0), ("007", 7.0), ("86400", 86_400.0)]
)
def test_seconds(text: str, seconds: float) -> None:
    assert parse_retry_after(text) == seconds


@pytest.mark.parametrize("form", [OF_RFC_9110, OF_RFC_850])
@pytest.mark.parametrize("offset", [0.75, 99.75, 3599.75])
def test_a_date_is_counted_from_now(form: str, offset: float) -> None:
    date = time.strftime(form, time.gmtime(NOW + offset))
    assert parse_retry_after(date) == pytest.approx(offset)


def test_a_date_of_another_zone() -> None:
    assert parse_retry_after("Fri, 19 Nov 2021 13:55:00 +0300") == 16.75


@pytest.mark.parametrize(
    "date", [formatdate(NOW - 1, usegmt=True), "Thu, 01 Jan 1970 00:00:00 GMT"]
)
def test_a_date_that_is_over_means_now(date: str) -> None:
    assert parse_retry_after(date) == 0.0


UNREADABLE = ["", " ", "soon", "-1", "+7", "1.5", "1e3", "0x7", " 7", "7 s", "٧", "²", "nan", "inf"]
UNREADABLE += ["2021-11-19T10:54:43Z", "Fri, 99 Nov 2021 10:54:43 GMT", "Fri, 19 Nov", "\x00", "é"]


@pytest.mark.parametrize("text", UNREADABLE)
def test_what_cannot_be_read_asks_for_nothing(text: str) -> None:
    assert parse_retry_after(text) is None


dates = st.from_regex(
    r"[A-Z][a-z]{2}, ?[0-9]{1,5} (Jan|Feb|Foo) [0-9]{1,6} [0-9]{1,4}:[0-9]{1,4}"
    r"(:[0-9]{0,4})? ?(GMT|[+-][0-9]{1,6}|[A-Z]{0,4})",
    fullmatch=True,
)


@given(st.text() | st.text("0123456789 ,:;-+GMTSunJan.()\"'", max_size=40) | dates)
def test_any_header_is_some_wait_or_none(text: str) -> None:
    seconds = parse_retry_after(text)
    assert seconds is None or seconds >= 0.0
