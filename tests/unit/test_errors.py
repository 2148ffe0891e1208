"""Exit statuses are a promise to scripts."""

import pytest

from chatapp_tail.errors import (
    ChatAppTailError,
    CredentialsError,
    ExitStatus,
    OutputError,
    UsageError,
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
    statuses = [error.exit_status for error in ChatAppTailError.__subclasses__()]
    assert ExitStatus.BUG not in statuses
    assert ExitStatus.DONE not in statuses
    assert len(set(statuses)) == len(statuses)
