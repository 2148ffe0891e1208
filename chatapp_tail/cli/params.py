"""Types of option values: text → checked value, or a usage error that says what is wrong."""

import re
import time
from collections.abc import Callable
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from ..net import Proxy
    from ..pusher.connection import Endpoint
from ..errors import suggest

_MOST_JOBS = 64
_DURATION = r"([0-9]+(?:\.[0-9]+)?)(ms|s|m|h|d)?"
_LONGEST_DAYS = 366
_LONGEST = _LONGEST_DAYS * 86400.0
_SIZE = r"([0-9]{1,18})(kB|MB|GB|KiB|MiB|GiB)?"
_BYTES: dict[str | None, int] = {
    None: 1,
    "kB": 1000,
    "MB": 1000**2,
    "GB": 1000**3,
    "KiB": 1024,
    "MiB": 1024**2,
    "GiB": 1024**3,
}
_SECONDS = {"ms": 0.001, None: 1.0, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


def parse_duration(text: str) -> float:
    """Return seconds for `500ms`, `30s`, `5m`, `2h`, `1d` or a bare number of seconds."""
    return _seconds(
        text,
        malformed="a duration is a number and a unit, such as 30s, 5m or 2h",
        zero="a duration must be more than zero",
        too_long=f"the longest duration is a year, {_LONGEST_DAYS}d",
    )


def parse_retry_for(text: str) -> float:
    """Return seconds for a duration, which may be 0: no attempt after the first."""
    return 0.0 if text == "0" else parse_duration(text)


def _age(text: str) -> float:
    """Return the seconds ago that a time is, as a duration."""
    return _seconds(
        text,
        malformed="a time is an age, such as 2h, or a date and time: 2026-11-22T08:00",
        zero="an age must be more than zero",
        too_long=f"it is more than a year ago; the longest is {_LONGEST_DAYS}d",
    )


def _seconds(text: str, *, malformed: str, zero: str, too_long: str) -> float:
    """Return seconds; ValueError with the sentence for what is wrong."""
    match = re.fullmatch(_DURATION, text)
    if not match:
        raise ValueError(malformed)
    seconds = float(match[1]) * _SECONDS[match[2]]
    if not seconds:
        raise ValueError(zero)
    if seconds > _LONGEST:
        raise ValueError(too_long)
    return seconds


def parse_since(text: str) -> int:
    """Return nanoseconds since the epoch for an age or a date and time: 2h, 2026-11-22T08:00.

    A time without a zone is in local time.
    """
    now = time.time()
    try:
        moment = datetime.fromisoformat(text).timestamp()
    except (ValueError, OverflowError):
        moment = now - _age(text)
    if moment > now:
        raise ValueError("that time is in the future")
    if moment < 0:
        raise ValueError("that time is before 1970")
    return round(moment * 1e9)


def parse_checkpoint(text: str) -> str:
    """Return the name of a checkpoint as given, if it is a valid file name."""
    if not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}", text):
        raise ValueError("a name is up to 64 letters, digits, and . _ - between them")
    return text


def parse_size(text: str) -> int:
    """Return bytes for `64MiB`, `1GiB`, `500MB` or a bare number of bytes."""
    match = re.fullmatch(_SIZE, text)
    if not match:
        raise ValueError("a size is a number and a unit, such as 64MiB or 1GiB")
    return int(match[1]) * _BYTES[match[2]]


def parse_count(text: str) -> int:
    """Return a number of lines."""
    return _whole(text, least=1)


def parse_retries(text: str) -> int:
    """Return a number of retries."""
    return _whole(text, least=0)


def parse_jobs(text: str) -> int:
    """Return a number of requests or commands at once."""
    if (jobs := _whole(text, least=1)) > _MOST_JOBS:
        raise ValueError(f"it must be at most {_MOST_JOBS}")
    return jobs


def _whole(text: str, *, least: int) -> int:
    if not re.fullmatch(r"[0-9]{1,18}", text) or int(text) < least:
        raise ValueError(f"it must be a whole number of {least} or more")
    return int(text)


def parse_license(text: str) -> int:
    """Return the number of a licence."""
    if not re.fullmatch(r"[0-9]{1,18}", text) or not int(text):
        raise ValueError("a licence is a positive number, such as 1229")
    return int(text)


def parse_ca_file(text: str) -> str:
    """Return the path of a PEM file with certificates."""
    path = Path(text)
    try:
        exists = path.is_file()
    except OSError as error:
        raise ValueError(f"it cannot be looked for: {error.strerror}") from None
    if not exists:
        raise ValueError("there is no such file")
    from ..pusher.dialer import check_authorities

    check_authorities(text)
    return str(path)


def parse_profile(text: str) -> str:
    """Return the name of a profile as given, if it is text that can be stored."""
    if not text.strip() or not text.isprintable():
        raise ValueError("a profile's name is one line of text")
    return text


def parse_app_key(text: str) -> str:
    """Return the app key as given; an empty one could only ever be refused."""
    if not text.strip():
        raise ValueError("it is empty")
    return text


# These import their modules only for a value: that takes longer than all of --help.


def parse_ws_url(text: str) -> "Endpoint":
    """Return the Pusher server at a URL."""
    from ..pusher.connection import Endpoint

    return Endpoint.parse(text)


def parse_http_url(text: str) -> str:
    """Return the base URL of an API."""
    from ..chatapp.http import parse_url

    return parse_url(text)


def parse_forward_url(text: str) -> str:
    """Return the URL of a destination; a port, or a host of this machine, means http."""
    from ..sinks.forward_url import parse_forward_url

    return parse_forward_url(text)


def parse_header(text: str) -> tuple[str, str]:
    """Return the name and the value of a header."""
    from ..errors import UsageError
    from ..sinks.http_request import parse_header

    try:
        return parse_header(text)
    except UsageError as error:
        raise ValueError(str(error)) from None


def parse_proxy(text: str) -> "Proxy":
    """Return the proxy at a URL."""
    from ..net import Proxy

    return Proxy.parse(text)


def parse_factor(text: str) -> float:
    """Return how fast a replay goes."""
    from ..replay import parse_speed

    return parse_speed(text)


class ParsedType(click.ParamType):  # type: ignore[type-arg]  # generic only from click 8.5 on
    """A click type made from a parser that raises ValueError.

    `shown` tells whether a bad value may be repeated, which a secret may not.
    """

    def __init__(self, name: str, parse: Callable[[str], object], *, shown: bool = True) -> None:
        self.name = name
        self._parse = parse
        self._shown = shown

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> object:
        """Return the parsed value, or fail with the parser's own sentence."""
        if not isinstance(value, str):
            return value
        try:
            return self._parse(value)
        except ValueError as error:
            self.fail(f"{value!r}: {error}" if self._may_show(value) else str(error), param, ctx)

    def _may_show(self, value: str) -> bool:
        """Return whether an error may quote the value: `@` may follow a password."""
        return self._shown and bool(value) and "@" not in value


class Text(ParsedType):
    """Any text; in a variable, values are separated by newlines, as they may contain spaces."""

    envvar_list_splitter = "\n"


class Choice(click.Choice[str]):
    """One of a few words; a misspelt one is answered with the closest."""

    def get_invalid_choice_message(self, value: Any, ctx: click.Context | None) -> str:
        """Return click's sentence, and the closest word if one is close."""
        message = super().get_invalid_choice_message(value, ctx)
        close = suggest(str(value).lower(), self.choices)
        return f"{message} Did you mean {close!r}?" if close else message


class EnumChoice(Choice):
    """One value of an enumeration, handed over as its member."""

    def __init__(self, members: type[StrEnum]) -> None:
        super().__init__([member.value for member in members])
        self._members = members

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> StrEnum:
        """Return the member, or fail as `Choice` does."""
        return self._members(super().convert(value, param, ctx))
