"""Every defect that reviews, attacks and users found in 0.1.0, and what shows that it is mended.

`python -m tests.defects` prints the list with the tests of each. A test says which defect it is
about by a mark: `@pytest.mark.defect("A.1")`. What is right as it is has a sentence instead.
"""

import os
import re
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path

from .catalogue import DEFECTS, RIGHT_AS_IT_IS

__all__ = ["DEFECTS", "RIGHT_AS_IT_IS", "mapping"]

_TESTS = Path(__file__).parents[1]
_MARK_OR_TEST = re.compile(r"mark\.defect\(([^)]*)\)|^def (test_\w+)", re.MULTILINE)
_KEY = re.compile(r'"([^"]+)"')


def mapping() -> dict[str, list[str]]:
    """Return the tests of each defect, as `path::name`, read from the marks in the files."""
    found: dict[str, list[str]] = {}
    for path in sorted(_test_files()):
        source = path.read_text(encoding="utf-8")
        if "mark.defect" not in source:
            continue
        for name, key in _marked(source):
            found.setdefault(key, []).append(f"{path.relative_to(_TESTS)}::{name}")
    return found


def _test_files() -> Iterator[Path]:
    for folder, folders, files in os.walk(_TESTS):
        folders[:] = [name for name in folders if name != "node_modules"]
        yield from (Path(folder, name) for name in files if fnmatch(name, "test_*.py"))


def _marked(source: str) -> Iterator[tuple[str, str]]:
    """Yield (test, key) for each key that a mark names, on a function or on a case of it."""
    keys: list[str] = []
    for marked, test in _MARK_OR_TEST.findall(source):
        keys += _KEY.findall(marked)
        if test:
            yield from ((test, key) for key in keys)
            keys = []
