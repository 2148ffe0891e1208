"""Which records `--where` keeps, and which expressions it refuses."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatapp_tail.chatapp.records import decode
from chatapp_tail.errors import UsageError
from chatapp_tail.filters.where import by_where
from chatapp_tail.formats.ndjson import encode
from chatapp_tail.items import ChannelEvent
from tests.factories import CHANNEL, decoded
from tests.unit.filters.samples import ITEMS, MESSAGE

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
    ("length(hash) == `12`", True),
    ('"\\u0068ash" && [hash][0]', True),
    ("contains(keys(@), 'hash') && [@][0].hash && max_by([@], &hash).hash", True),
    ("length(*[? @ && length(to_string(@)) == `12`])", True),
    ("[data][:1]", True),
    ("[data][::0]", False),
    ("ceil(`1e999`)", False),
]


@pytest.mark.parametrize(("expression", "expected"), WHERES)
def test_where(expression: str, expected: bool) -> None:
    assert by_where([expression])(decoded(MESSAGE)) == expected
    assert by_where(["`false`", expression])(decoded(MESSAGE)) == expected


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
    assert by_where([alternatives])(decoded(MESSAGE))


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
EXPRESSIONS = [by_where([f"data | {expression}"]) for expression in CALLS + OTHERS]


@given(ITEMS)
def test_no_expression_fails_on_any_item(item: object) -> None:
    made = decoded(item)
    for keep in EXPRESSIONS:
        assert keep(made) in (True, False)


@given(st.text("{}()[]?*.@&|!<=>'`\"\\,:-ab1 ", max_size=12) | st.text(max_size=8))
def test_an_expression_compiles_or_is_refused(expression: str) -> None:
    with contextlib.suppress(UsageError):
        assert by_where([expression])(decoded(MESSAGE)) in (True, False)
