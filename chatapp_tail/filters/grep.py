"""`--grep`: regular expressions on the text and caption of an item."""

import re
import warnings
from collections.abc import Iterable

import msgspec

from ..chatapp.records import Record
from ..errors import error_at
from ..formats.fields import read, text


class Grep(msgspec.Struct, frozen=True):
    """Keeps records whose item's text or caption one of `patterns` is found in."""

    patterns: tuple[re.Pattern[str], ...]

    def __call__(self, record: Record) -> bool:
        """Tell whether the item has text and a pattern is found in it."""
        said = text(read(record.data))
        return bool(said) and any(pattern.search(said) for pattern in self.patterns)

    def spans(self, shown: str) -> list[tuple[int, int]]:
        """Return where the patterns match in a text: (start, end), in order, none overlapping."""
        merged: list[tuple[int, int]] = []
        found = (match.span() for pattern in self.patterns for match in pattern.finditer(shown))
        for start, end in sorted(span for span in found if span[0] < span[1]):
            if merged and start <= merged[-1][1]:
                start, end = merged[-1][0], max(end, merged.pop()[1])
            merged.append((start, end))
        return merged


def compile_grep(patterns: Iterable[str]) -> Grep:
    """Compile regular expressions (Python's `re`, by lines); UsageError shows where one is wrong.

    As in ripgrep, case counts only in a pattern with an upper-case letter of its own.
    """
    return Grep(tuple(map(_compile_pattern, patterns)))


def _compile_pattern(pattern: str) -> re.Pattern[str]:
    case = re.NOFLAG if _has_upper_case(pattern) else re.IGNORECASE
    try:
        with warnings.catch_warnings(action="ignore"):
            return re.compile(pattern, re.MULTILINE | case)
    except re.error as error:
        raise error_at("--grep", error.msg, pattern, error.pos or 0) from None
    except (RecursionError, OverflowError) as error:
        raise error_at("--grep", f"too much for one pattern ({error})", pattern, 0) from None


# \S is no upper-case letter, nor is the name of a group or of a character.
_NOT_LITERAL = re.compile(
    r"\\(?:x..|u.{4}|U.{8}|N\{[^}]*\}|.)|\(\?P[<=][^>)]*[>)]|\(\?[a-zA-Z-]+[:)]", re.DOTALL
)


def _has_upper_case(pattern: str) -> bool:
    return any(map(str.isupper, _NOT_LITERAL.sub("", pattern)))
