"""One Pusher message out of its JSON, whatever the JSON is like."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatapp_tail.pusher.messages import (
    MalformedMessage,
    decode_event,
    document,
    error_code,
    member,
    text_of,
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
    found = decode_event(json.dumps(dict(members)).encode())
    assert found[:2] == (event, channel)
    assert found[2] == (data if isinstance(data, str) else json.dumps(data)).encode()


VALID = b'{"event":"a\\u00e9","channel":"b","data":"{\\"x\\":[1.0,\\"\\u0416\\"]}","y":{"z":null}}'
places = st.integers(0, len(VALID))


@given(
    places,
    places,
    st.sampled_from(b'{}[]":,\\ud80 e1').map(lambda one: bytes([one])) | st.just(b""),
)
def test_whatever_is_left_of_an_event_is_one_or_unreadable(at: int, end: int, put: bytes) -> None:
    text = VALID[:at] + put + VALID[end:]
    try:
        read = json.loads(text)
    except ValueError:
        with pytest.raises(MalformedMessage):
            decode_event(text)
        return
    if isinstance(read, dict) and isinstance(read.get("event"), str):
        event, channel, data = decode_event(text)
        assert event == text_of(read["event"])
        assert channel == read.get("channel")
        assert (data is None) == ("data" not in read)


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
    with pytest.raises(MalformedMessage, match=UNREADABLE[text]):
        decode_event(text.encode())


def test_half_a_surrogate_pair_in_a_name_becomes_a_question_mark() -> None:
    assert decode_event(rb'{"event":"a\ud800","channel":"b\udc00"}') == ("a?", "b?", None)


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
    assert text_of(member(said, "message")) == "a?b"
    assert text_of(member(said, "n")) == text_of(member(said, "none")) == ""
