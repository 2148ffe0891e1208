"""Which events and records go on."""

import contextlib
import json
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatapp_tail.chatapp.records import Record, decode
from chatapp_tail.errors import UsageError
from chatapp_tail.filters import (
    KeepRecord,
    by_chat,
    by_direction,
    by_event,
    by_record,
    by_where,
    compile_grep,
)
from chatapp_tail.formats.fields import Direction, read
from chatapp_tail.formats.ndjson import encode
from chatapp_tail.items import ChannelEvent

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
    if wanted and set(wanted) <= set(unwanted):
        with pytest.raises(UsageError):
            by_event(iter(wanted), iter(unwanted))
        return
    kept = by_event(iter(wanted), iter(unwanted))(event)
    assert kept == ((not wanted or event in wanted) and event not in unwanted)


# Filters on records.

CHANNEL = "private-v1.licenses.1229.messengers.telegram"
CHAT = {
    "id": "private-1480000001h1360000000000000001",
    "hash": "h1360000000000000001",
    "type": "private",
    "phone": "70000000000",
    "username": "username_test",
    "name": "Test  Straße",
}
MESSAGE = {"id": 696, "fromMe": False, "type": "text", "message": {"text": "Test"}, "chat": CHAT}
STATUS = {"id": 696, "type": "delivered", "chat": {"id": "group-54911000655"}, "error": None}


def record(item: object, event: str = "message") -> Record:
    envelope = {"queue": "Telegram.Broadcast.Message", "payload": {"data": [item]}}
    received = 1637319283_123456789
    (made,) = decode(ChannelEvent(received, event, CHANNEL, json.dumps(envelope).encode())).records
    return made


def says(text: object, caption: object = "") -> dict[str, object]:
    return {"message": {"text": text, "caption": caption}}


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
    made = record(item)
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
    assert by_chat([wanted])(record(MESSAGE))
    assert by_chat(["nobody", wanted])(record(MESSAGE))
    assert not by_chat([wanted])(record(STATUS))


@pytest.mark.parametrize("wanted", ["private-1480000001", "H1360000000000000001", "Test", "7", "@"])
def test_a_chat_that_is_not_meant(wanted: str) -> None:
    assert not by_chat([wanted])(record(MESSAGE))


@pytest.mark.parametrize("item", [{}, {"chat": None}, {"chat": "7"}, {"chat": {}}, ["7"], "7"])
def test_an_item_without_a_chat_is_in_no_chat(item: object) -> None:
    assert not by_chat(["7", "None", "null", "@"])(record(item))


def test_numbers_are_compared_as_text() -> None:
    assert by_chat(["7"])(record({"chat": {"id": 7}}))
    assert by_chat(["+7"])(record({"chat": {"phone": 7}}))


@pytest.mark.parametrize("wanted", ["", " "])
def test_an_empty_chat_is_a_mistake(wanted: str) -> None:
    with pytest.raises(UsageError, match="--chat: it is empty"):
        by_chat(["x", wanted])


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
    assert compile_grep([pattern])(record(item)) == expected
    assert compile_grep(["no such words", pattern])(record(item)) == expected


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


WHERES = [
    ("event == 'message'", True),
    ("data.chat.name", True),
    ("data.nothing", False),
    ("`false`", False),
    ("`null`", False),
    ("''", False),
    ("`[]`", False),
    ("`{}`", False),
    ("`0`", True),
    ("`[null]`", True),
    ('`"false"`', True),
    ("!(data.error)", True),
    ("!data", False),
    ("data.id == `696`", True),
    ("data.id > `700`", False),
    ("data.id > data.chat.name", False),
    ("contains(data.message.text, 'es')", True),
    ("contains(data.id, 'es')", False),
    ("length(data.id)", False),
    ("data.message.text < `5`", False),
    ("license == `1229` && messenger == 'telegram' && part == parts", True),
    ("received < '2022' && source == 'live' && v == `1` && type == 'event'", True),
    ("encoding", False),
    ("@.anything", False),
    ("*", True),
    ("values(@)[?@ == 'message']", True),
    ("data.*.name | [0]", True),
    ("max_by([data], &id).id", True),
    ("[data, event][0].id", True),
    ("{a: data, b: event}.a.id", True),
    ("[data][:1]", True),
    ("[data][::0]", False),
    ("ceil(`1e999`)", False),
]


@pytest.mark.parametrize(("expression", "expected"), WHERES)
def test_where(expression: str, expected: bool) -> None:
    assert by_where([expression])(record(MESSAGE)) == expected
    assert by_where(["`false`", expression])(record(MESSAGE)) == expected


def test_where_knows_of_text_that_is_no_json() -> None:
    (made,) = decode(ChannelEvent(0, "x", None, b"plain")).records
    assert by_where(["encoding == 'text' && data == 'plain'"])(made)


@pytest.mark.parametrize("data", [b'{"id":1.5}', b"plain", None])
def test_where_sees_the_record_as_json_output_writes_it(data: bytes | None) -> None:
    (made,) = decode(ChannelEvent(1637319283_123456789, "x", CHANNEL, data)).records
    assert by_where([f"@ == `{encode(made).decode()}`"])(made)


WRONG_WHERES = [
    ("event = 'x'", "Unknown token '='", 6),
    ("data.", "it ends too early", 5),
    ("foo[", "it ends too early", 4),
    ("license == 1229", "numbers are written in backticks: `1229`", 11),
    ("data ) x", "unexpected ')'", 5),
    ("event == 'x", "Unclosed ' delimiter", 9),
    ("event == message", "a record has no member 'message'; members of the item are under", 9),
    ('event == "message"', "a record has no member 'message'; text stands in single quotes", 9),
    ("data.a && evnt == 'x'", "a record has no member 'evnt'; did you mean event?", 10),
    ("[evnt]", "a record has no member 'evnt'", 1),
    ("contians(event, 'x')", "there is no function contians; did you mean contains?", 0),
    ("data[?xyzzy(@)]", "there is no function xyzzy", 6),
    ("contains(event)", "contains takes 2 arguments, not 1", 0),
    ("not_null()", "not_null takes 1 or more arguments, not 0", 0),
    ("data.id && !data.error", "! applies to data only", 11),
    ("", "it is empty", 0),
]


@pytest.mark.parametrize(("expression", "why", "position"), WRONG_WHERES)
def test_a_wrong_expression_is_shown(expression: str, why: str, position: int) -> None:
    with pytest.raises(UsageError) as caught:
        by_where(["event", expression])
    said, shown, caret = str(caught.value).split("\n")
    assert said.startswith(f"--where: {why}")
    assert (shown, caret) == (f"  {expression}", "  " + " " * position + "^")


@pytest.mark.defect("A2.24c")
@pytest.mark.parametrize("count", [500, 3000, 100_000])
@pytest.mark.parametrize(
    ("before", "after"),
    [("", "|data"), ("", "||data"), ("", "[]"), ("!", ""), ("(", ")"), ("{a:", "}")],
    ids=str,
)
def test_an_expression_nested_too_deeply_is_refused(before: str, after: str, count: int) -> None:
    """In one line, and not while events come: an expression that fails then is never true."""
    with pytest.raises(UsageError) as caught:
        by_where([f"{before * count}data{after * count}"])
    assert str(caught.value) == "--where: nested too deeply; at most 300 levels are possible"


def test_an_expression_nested_as_deeply_as_possible_works() -> None:
    alternatives = " || ".join(["event == 'no'"] * 297 + ["event == 'message'"])
    assert by_where([alternatives])(record(MESSAGE))


WRONG_PATTERNS = [("foo(bar", "missing )", 3), ("*", "nothing to repeat", 0), ("a[", "untermin", 1)]


@pytest.mark.parametrize(("pattern", "why", "position"), WRONG_PATTERNS)
def test_a_wrong_pattern_is_shown(pattern: str, why: str, position: int) -> None:
    with pytest.raises(UsageError) as caught:
        compile_grep(["x", pattern])
    said, shown, caret = str(caught.value).split("\n")
    assert said.startswith(f"--grep: {why}")
    assert (shown, caret) == (f"  {pattern}", "  " + " " * position + "^")


def test_no_filter_is_none() -> None:
    assert by_record() is None
    assert by_record(incoming=True, outgoing=True, grep=compile_grep([])) is None


def test_kinds_combine_with_and() -> None:
    keep = by_record(
        incoming=True, chats=["@username_test"], grep=compile_grep(["test"]), where=["data.id"]
    )
    assert keep
    assert keep(record(MESSAGE))
    changes: list[dict[str, object]] = [{"fromMe": True}, {"chat": {}}, says("other"), {"id": None}]
    for change in changes:
        assert not keep(record(MESSAGE | change))


def test_all_filters_share_one_parse() -> None:
    keep = by_record(
        incoming=True, chats=["@username_test"], grep=compile_grep(["test"]), where=["data.id"]
    )
    made = record(MESSAGE)
    read.cache_clear()
    assert keep
    assert keep(made)
    assert read.cache_info().misses == 1


def test_jmespath_is_imported_for_where_only() -> None:
    program = """
import sys
from chatapp_tail.filters import by_record, compile_grep
by_record(incoming=True, chats=["x"], grep=compile_grep(["x"]))
assert "jmespath" not in sys.modules
by_record(where=["data.id"])
assert "jmespath" in sys.modules
"""
    subprocess.run([sys.executable, "-c", program], check=True)


members = st.sampled_from(["chat", "message", "text", "caption", "fromMe", "side", "id", "name"])
scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text()
items = st.recursive(
    scalars, lambda inner: st.lists(inner) | st.dictionaries(members, inner), max_leaves=20
)
ARGUMENTS = {
    "@": "abs avg ceil floor keys length max min reverse sort sum to_array to_number to_string type"
    " values not_null merge",
    "@, 'a'": "contains starts_with ends_with",
    "@, &id": "sort_by max_by min_by",
    "&id, @": "map",
    "'', @": "join",
}
CALLS = [f"{name}({given})" for given, names in ARGUMENTS.items() for name in names.split()]
OTHERS = ["id < name", "id >= `1`", "[*]", "[]", "[::-1]", "[?id]", "*", "!@", "&id"]
ALL_EXPRESSIONS = [f"data | {each}" for each in CALLS + OTHERS]


EVERY_KIND: list[KeepRecord] = [
    by_direction(Direction.INCOMING),
    by_chat(["x", "+7"]),
    compile_grep(["x"]),
    *(by_where([expression]) for expression in ALL_EXPRESSIONS),
]


@given(items)
def test_no_filter_fails_on_any_item(item: object) -> None:
    made = record(item)
    for keep in EVERY_KIND:
        assert keep(made) in (True, False)


@given(st.text("{}()[]?*.@&|!<=>'`\"\\,:-ab1 ", max_size=12) | st.text(max_size=8))
def test_an_expression_compiles_or_is_refused(expression: str) -> None:
    with contextlib.suppress(UsageError):
        assert by_where([expression])(record(MESSAGE)) in (True, False)


@given(st.text("()[]{}?*+.|^$\\-<>!=:PNx1ab", max_size=12) | st.text(max_size=8))
def test_a_pattern_compiles_or_is_refused(pattern: str) -> None:
    with contextlib.suppress(UsageError):
        assert compile_grep([pattern])(record(MESSAGE)) in (True, False)
