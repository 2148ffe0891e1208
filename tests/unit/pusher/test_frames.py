"""RFC 6455 frames of a server, cut out of bytes however the network delivers them."""

import time
from collections.abc import Callable, Iterable
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatapp_tail.pusher.frames import (
    BINARY,
    CLOSE,
    PING,
    PONG,
    TEXT,
    FrameDecoder,
    Message,
    parse_close,
)

from ...conftest import TIMEOUT_SCALE

MAX = 16 * 1024 * 1024
CONTINUATION = 0


def frame(opcode: int, payload: bytes = b"", *, fin: bool = True, rsv: int = 0) -> bytes:
    """One unmasked frame, its length in the shortest form."""
    head = bytes([(0x80 if fin else 0) | rsv | opcode])
    size = len(payload)
    if size < 126:
        return head + bytes([size]) + payload
    if size < 65536:
        return head + b"\x7e" + size.to_bytes(2, "big") + payload
    return head + b"\x7f" + size.to_bytes(8, "big") + payload


def decode(chunks: Iterable[bytes], max_message: int = MAX) -> tuple[list[Message], FrameDecoder]:
    decoder = FrameDecoder(max_message)
    return [message for chunk in chunks for message in decoder.feed(chunk)], decoder


def fault_code(data: bytes, max_message: int = MAX) -> int | None:
    _, decoder = decode([data], max_message)
    return decoder.fault.code if decoder.fault else None


# --- streams that follow the RFC ----------------------------------------------------------------

LENGTHS = (0, 1, 125, 126, 127, 65535, 65536, 70000)
payloads = st.binary(max_size=40) | st.sampled_from(LENGTHS).map(lambda size: b"\xc3\xa9" * size)
controls = st.tuples(st.sampled_from((CLOSE, PING, PONG)), st.binary(max_size=125))


@st.composite
def data_message(draw: st.DrawFn) -> tuple[bytes, list[Message]]:
    """Frames of one message, with control frames between its fragments, and what they mean."""
    opcode = draw(st.sampled_from((TEXT, BINARY)))
    fragments = draw(st.lists(payloads, min_size=1, max_size=4))
    wire, messages = b"", []
    for at, fragment in enumerate(fragments):
        last = at == len(fragments) - 1
        wire += frame(CONTINUATION if at else opcode, fragment, fin=last)
        if not last and draw(st.booleans()):
            control = draw(controls)
            wire += frame(*control)
            messages.append(control)
    return wire, [*messages, (opcode, b"".join(fragments))]


def control_message(control: Message) -> tuple[bytes, list[Message]]:
    return frame(*control), [control]


streams = st.lists(data_message() | controls.map(control_message), max_size=8).map(
    lambda parts: (
        b"".join(wire for wire, _ in parts),
        [message for _, messages in parts for message in messages],
    )
)


def cut(data: bytes, places: Iterable[int]) -> list[bytes]:
    edges = [0, *sorted(place % (len(data) + 1) for place in places), len(data)]
    return [data[start:end] for start, end in pairwise(edges)]


@given(streams, st.lists(st.integers(min_value=0, max_value=10**6), max_size=20))
def test_any_split_of_a_stream_gives_the_same_messages(
    stream: tuple[bytes, list[Message]], places: list[int]
) -> None:
    wire, expected = stream
    whole, _ = decode([wire])
    split, decoder = decode(cut(wire, places))
    assert whole == split == expected
    assert decoder.fault is None


@given(st.lists(data_message(), min_size=1, max_size=2))
def test_one_byte_at_a_time_gives_the_same_messages(
    parts: list[tuple[bytes, list[Message]]],
) -> None:
    wire = b"".join(wire for wire, _ in parts)[:3000]
    by_byte, _ = decode(wire[at : at + 1] for at in range(len(wire)))
    assert by_byte == decode([wire])[0]


@given(st.lists(st.binary(max_size=60), max_size=20), st.sampled_from((0, 10, 1000)))
def test_any_bytes_are_survived(chunks: list[bytes], max_message: int) -> None:
    messages, decoder = decode(chunks, max_message)
    assert all(len(payload) <= max(max_message, 125) for _, payload in messages)
    assert all(opcode in (TEXT, BINARY, CLOSE, PING, PONG) for opcode, _ in messages)
    if decoder.fault:
        assert decoder.fault.code in (1002, 1009)
        assert decoder.feed(frame(TEXT, b"more")) == []


@pytest.mark.parametrize("size", LENGTHS)
def test_every_length_form(size: int) -> None:
    assert decode([frame(TEXT, b"a" * size)])[0] == [(TEXT, b"a" * size)]


def test_fragments_are_joined_and_controls_come_first() -> None:
    wire = frame(TEXT, b"a", fin=False) + frame(PING, b"p") + frame(CONTINUATION, b"b")
    assert decode([wire])[0] == [(PING, b"p"), (TEXT, b"ab")]


def test_fragments_may_be_empty() -> None:
    wire = frame(BINARY, fin=False) + frame(CONTINUATION, fin=False) + frame(CONTINUATION)
    assert decode([wire])[0] == [(BINARY, b"")]


def test_a_message_is_given_out_with_its_last_byte() -> None:
    decoder = FrameDecoder(MAX)
    wire = frame(TEXT, b"hello")
    assert decoder.feed(wire[:-1]) == []
    assert decoder.feed(wire[-1:] + wire) == [(TEXT, b"hello")] * 2


# --- faults -------------------------------------------------------------------------------------

FAULTS = {
    "RSV1": frame(TEXT, b"x", rsv=0x40),
    "RSV2": frame(TEXT, b"x", rsv=0x20),
    "RSV3 on a ping": frame(PING, rsv=0x10),
    "masked text": b"\x81\x81\x00\x00\x00\x00x",
    "masked ping": b"\x89\x80\x00\x00\x00\x00",
    "masked, long": b"\x81\xfe\x00\x80",
    "ping of 126 bytes": frame(PING, b"x" * 126),
    "close of 65536 bytes": frame(CLOSE, b"x" * 65536),
    "ping in fragments": frame(PING, fin=False),
    "close in fragments": frame(CLOSE, fin=False),
    "continuation of nothing": frame(CONTINUATION, b"x"),
    "continuation after the end": frame(TEXT) + frame(CONTINUATION),
    "text inside of a message": frame(TEXT, b"a", fin=False) + frame(TEXT, b"b"),
    "long text inside of a message": frame(TEXT, b"a", fin=False) + frame(TEXT, b"b" * 200),
    "binary inside of a message": frame(TEXT, b"a", fin=False) + frame(BINARY, b"b"),
    **{f"opcode {opcode}": frame(opcode) for opcode in (3, 4, 5, 6, 7, 11, 12, 13, 14, 15)},
}


@pytest.mark.parametrize("data", FAULTS.values(), ids=FAULTS.keys())
def test_faults_are_protocol_errors(data: bytes) -> None:
    assert fault_code(data) == 1002


@pytest.mark.parametrize("data", FAULTS.values(), ids=FAULTS.keys())
def test_what_came_before_a_fault_is_kept_and_nothing_after_it(data: bytes) -> None:
    start = frame(TEXT, b"first") + frame(PONG, b"second")
    messages, decoder = decode([start + data + frame(TEXT, b"after"), frame(TEXT, b"later")])
    assert messages[:2] == [(TEXT, b"first"), (PONG, b"second")]
    assert not {(TEXT, b"after"), (TEXT, b"later")} & set(messages)
    assert decoder.fault is not None


@pytest.mark.parametrize("data", FAULTS.values(), ids=FAULTS.keys())
def test_faults_are_found_byte_by_byte_too(data: bytes) -> None:
    _, decoder = decode(data[at : at + 1] for at in range(len(data)))
    assert decoder.fault is not None


@pytest.mark.parametrize("opcode", [TEXT, BINARY])
def test_the_largest_message_is_taken_and_one_byte_more_is_not(opcode: int) -> None:
    assert decode([frame(opcode, b"x" * 1000)], 1000)[0] == [(opcode, b"x" * 1000)]
    assert fault_code(frame(opcode, b"x" * 1001), 1000) == 1009


def test_a_message_over_the_limit_is_refused_by_its_header_alone() -> None:
    messages, decoder = decode([frame(PING) + b"\x81\x7f" + (2**63 + 5).to_bytes(8, "big")])
    assert messages == [(PING, b"")]
    assert decoder.fault is not None
    assert decoder.fault.code == 1009
    assert str(2**63 + 5) in decoder.fault.reason
    assert str(MAX) in decoder.fault.reason


def test_the_limit_holds_for_the_sum_of_fragments() -> None:
    wire = frame(TEXT, b"x" * 600, fin=False) + frame(CONTINUATION, b"x" * 400, fin=False)
    assert fault_code(wire + frame(CONTINUATION), 1000) is None
    assert fault_code(wire + frame(CONTINUATION, b"x"), 1000) == 1009


# --- time ---------------------------------------------------------------------------------------


def seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def reference(chunks: list[bytes]) -> None:
    """What any decoder in Python has to do: look at each piece, and copy it once."""
    whole = bytearray()
    for chunk in chunks:
        whole += chunk[len(chunk) // 2 :]
        whole += chunk[: len(chunk) // 2]


LARGE = frame(TEXT, b"x" * MAX)
SHREDDED = frame(TEXT, fin=False) + frame(CONTINUATION, b"x", fin=False) * 300_000
PIECES = {
    "16 MiB in chunks of 1 KiB": (LARGE, 1024, 1),
    "300 000 fragments of a byte": (SHREDDED + frame(CONTINUATION), 65536, 22_000),
}


@pytest.mark.parametrize(("wire", "size", "frames_a_chunk"), PIECES.values(), ids=PIECES.keys())
def test_time_is_linear_in_the_size(wire: bytes, size: int, frames_a_chunk: int) -> None:
    chunks = [wire[at : at + size] for at in range(0, len(wire), size)]
    base = [chunk[:2] for chunk in chunks for _ in range(frames_a_chunk)]
    allowed = 30 * (seconds(lambda: reference(chunks)) + seconds(lambda: reference(base)))
    assert seconds(lambda: decode(chunks)) < allowed + TIMEOUT_SCALE
    assert len(decode(chunks)[0]) == 1


# --- close frames -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("payload", "expected"),
    [
        pytest.param(b"", (1005, ""), id="no code"),
        pytest.param(b"\x03", (1005, ""), id="half a code"),
        pytest.param(b"\x03\xe8", (1000, ""), id="code only"),
        pytest.param(b"\x0f\xa1no app", (4001, "no app"), id="code and reason"),
        pytest.param(b"\xff\xff", (65535, ""), id="a code nobody may send"),
        pytest.param(b"\x03\xe8\xff", (1000, "�"), id="reason not UTF-8"),
    ],
)
def test_parse_close(payload: bytes, expected: tuple[int, str]) -> None:
    assert parse_close(payload) == expected


@given(st.binary(max_size=125))
def test_any_close_payload_is_read(payload: bytes) -> None:
    code, _ = parse_close(payload)
    assert 0 <= code <= 65535
