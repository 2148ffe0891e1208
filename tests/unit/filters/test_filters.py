"""Which events and records go on."""

import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatapp_tail.errors import UsageError
from chatapp_tail.filters import (
    KeepRecord,
    by_chat,
    by_direction,
    by_event,
    by_record,
    without,
)
from chatapp_tail.filters.grep import compile_grep
from chatapp_tail.filters.where import by_where
from chatapp_tail.formats.fields import Direction, parse_item
from tests.factories import decoded
from tests.unit.filters.samples import ITEMS, MESSAGE, STATUS, says

CASES = {
    "no option keeps all": ([], [], {"message": True, "chatTag": True, "": True}),
    "one wanted": (["message"], [], {"message": True, "messageStatus": False, "Message": False}),
    "two wanted": (["a", "b"], [], {"a": True, "b": True, "c": False}),
    "one unwanted": ([], ["message"], {"message": False, "messageStatus": True}),
    "wanted and unwanted": (
        ["a", "b"],
        ["b", "c"],
        {"a": True, "b": False, "c": False, "d": False},
    ),
}


@pytest.mark.parametrize(("wanted", "unwanted", "expected"), CASES.values(), ids=CASES.keys())
def test_by_event(wanted: list[str], unwanted: list[str], expected: dict[str, bool]) -> None:
    keep = by_event(wanted, unwanted)
    assert {event: keep(event) for event in expected} == expected


@pytest.mark.parametrize(
    ("wanted", "unwanted"),
    [(["a"], ["a"]), (["a"], ["b", "a"]), (["a", "b", "a"], ["b", "a"]), ([""], [""])],
)
def test_options_that_leave_no_event_are_a_mistake(wanted: list[str], unwanted: list[str]) -> None:
    with pytest.raises(UsageError, match="--event and --exclude-event"):
        by_event(wanted, unwanted)


names = st.lists(st.text("abc", max_size=2), max_size=5)


@given(names, names, st.text("abc", max_size=2))
def test_the_rule(wanted: list[str], unwanted: list[str], event: str) -> None:
    """An event is kept if it is wanted, or none is, and it is not excluded."""
    if wanted and set(wanted) <= set(unwanted):
        with pytest.raises(UsageError):
            by_event(iter(wanted), iter(unwanted))
        return
    kept = by_event(iter(wanted), iter(unwanted))(event)
    assert kept == ((not wanted or event in wanted) and event not in unwanted)


@pytest.mark.parametrize(
    ("item", "incoming", "outgoing"),
    [
        ({"fromMe": False}, True, False),
        ({"fromMe": True}, False, True),
        ({"fromMe": None, "side": "out"}, False, True),
        ({"fromMe": False, "side": "out"}, True, False),
        ({"fromMe": 1}, True, True),
        (STATUS, True, True),
        ("text", True, True),
    ],
)
def test_by_direction(item: object, incoming: bool, outgoing: bool) -> None:
    made = decoded(item)
    assert by_direction(Direction.INCOMING)(made) == incoming
    assert by_direction(Direction.OUTGOING)(made) == outgoing


NAMES_OF_THE_CHAT = [
    "private-1480000001h1360000000000000001",
    "h1360000000000000001",
    "70000000000",
    "+7 000 000-00-00",
    "username_test",
    "@username_test",
    "@UserName_Test",
    "test straße",
    "TEST STRASSE",
    " Test Straße ",
]


@pytest.mark.parametrize("wanted", NAMES_OF_THE_CHAT)
def test_a_chat_by_whatever_it_is_called(wanted: str) -> None:
    assert by_chat([wanted])(decoded(MESSAGE))
    assert by_chat(["nobody", wanted])(decoded(MESSAGE))
    assert not by_chat([wanted])(decoded(STATUS))


@pytest.mark.parametrize("wanted", ["private-1480000001", "H1360000000000000001", "Test", "7", "@"])
def test_a_chat_that_is_not_meant(wanted: str) -> None:
    assert not by_chat([wanted])(decoded(MESSAGE))


@pytest.mark.parametrize("item", [{}, {"chat": None}, {"chat": "7"}, {"chat": {}}, ["7"], "7"])
def test_an_item_without_a_chat_is_in_no_chat(item: object) -> None:
    assert not by_chat(["7", "None", "null", "@"])(decoded(item))


def test_numbers_are_compared_as_text() -> None:
    assert by_chat(["7"])(decoded({"chat": {"id": 7}}))
    assert by_chat(["+7"])(decoded({"chat": {"phone": 7}}))


@pytest.mark.parametrize("wanted", ["", " "])
def test_an_empty_chat_is_a_mistake(wanted: str) -> None:
    with pytest.raises(UsageError, match="--chat: it is empty"):
        by_chat(["x", wanted])


HIDDEN = {
    "a match in the text": (["test"], says("A Test"), True),
    "a match in the caption": (["^look"], says("text", "Look"), True),
    "another case, for a pattern with a capital": (["Test"], says("a test"), False),
    "one of two patterns": (["no such words", "test"], says("test"), True),
    "no pattern": (["no such words", "nor these"], says("test"), False),
    "no text": ([""], says("", None), False),
    "a status": ([""], STATUS, False),
}


@pytest.mark.parametrize(("patterns", "item", "hidden"), HIDDEN.values(), ids=HIDDEN)
def test_without(patterns: list[str], item: object, hidden: bool) -> None:
    keep = by_record(grep_not=compile_grep(patterns))
    assert keep
    assert keep(decoded(item)) == (not hidden)


def test_no_filter_is_none() -> None:
    assert by_record() is None
    none = compile_grep([])
    assert by_record(incoming=True, outgoing=True, grep=none, grep_not=none) is None


def test_kinds_combine_with_and() -> None:
    keep = by_record(
        incoming=True,
        chats=["@username_test"],
        grep=compile_grep(["test"]),
        grep_not=compile_grep(["spam"]),
        where=["data.id"],
    )
    assert keep
    assert keep(decoded(MESSAGE))
    changes: list[dict[str, object]] = [{"fromMe": True}, {"chat": {}}, says("other"), {"id": None}]
    changes.append(says("test, spam"))
    for change in changes:
        assert not keep(decoded(MESSAGE | change))


def test_all_filters_share_one_parse() -> None:
    keep = by_record(
        incoming=True,
        chats=["@username_test"],
        grep=compile_grep(["test"]),
        grep_not=compile_grep(["spam"]),
        where=["data.id"],
    )
    made = decoded(MESSAGE)
    parse_item.cache_clear()
    assert keep
    assert keep(made)
    assert parse_item.cache_info().misses == 1


def test_jmespath_is_imported_for_where_only() -> None:
    program = """
import sys
from chatapp_tail.filters import by_record
from chatapp_tail.filters.grep import compile_grep
by_record(incoming=True, chats=["x"], grep=compile_grep(["x"]))
assert "jmespath" not in sys.modules
by_record(where=["data.id"])
assert "jmespath" in sys.modules
"""
    subprocess.run([sys.executable, "-c", program], check=True)


EVERY_KIND: list[KeepRecord] = [
    by_direction(Direction.INCOMING),
    by_chat(["x", "+7"]),
    compile_grep(["x"]),
    without(compile_grep(["x"])),
    by_where(["data.id > `700`"]),
]


@given(ITEMS)
def test_no_filter_fails_on_any_item(item: object) -> None:
    made = decoded(item)
    for keep in EVERY_KIND:
        assert keep(made) in (True, False)
