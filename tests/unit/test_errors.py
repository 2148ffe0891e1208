"""Exit statuses are a promise to scripts."""

import pytest

from chatapp_tail.errors import (
    ChatAppTailError,
    CredentialsError,
    DestinationFailed,
    ExitStatus,
    OutputError,
    UsageError,
    error_at,
    suggest,
)


def test_the_numbers_never_change() -> None:
    assert {status.name: int(status) for status in ExitStatus} == {
        "DONE": 0,
        "BUG": 1,
        "USAGE": 2,
        "CREDENTIALS": 3,
        "UNREACHABLE": 4,
        "CHANNELS_REFUSED": 5,
        "REFUSED_BY_SERVER": 6,
        "OUTPUT_FAILED": 7,
        "COUNT_NOT_REACHED": 124,
    }


@pytest.mark.parametrize(
    ("error", "status"), [(UsageError, 2), (CredentialsError, 3), (OutputError, 7)]
)
def test_the_status_of_each_failure(error: type[ChatAppTailError], status: int) -> None:
    assert error("made up").exit_status == status


def test_every_failure_has_a_status_of_its_own() -> None:
    # DestinationFailed is told its status.
    failures = set(ChatAppTailError.__subclasses__()) - {DestinationFailed}
    statuses = [error.exit_status for error in failures]
    assert ExitStatus.BUG not in statuses
    assert ExitStatus.DONE not in statuses
    assert len(set(statuses)) == len(statuses)


@pytest.mark.parametrize(
    ("word", "meant"), [("mesage", "message"), ("chattag", "chatTag"), ("zzz", None), ("", None)]
)
def test_the_closest_word(word: str, meant: str | None) -> None:
    assert suggest(word, ("message", "messageStatus", "chatTag")) == meant


def test_nothing_is_close_to_nothing() -> None:
    assert suggest("message", ()) is None


CARETS = [
    ("abc", 1, "  abc\n   ^"),
    ("", 0, "  \n  ^"),
    ("日本x", 2, "  日本x\n      ^"),
    ("e\u0301x", 2, "  e\u0301x\n   ^"),
    ("a\x1bb", 2, "  a\\x1bb\n       ^"),
]


@pytest.mark.parametrize(("value", "position", "shown"), CARETS)
def test_a_caret_stands_under_the_fault(value: str, position: int, shown: str) -> None:
    assert str(error_at("--where", "wrong", value, position)) == f"--where: wrong\n{shown}"
