"""Option values."""

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone

import click
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatapp_tail.chatapp.channels import parse_channel, parse_messenger
from chatapp_tail.cli.params import (
    ParsedType,
    parse_app_key,
    parse_ca_file,
    parse_checkpoint,
    parse_count,
    parse_duration,
    parse_factor,
    parse_http_url,
    parse_license,
    parse_profile,
    parse_proxy,
    parse_retries,
    parse_since,
    parse_size,
    parse_ws_url,
)
from tests.conftest import TIMEOUT_SCALE


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("500ms", 0.5),
        ("30s", 30.0),
        ("30", 30.0),
        ("1.5", 1.5),
        ("5m", 300.0),
        ("2h", 7200.0),
        ("0.5h", 1800.0),
        ("1d", 86_400.0),
        ("007s", 7.0),
    ],
)
def test_durations(text: str, seconds: float) -> None:
    assert parse_duration(text) == pytest.approx(seconds)


NO_DURATION = ["", "s", "٣s", "-5s", "+5s", "5 s", "5S", "5M", "1h30m", ".5s", "5.s"]
NO_DURATION += ["1e3", "inf", "nan", "5s\n", " 5s", "five", "1,5s", "5sec"]


@pytest.mark.parametrize("text", NO_DURATION, ids=lambda text: repr(text[:12]))
def test_what_is_no_duration(text: str) -> None:
    with pytest.raises(ValueError, match="a duration is a number and a unit"):
        parse_duration(text)


@pytest.mark.defect("U10")
@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("0", "more than zero"),
        ("0s", "more than zero"),
        ("0.0m", "more than zero"),
        ("367d", "the longest duration is a year, 366d"),
        ("9" * 400 + "s", "the longest duration is a year"),
    ],
    ids=lambda text: text[:12],
)
def test_a_duration_that_is_out_of_range(text: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        parse_duration(text)


@given(st.text(max_size=8) | st.text("0123456789.smhd", max_size=8))
def test_a_duration_is_always_something_to_wait_for(text: str) -> None:
    try:
        seconds = parse_duration(text)
    except ValueError:
        return
    assert 0 < seconds < float("inf")


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("0", 0),
        ("1000", 1000),
        ("5kB", 5000),
        ("5KiB", 5120),
        ("500MB", 500_000_000),
        ("64MiB", 64 * 1024**2),
        ("2GB", 2 * 10**9),
        ("1GiB", 1024**3),
    ],
)
def test_sizes(text: str, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize(
    "text", ["", "MiB", "-1", "1.5GiB", "5KB", "5mb", "1 MiB", "1MiB\n", "9" * 5000]
)
def test_what_is_no_size(text: str) -> None:
    with pytest.raises(ValueError, match="size"):
        parse_size(text)


def test_whole_numbers() -> None:
    assert (parse_count("1"), parse_count("007"), parse_retries("0")) == (1, 7, 0)
    for text in ("0", "-1", "+1", "1.0", "many", "", "٣", "9" * 5000):
        with pytest.raises(ValueError, match="a whole number of 1 or more"):
            parse_count(text)
    with pytest.raises(ValueError, match="a whole number of 0 or more"):
        parse_retries("-1")


@pytest.mark.parametrize(("text", "number"), [("1", 1), ("1229", 1229), ("0012", 12)])
def test_licenses(text: str, number: int) -> None:
    assert parse_license(text) == number


@pytest.mark.parametrize(
    "text", ["", "0", "00", "-1", "+1", "1.5", "x", "1_000", "٣", "1\n", "9" * 19]
)
def test_what_is_no_license(text: str) -> None:
    with pytest.raises(ValueError, match="licence"):
        parse_license(text)


def test_app_keys() -> None:
    assert parse_app_key("ChatsAppApiProdKey") == "ChatsAppApiProdKey"
    for empty in ("", " ", "\t\n"):
        with pytest.raises(ValueError, match="empty"):
            parse_app_key(empty)


# --- moments

SECOND = 10**9


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("2h", 7200), ("90", 90), ("1.5s", 1.5), ("500ms", 0.5), ("366d", 31622400)],
)
def test_a_time_ago(text: str, seconds: float) -> None:
    before = time.time_ns()
    moment = parse_since(text)
    ago = before - moment
    assert ago <= seconds * SECOND + 1000
    assert ago >= (seconds - 10 * TIMEOUT_SCALE) * SECOND


MOMENTS = {
    "2023-11-14T22:13:20Z": 1_700_000_000,
    "2023-11-14T22:13:20+00:00": 1_700_000_000,
    "2023-11-15T01:13:20+03:00": 1_700_000_000,
    "2023-11-14 22:13:20.250Z": 1_700_000_000.25,
    "20231114T221320Z": 1_700_000_000,
}


@pytest.mark.parametrize(("text", "seconds"), MOMENTS.items())
def test_a_moment_in_a_zone(text: str, seconds: float) -> None:
    assert parse_since(text) == seconds * SECOND


@pytest.mark.parametrize("zone", ["UTC", "Asia/Tokyo", "America/New_York", "Europe/Moscow"])
def test_a_moment_without_a_zone_is_local(zone: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", zone)
    time.tzset()
    try:
        moment = parse_since("2023-11-14T22:13")
        day = parse_since("2023-11-14")
        assert time.strftime("%F %T", time.localtime(moment / SECOND)) == "2023-11-14 22:13:00"
        assert time.strftime("%F %T", time.localtime(day / SECOND)) == "2023-11-14 00:00:00"
    finally:
        monkeypatch.undo()
        time.tzset()


def test_a_moment_just_now() -> None:
    now = datetime.now(UTC)
    assert abs(parse_since(now.isoformat()) - now.timestamp() * SECOND) < 1000


@pytest.mark.parametrize("offset", [1, 60])
@pytest.mark.parametrize(
    "zone", [UTC, timezone(timedelta(hours=14)), timezone(timedelta(hours=-12))]
)
def test_the_future(offset: int, zone: timezone) -> None:
    moment = datetime.now(zone) + timedelta(minutes=offset)
    with pytest.raises(ValueError, match="future"):
        parse_since(moment.isoformat())


NO_TIME = ["", "yesterday", "-2h", "2 h", "22:13", "2026-13-01", "2026-02-30", "2026-01-01T25:00"]
NO_TIME += ["2h\n", "2023-11-14\n", "now", "1700000000x", "٢٠٢٣-١١-١٤"]


@pytest.mark.parametrize("text", NO_TIME, ids=repr)
def test_what_is_no_time(text: str) -> None:
    with pytest.raises(ValueError, match="a time is an age"):
        parse_since(text)


@pytest.mark.defect("U10")
@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("0", "more than zero"),
        ("0s", "more than zero"),
        ("400d", "more than a year ago; the longest is 366d"),
        ("1700000000", "more than a year ago"),
        ("9999-01-01", "that time is in the future"),
        ("1969-12-30", "that time is before 1970"),
    ],
)
def test_a_time_that_is_out_of_range(text: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        parse_since(text)


@pytest.mark.parametrize("text", ["20231114", "20261122"])
def test_a_date_without_dashes_is_not_taken_for_seconds(text: str) -> None:
    """It is a date to ISO 8601, and 230 days to nobody."""
    try:
        moment = parse_since(text)
    except ValueError:
        return
    assert time.strftime("%Y%m%d", time.localtime(moment / SECOND)) == text


@given(
    st.text(max_size=12)
    | st.text("0123456789-:TZ+. smhd", max_size=30)
    | st.datetimes().map(datetime.isoformat)
    | st.datetimes(timezones=st.timezones()).map(datetime.isoformat)
)
def test_a_time_is_always_in_the_past(text: str) -> None:
    try:
        moment = parse_since(text)
    except ValueError as error:
        assert str(error).startswith(("a time is", "an age", "it is", "that time"))  # noqa: PT017
        return
    assert moment <= time.time_ns()


# --- names of checkpoints


@pytest.mark.parametrize("name", ["default", "a", "1", "_", "a.b-c_D", "crm-2", "x" * 64, "a..b"])
def test_names_of_checkpoints(name: str) -> None:
    assert parse_checkpoint(name) == name


NO_NAME = ["", ".", "..", ".hidden", "-x", "a/b", "../a", "a b", "a\n", "\n", "é", "x" * 65]
NO_NAME += ["a\x00", "a:b", "a%", "~", "*", "a\\b", "٣"]


@pytest.mark.parametrize("name", NO_NAME, ids=repr)
def test_what_is_no_name_of_a_checkpoint(name: str) -> None:
    with pytest.raises(ValueError, match="a name is"):
        parse_checkpoint(name)


def test_a_checked_value_is_parsed_once() -> None:
    kind = ParsedType("n", parse_license)
    assert kind.convert("7", None, None) == 7
    assert kind.convert(7, None, None) == 7


def test_a_bad_value_is_a_usage_error_with_the_reason() -> None:
    with pytest.raises(click.UsageError, match=r"'x'.*licence"):
        ParsedType("n", parse_license).convert("x", None, None)


PARSERS: list[Callable[[str], object]] = [
    *(parse_app_key, parse_ca_file, parse_channel, parse_checkpoint, parse_duration, parse_factor),
    *(parse_http_url, parse_license, parse_messenger, parse_profile, parse_proxy, parse_since),
    *(parse_size, parse_ws_url, parse_count, parse_retries),
]
SCHEMES = ["", "ws://", "wss://", "http://", "https://", "socks5://"]


@given(
    st.sampled_from(SCHEMES),
    st.text(max_size=40)
    | st.text("0123456789.:/@[]%-_smhdTZ+", max_size=40)
    | st.text("1a.:/", min_size=1, max_size=3).map(lambda text: text * 3000),
)
def test_any_text_is_a_value_or_refused_in_one_line(scheme: str, text: str) -> None:
    for parse in PARSERS:
        try:
            parse(scheme + text)
        except ValueError as error:
            said = str(error)
            assert said and "\n" not in said, (parse, said)  # noqa: PT018
