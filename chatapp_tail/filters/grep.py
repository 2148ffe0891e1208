"""`--grep` and `--grep-not`: regular expressions on the text and caption of an item."""

import re
import warnings
from collections.abc import Iterable

import msgspec

from ..chatapp.records import Record
from ..errors import error_at
from ..formats.fields import parse_item, text


class Grep(msgspec.Struct, frozen=True):
    """Finds records whose text or caption matches one of `patterns`."""

    patterns: tuple[re.Pattern[str], ...]

    def __call__(self, record: Record) -> bool:
        """Return whether the item has text that a pattern matches."""
        content = text(parse_item(record.data))
        return bool(content) and any(pattern.search(content) for pattern in self.patterns)

    def spans(self, content: str) -> list[tuple[int, int]]:
        """Return the matches in a text as (start, end), in order and without overlap."""
        merged: list[tuple[int, int]] = []
        matches = (match for pattern in self.patterns for match in pattern.finditer(content))
        for start, end in sorted(match.span() for match in matches if match[0]):
            if merged and start <= merged[-1][1]:
                start, end = merged[-1][0], max(end, merged.pop()[1])
            merged.append((start, end))
        return merged


def compile_grep(patterns: Iterable[str], option: str = "--grep") -> Grep:
    """Compile an option's regular expressions (Python's `re`, multi-line); UsageError shows errors.

    As with `--smart-case` of ripgrep, a pattern with an upper-case letter is case-sensitive.
    """
    return Grep(tuple(_compile_pattern(pattern, option) for pattern in patterns))


def _compile_pattern(pattern: str, option: str) -> re.Pattern[str]:
    case = re.NOFLAG if _has_upper_case(pattern) else re.IGNORECASE
    try:
        with warnings.catch_warnings(action="ignore"):
            return re.compile(pattern, re.MULTILINE | case)
    except re.error as error:
        raise error_at(option, error.msg, pattern, error.pos or 0) from None
    except (RecursionError, OverflowError) as error:
        raise error_at(option, f"too much for one pattern ({error})", pattern, 0) from None


# Escapes such as \S, and names of groups and characters, are not literal letters.
_NOT_LITERAL = re.compile(
    r"\\(?:x..|u.{4}|U.{8}|N\{[^}]*\}|.)|\(\?P[<=][^>)]*[>)]|\(\?[a-zA-Z-]+[:)]", re.DOTALL
)


def _has_upper_case(pattern: str) -> bool:
    return any(map(str.isupper, _NOT_LITERAL.sub("", pattern)))
