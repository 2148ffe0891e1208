"""Every failure with its exit status, and how a wrong value on the command line is shown."""

from collections.abc import Iterable
from enum import IntEnum

from .escape import escape_line


class ExitStatus(IntEnum):
    """How the process ends; scripts rely on these numbers, so they never change.

    Death by a signal is not listed: the process then really dies by that signal,
    which a shell shows as 130 (SIGINT) or 143 (SIGTERM).
    """

    DONE = 0
    BUG = 1
    USAGE = 2
    CREDENTIALS = 3
    UNREACHABLE = 4
    CHANNELS_REFUSED = 5
    REFUSED_BY_SERVER = 6
    OUTPUT_FAILED = 7
    COUNT_NOT_REACHED = 124


class ChatAppTailError(Exception):
    """Root of every failure that is not a bug.

    `str()` is one line for a person: what was tried, what came back, what to do next.
    It never holds a token, a signature or a password.
    """

    exit_status = ExitStatus.BUG


class UsageError(ChatAppTailError):
    """The command line or the environment is invalid."""

    exit_status = ExitStatus.USAGE


class CredentialsError(ChatAppTailError):
    """There is no token, or the server does not accept it."""

    exit_status = ExitStatus.CREDENTIALS


class ChannelsError(ChatAppTailError):
    """The account has none of the selected channels."""

    exit_status = ExitStatus.CHANNELS_REFUSED


class ApiError(ChatAppTailError):
    """The HTTP API gave no usable response.

    `lasting` means that the same request will not succeed later either; `retry_after` are the
    seconds the server asks to wait.
    """

    exit_status = ExitStatus.UNREACHABLE

    def __init__(self, message: str, *, lasting: bool = False, retry_after: float = 0.0) -> None:
        super().__init__(message)
        self.lasting = lasting
        self.retry_after = retry_after


class UntrustedError(ApiError):
    """The server has a certificate that is not trusted.

    `reason` is the sentence without the next step.
    """

    def __init__(self, reason: str) -> None:
        advice = "if you trust its authority, name it with --ca-file"
        super().__init__(f"{reason}; {advice}", lasting=True)
        self.reason = reason


class DestinationFailed(ChatAppTailError):
    """A destination is wrong for good; the status says in which way."""

    def __init__(self, status: ExitStatus, reason: str) -> None:
        super().__init__(reason)
        self.exit_status = status


class OutputError(ChatAppTailError):
    """Output cannot be written: stdout, other than a closed pipe, or a file."""

    exit_status = ExitStatus.OUTPUT_FAILED


def suggest(word: str, known: Iterable[str]) -> str | None:
    """Return the closest known word, None when none is close."""
    from difflib import get_close_matches  # 1 ms

    return next(iter(get_close_matches(word, list(known), 1)), None)


def error_at(option: str, reason: str, value: str, position: int) -> UsageError:
    """Return the error that quotes the `value` of an option with a caret under `position`."""
    before, after = escape_line(value[:position]), escape_line(value[position:])
    return UsageError(f"{option}: {reason}\n  {before}{after}\n  {' ' * _display_width(before)}^")


def _display_width(text: str) -> int:
    """Return the number of terminal cells that a text on one line takes."""
    from unicodedata import combining, east_asian_width

    return sum(2 if east_asian_width(char) in "WF" else not combining(char) for char in text)
