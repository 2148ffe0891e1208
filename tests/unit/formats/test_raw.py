"""`-o raw`: the data of a frame as the vendor documents it."""

import pytest

from chatapp_tail.chatapp.records import decode
from chatapp_tail.formats.raw import format_raw
from chatapp_tail.items import ChannelEvent

ENVELOPE = '{"queue":"q","payload":{"data":[{"id":1},{"id":2}],"meta":{"type":"message"}}}'


def lines(data: bytes | None) -> list[bytes]:
    decoded = decode(ChannelEvent(1, "message", "news", data))
    return format_raw(decoded, decoded.records)


def test_one_line_a_frame_however_many_items() -> None:
    assert lines(ENVELOPE.encode()) == [ENVELOPE.encode() + b"\n"]


def test_the_whole_frame_even_when_only_some_items_are_kept() -> None:
    decoded = decode(ChannelEvent(1, "message", "news", ENVELOPE.encode()))
    assert format_raw(decoded, decoded.records[1:]) == [ENVELOPE.encode() + b"\n"]


@pytest.mark.parametrize(
    ("data", "line"),
    [
        (None, b"null\n"),
        (b'{"a":1.10, "a":1e400}', b'{"a":1.10, "a":1e400}\n'),
        (b'{"a":\n1}', b'{"a": 1}\n'),
        (b"plain text\nof two lines", b'"plain text\\nof two lines"\n'),
        (rb"\ud800", rb'"\\ud800"' + b"\n"),
        (rb'"\ud800"', rb'"\ud800"' + b"\n"),
    ],
    ids=["absent", "as it stands", "newline", "text", "text with a backslash", "lone surrogate"],
)
def test_lines(data: bytes | None, line: bytes) -> None:
    assert lines(data) == [line]
