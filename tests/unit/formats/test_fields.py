"""What an item says, whatever it is."""

from hashlib import sha256
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatapp_tail.chatapp.records import decode
from chatapp_tail.formats.fields import FIELDS, RECORD_FIELDS, Direction, direction, parse_item
from chatapp_tail.items import ChannelEvent
from chatapp_tail.sandbox.events import LiveEvents
from tests.factories import CHANNEL, decoded

PERSON = {"id": 1480000001, "username": "username_test", "name": "Test Test", "phone": "7000000000"}
CHAT = {**PERSON, "id": "private-1480000001h1360000000000000001", "type": "private"}
FILE = {"link": "https://example.invalid/a", "name": "a.pdf"}
OTHER_FILE = {"link": "https://example.invalid/b", "name": "b.pdf"}


def field(name: str, item: object, event: str = "message") -> str:
    made = decoded(item, event)
    return FIELDS[name](made, parse_item(made.data))


def says(**members: Any) -> dict[str, Any]:
    return {"message": members}


SAID: list[tuple[str, object, str]] = [
    ("received", {}, "2021-11-19T10:54:43.123456Z"),
    ("event", {}, "message"),
    ("id", {"id": 696, "chat": {"id": "c"}}, "message:1229:telegram:c:696"),
    ("hash", {"a": 1}, sha256(b'{"a": 1}').hexdigest()[:12]),
    ("channel", {}, CHANNEL),
    ("license", {}, "1229"),
    ("messenger", {}, "telegram"),
    ("source", {}, "live"),
    ("queue", {}, "Telegram.Broadcast.Message"),
    ("part", {}, "1"),
    ("parts", {}, "1"),
    ("data", {"a": [1.0, None]}, '{"a": [1.0, null]}'),
    ("direction", {"fromMe": False}, "in"),
    ("direction", {"fromMe": True, "side": "in"}, "out"),
    ("direction", {"fromMe": None, "side": "out"}, "out"),
    ("direction", {"fromMe": 1, "side": "sideways"}, ""),
    ("direction", {"side": ["in"]}, ""),
    ("arrow", {"fromMe": False}, "←"),
    ("arrow", {"fromMe": True}, "→"),
    ("arrow", {}, "•"),
    ("sent", {"time": 1637319282}, "2021-11-19T10:54:42Z"),
    ("sent", {"time": 1637319282.9}, "2021-11-19T10:54:42Z"),
    ("sent", {"time": "1637319282"}, ""),
    ("sent", {"time": 9e14}, ""),
    ("sent", {"time": -1}, ""),
    ("sent", {"time": True}, ""),
    ("chat", {"chat": CHAT}, "Test Test"),
    ("chat", {"chat": {"username": "@user", "id": 1}}, "@user"),
    ("chat", {"chat": {"phone": 7000000000, "id": 1}}, "7000000000"),
    ("chat", {"chat": {"name": "", "id": "group-1"}}, "group-1"),
    ("chat", {"chat": "group-1"}, ""),
    ("chat.id", {"chat": CHAT}, "private-1480000001h1360000000000000001"),
    ("chat.type", {"chat": CHAT}, "private"),
    ("chat.name", {"chat": CHAT}, "Test Test"),
    ("chat.phone", {"chat": CHAT}, "7000000000"),
    ("chat.username", {"chat": CHAT}, "username_test"),
    ("from", {"fromUser": PERSON}, "Test Test"),
    ("from.id", {"fromUser": PERSON}, "1480000001"),
    ("from.name", {"fromUser": {"name": None}}, ""),
    ("from.phone", {"fromUser": PERSON}, "7000000000"),
    ("from.username", {"fromUser": PERSON}, "username_test"),
    ("type", {"type": "text"}, "text"),
    ("type", {"type": {}}, ""),
    ("text", says(text=" Test\n", caption="", file=None), "Test"),
    ("text", says(text="", caption="look"), "look"),
    ("text", says(text="one", caption="two"), "one\ntwo"),
    ("text", {"message": "Test"}, "Test"),
    ("text", "not JSON", "not JSON"),
    ("text", ["Test"], ""),
    ("error", {"error": None}, ""),
    ("error", {"error": "No such number"}, "No such number"),
    ("error", {"error": {"code": 1, "title": "Refused"}}, "Refused (1)"),
    ("error", {"error": {"code": 1, "title": "Refused", "details": "Why"}}, "Refused: Why (1)"),
    ("error", {"error": {"title": "Refused", "more": 1}}, '{"title":"Refused", "more":1}'),
    ("error", {"error": [1]}, "[1]"),
    ("tag", {"tag": {"id": 29, "name": "test 1"}}, "test 1"),
    ("tag", {"tag": {"id": 29, "name": None}}, "29"),
    ("file.name", says(file=FILE), "a.pdf"),
    ("file.name", says(file=[FILE, OTHER_FILE]), "a.pdf, b.pdf"),
    ("file.link", says(files=[FILE, {}, OTHER_FILE]), f"{FILE['link']} {OTHER_FILE['link']}"),
    ("file.link", says(file="a.pdf"), ""),
]


@pytest.mark.parametrize(("name", "item", "expected"), SAID)
def test_a_field(name: str, item: object, expected: str) -> None:
    assert field(name, item) == expected


def test_every_field_has_an_example() -> None:
    assert {name for name, _, _ in SAID} | {"status"} == FIELDS.keys()


@pytest.mark.parametrize(
    ("event", "expected"), [("messageStatus", "viewed"), ("message", ""), ("chatTag", "")]
)
def test_only_a_status_has_a_status(event: str, expected: str) -> None:
    assert field("status", {"type": "viewed"}, event) == expected


def test_what_is_no_json_is_its_own_text() -> None:
    (made,) = decode(ChannelEvent(0, "x", None, b"plain \x07 text")).records
    assert FIELDS["text"](made, parse_item(made.data)) == "plain \x07 text"


ODD_ITEMS = [
    (b'"\\ud800"', "\ud800"),
    (b"123456789012345678901234567890", 123456789012345678901234567890),
    (b"[" * 100_000, "[" * 100_000),
    (b"\xff", "\\xff"),
]


@pytest.mark.parametrize(("data", "value"), ODD_ITEMS, ids=["surrogate", "long", "deep", "bytes"])
def test_whatever_the_bytes_are_they_are_read(data: bytes, value: object) -> None:
    assert parse_item(data) == value


def test_an_item_is_parsed_once_while_it_is_looked_at() -> None:
    data = b'{"id":1}'
    assert parse_item(data) is parse_item(data)


NAMES = (
    "message chat fromUser fromMe side time type error tag text caption file files name link id"
    " phone username title code"
)
names = st.sampled_from(NAMES.split())
scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text()
values = st.recursive(
    scalars, lambda inner: st.lists(inner) | st.dictionaries(names, inner), max_leaves=30
)


@given(values, st.sampled_from(["message", "messageStatus", "chatTag", "other"]))
def test_any_item_has_every_field_as_text(item: object, event: str) -> None:
    made = decoded(item, event)
    parsed = parse_item(made.data)
    assert all(type(str(say(made, parsed))) is str for say in FIELDS.values())
    assert all(say(made, None) == say(made, parsed) for say in RECORD_FIELDS.values())


def test_the_events_of_the_sandbox_say_what_they_should() -> None:
    events = LiveEvents(seed=7)
    for _ in range(200):
        event = events.next(1229, "telegram", 1637319282)
        for each in decode(ChannelEvent(0, event.name, CHANNEL, event.data.encode())).records:
            item = parse_item(each.data)
            told = {name for name, say in FIELDS.items() if say(each, item)}
            assert {"event", "id", "chat", "chat.id", "type", "data"} <= told
            assert (direction(item) in tuple(Direction)) == (event.name == "message")
            assert ("status" in told) == (event.name == "messageStatus")
            assert ("tag" in told) == (event.name == "chatTag")
