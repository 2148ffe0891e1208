"""One Pusher message out of its JSON, whatever the JSON is like."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatapp_tail.pusher.wire import (
    Unreadable,
    decode_message,
    document,
    error_code,
    member,
    printable,
)

texts = st.text(max_size=12)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
)


@given(texts, st.none() | texts, values, st.dictionaries(texts, values, max_size=2), st.randoms())
def test_members_are_found_in_any_order(
    event: str, channel: str | None, data: object, others: dict[str, object], random: object
) -> None:
    members = list({**others, "event": event, "channel": channel, "data": data}.items())
    random.shuffle(members)  # type: ignore[attr-defined]
    found = decode_message(json.dumps(dict(members)).encode())
    assert found[:2] == (event, channel)
    assert found[2] == (data if isinstance(data, str) else json.dumps(data)).encode()


@given(st.binary(max_size=60).filter(lambda payload: _is_text(payload)) | texts.map(str.encode))
def test_whatever_comes_is_a_message_or_unreadable(payload: bytes) -> None:
    try:
        event, channel, data = decode_message(payload)
    except Unreadable:
        return
    assert isinstance(event, str)
    assert channel is None or isinstance(channel, str)
    assert data is None or isinstance(data, bytes)


def _is_text(payload: bytes) -> bool:
    try:
        payload.decode()
    except UnicodeDecodeError:
        return False
    return True


UNREADABLE = {
    "": "JSON object",
    "{": "JSON object",
    "[]": "JSON object",
    '{"event":"x","data":NaN}': "JSON object",
    '{"event":"x"} {"event":"y"}': "JSON object",
    "[" * 100_000: "JSON object",
    "{}": "event or channel name",
    '{"event":5}': "event or channel name",
    '{"event":"x","channel":5}': "event or channel name",
}


@pytest.mark.parametrize("text", UNREADABLE, ids=lambda text: text[:30])
def test_what_is_no_message_says_what_it_is(text: str) -> None:
    with pytest.raises(Unreadable, match=UNREADABLE[text]):
        decode_message(text.encode())


def test_half_a_surrogate_pair_in_a_name_becomes_a_question_mark() -> None:
    assert decode_message(rb'{"event":"a\ud800","channel":"b\udc00"}') == ("a?", "b?", None)


@pytest.mark.parametrize(
    ("data", "value"),
    [
        (None, None),
        (b"", None),
        (b"text", None),
        (b"[" * 100_000, None),
        (b'{"code":4001,"message":"\\ud800","n":1e400}', 4001),
        (b'{"code":true}', None),
        (b'{"code":"4001"}', None),
        (b'{"code":65536}', None),
        (b'{"code":-1}', None),
        (b"[4001]", None),
    ],
)
def test_the_code_of_an_error(data: bytes | None, value: int | None) -> None:
    assert error_code(document(data)) == value


def test_texts_of_a_document_can_leave_the_program() -> None:
    said = document(b'{"message":"a\\ud800b","n":5}')
    assert printable(member(said, "message")) == "a?b"
    assert printable(member(said, "n")) == printable(member(said, "none")) == ""
