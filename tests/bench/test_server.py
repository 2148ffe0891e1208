"""What the load server sends: whole frames of one length that all differ."""

import json

import pytest

from .server import CHANNEL, Load, blocks_of, event_frame, frame, header, stamped, status_frame

SIZE = len(event_frame(CHANNEL))


def texts(blocks: list[bytes]) -> list[bytes]:
    whole = b"".join(blocks)
    frames = [whole[at : at + SIZE] for at in range(0, len(whole), SIZE)]
    assert all(each.startswith(b"\x81\x7e") for each in frames)
    assert all(int.from_bytes(each[2:4], "big") == SIZE - 4 for each in frames)
    return [each[4:] for each in frames]


@pytest.mark.parametrize("mixed", [False, True])
def test_no_two_events_are_the_same(mixed: bool) -> None:
    sent = texts(blocks_of(Load(mixed=mixed)))
    assert len(set(sent)) == len(sent) == 4096


def test_every_second_of_mixed_events_is_a_status() -> None:
    sent = [json.loads(text)["event"] for text in texts(blocks_of(Load(mixed=True)))]
    assert set(sent[::2]) == {"message"}
    assert set(sent[1::2]) == {"messageStatus"}


def test_a_message_and_a_status_are_as_long() -> None:
    assert len(event_frame(CHANNEL, 4095)) == len(status_frame(CHANNEL, 1)) == SIZE


def test_a_stamp_changes_no_length() -> None:
    first = stamped(event_frame(CHANNEL))
    assert len(first) == SIZE
    assert first != stamped(event_frame(CHANNEL))


def test_a_short_frame_has_a_short_head() -> None:
    assert frame(b"x") == b"\x81\x01x"
    assert frame(b"x" * 126)[:4] == b"\x81\x7e\x00\x7e"


def test_headers_are_found_in_any_case() -> None:
    head = b"POST / HTTP/1.1\r\nContent-LENGTH: 7\r\nHost: x:1"
    assert header(head, b"content-length") == b"7"
    assert header(head, b"host") == b"x:1"
    assert header(head, b"cookie") == b""
