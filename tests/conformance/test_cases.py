"""The list itself: every case has a test or a reason, and every test a case."""

import subprocess
import sys
from pathlib import Path

from .cases import CASES, NOT_APPLICABLE, mapping


def test_every_case_has_a_test_or_a_reason() -> None:
    assert [
        number for number in CASES if number not in mapping().keys() | NOT_APPLICABLE.keys()
    ] == []


def test_every_test_names_a_case_of_the_list() -> None:
    assert mapping().keys() <= CASES.keys()


def test_a_case_that_does_not_apply_has_no_test_and_is_on_the_list() -> None:
    assert NOT_APPLICABLE.keys() <= CASES.keys()
    assert not NOT_APPLICABLE.keys() & mapping().keys()


def test_the_mapping_prints() -> None:
    root = Path(__file__).parents[2]
    argv = [sys.executable, "-m", "tests.conformance"]
    done = subprocess.run(argv, cwd=root, capture_output=True, text=True, check=True)
    assert all(f"-{number:03} " in done.stdout for number in CASES)
