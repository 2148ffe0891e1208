"""No frame that is shown holds a signature."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatapp_tail.pusher.redaction import redact, without_signatures

SUBSCRIBE = '{"event":"pusher:subscribe","data":{"channel":"private-x","auth":"key:made-up"}}'


def test_the_signature_is_cut_out_and_nothing_else() -> None:
    assert redact(SUBSCRIBE) == SUBSCRIBE.replace("key:made-up", "[secret]")


@pytest.mark.parametrize(
    "frame",
    ["", "{}", "not JSON", '{"event":"pusher:ping","data":{}}', '{"author":"me","auth":5}'],
)
def test_a_frame_without_one_stays_as_it_is(frame: str) -> None:
    assert redact(frame) == frame


@pytest.mark.parametrize(
    "frame",
    [
        '{"auth" : "made-up"}',
        '{"auth":\n"made-up"}',
        '{"data":{"auth":"made-up"},"auth":"made-up"}',
    ],
    ids=["spaces", "newline", "two"],
)
def test_a_signature_anywhere(frame: str) -> None:
    assert "made-up" not in redact(frame)


@given(st.text(min_size=8, max_size=20))
def test_whatever_a_signature_consists_of(auth: str) -> None:
    frame = {"event": "pusher:subscribe", "data": {"auth": auth}}
    expected = json.dumps({"event": "pusher:subscribe", "data": {"auth": "[secret]"}})
    assert redact(json.dumps(frame)) == redact(json.dumps(frame, ensure_ascii=False)) == expected


def test_an_error_has_no_signature_known_or_alike() -> None:
    text = f"Invalid signature made-up, expected {'0a' * 32}"
    expected = "Invalid signature [signature], expected [signature]"
    assert without_signatures(["made-up"], text) == expected
