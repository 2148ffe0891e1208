"""The list itself: every defect has a test or a reason, and every mark a defect."""

import subprocess
import sys
from pathlib import Path

from . import DEFECTS, RIGHT_AS_IT_IS, mapping


def test_every_defect_has_a_test_or_a_reason() -> None:
    assert [key for key in DEFECTS if key not in mapping().keys() | RIGHT_AS_IT_IS.keys()] == []


def test_every_mark_and_every_reason_is_of_a_defect() -> None:
    assert mapping().keys() | RIGHT_AS_IT_IS.keys() <= DEFECTS.keys()


def test_the_mapping_prints() -> None:
    root = Path(__file__).parents[2]
    argv = [sys.executable, "-m", "tests.defects"]
    done = subprocess.run(argv, cwd=root, capture_output=True, text=True, check=True)
    assert all(f"{key} " in done.stdout for key in DEFECTS)
