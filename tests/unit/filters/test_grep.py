"""Which texts `--grep` finds, and where."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatapp_tail.errors import UsageError
from chatapp_tail.filters.grep import compile_grep
from tests.factories import decoded
from tests.unit.filters.samples import MESSAGE, STATUS, says

GREPS = [
    ("test", says("A Test"), True),
    ("Test", says("a test"), False),
    ("привет", says("ПРИВЕТ"), True),
    (r"\Stest\S", says("aTESTb"), True),
    (r"(?P<Name>test)", says("TEST"), True),
    (r"\x4ctest", says("ltest"), True),
    ("(?i)Test", says("TEST"), True),
    ("^two$", says("one\ntwo"), True),
    ("^look", says("text", "Look"), True),
    ("text.*look", says("text", "look"), False),
    ("(?s)text.*look", says("text", "look"), True),
    ("", says("x"), True),
    ("", says("", None), False),
    ("", {"message": {"file": {"name": "a"}}}, False),
    ("", STATUS, False),
    ("json", "not JSON", True),
]


@pytest.mark.parametrize(("pattern", "item", "expected"), GREPS)
def test_grep(pattern: str, item: object, expected: bool) -> None:
    assert compile_grep([pattern])(decoded(item)) == expected
    assert compile_grep(["no such words", pattern])(decoded(item)) == expected


@pytest.mark.parametrize(
    ("patterns", "text", "spans"),
    [
        (["b"], "abcB", [(1, 2), (3, 4)]),
        (["B"], "abcB", [(3, 4)]),
        (["bc", "ab"], "abcd", [(0, 3)]),
        (["a", "b"], "ab", [(0, 2)]),
        (["abcd", "b"], "abcde", [(0, 4)]),
        (["x*"], "ab", []),
        (["c", "a"], "abc", [(0, 1), (2, 3)]),
    ],
)
def test_where_patterns_match(patterns: list[str], text: str, spans: list[tuple[int, int]]) -> None:
    assert compile_grep(patterns).spans(text) == spans


@given(st.lists(st.text("ab*?", min_size=1, max_size=3), max_size=3), st.text("abAB\n"))
def test_spans_are_in_order_and_apart(patterns: list[str], text: str) -> None:
    try:
        spans = compile_grep(patterns).spans(text)
    except UsageError:
        return
    edges = [edge for span in spans for edge in span]
    assert edges == sorted(set(edges))


WRONG_PATTERNS = [("foo(bar", "missing )", 3), ("*", "nothing to repeat", 0), ("a[", "untermin", 1)]


@pytest.mark.parametrize(("pattern", "why", "position"), WRONG_PATTERNS)
def test_a_wrong_pattern_is_shown(pattern: str, why: str, position: int) -> None:
    with pytest.raises(UsageError) as caught:
        compile_grep(["x", pattern])
    said, shown, caret = str(caught.value).split("\n")
    assert said.startswith(f"--grep: {why}")
    assert (shown, caret) == (f"  {pattern}", "  " + " " * position + "^")


def test_a_wrong_pattern_names_its_option() -> None:
    with pytest.raises(UsageError, match="--grep-not: missing"):
        compile_grep(["("], "--grep-not")


@given(st.text("()[]{}?*+.|^$\\-<>!=:PNx1ab", max_size=12) | st.text(max_size=8))
def test_a_pattern_compiles_or_is_refused(pattern: str) -> None:
    with contextlib.suppress(UsageError):
        assert compile_grep([pattern])(decoded(MESSAGE)) in (True, False)
