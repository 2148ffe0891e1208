"""Option values."""

import click
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatapp_tail.cli.types import (
    Checked,
    parse_app_key,
    parse_duration,
    parse_license,
    parse_size,
)


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


NO_DURATION = ["", "0", "0s", "0.0m", "s", "-5s", "+5s", "5 s", "5S", "5M", "1h30m", ".5s", "5.s"]
NO_DURATION += ["1e3", "inf", "nan", "5s\n", " 5s", "five", "1,5s", "5sec", "9" * 400 + "s"]


@pytest.mark.parametrize("text", NO_DURATION, ids=lambda text: repr(text[:12]))
def test_what_is_no_duration(text: str) -> None:
    with pytest.raises(ValueError, match="duration"):
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


@pytest.mark.parametrize("text", ["", "MiB", "-1", "1.5GiB", "5KB", "5mb", "1 MiB", "1MiB\n"])
def test_what_is_no_size(text: str) -> None:
    with pytest.raises(ValueError, match="size"):
        parse_size(text)


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


def test_a_checked_value_is_parsed_once() -> None:
    kind = Checked("n", parse_license)
    assert kind.convert("7", None, None) == 7
    assert kind.convert(7, None, None) == 7


def test_a_bad_value_is_a_usage_error_with_the_reason() -> None:
    with pytest.raises(click.UsageError, match=r"'x'.*licence"):
        Checked("n", parse_license).convert("x", None, None)
