"""Saved files come back as they were; what is broken in them is said, and the rest goes on."""

import bz2
import contextlib
import gzip
import io
import json
import lzma
import os
import re
import sys
import threading
import tracemalloc
from collections.abc import Callable
from math import inf
from pathlib import Path
from typing import BinaryIO

import msgspec
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from chatapp_tail import replay
from chatapp_tail.chatapp.records import DecodedEvent, Record, Source, decode
from chatapp_tail.errors import UsageError
from chatapp_tail.formats.ndjson import encode
from chatapp_tail.formats.raw import format_raw
from chatapp_tail.items import ChannelEvent
from chatapp_tail.replay import LONGEST_PAUSE, Broken, delay, parse_line, parse_speed, read_saved
from chatapp_tail.sandbox.events import LiveEvents
from tests.factories import CHANNEL

RECEIVED = 1637319283_123456000
NOW = 1700000000_000000000


def live(data: str, event: str = "message", channel: str | None = CHANNEL) -> DecodedEvent:
    return decode(ChannelEvent(RECEIVED, event, channel, data.encode()))


def story(count: int = 50) -> list[DecodedEvent]:
    events = LiveEvents(seed=3)
    told = [events.next(1229, "telegram", 1637319282) for _ in range(count)]
    return [live(event.data, event.name) for event in told]


def saved(frames: list[DecodedEvent]) -> bytes:
    return b"".join(encode(record) for frame in frames for record in frame.records)


def replayed(content: bytes | BinaryIO) -> tuple[list[DecodedEvent], list[Broken]]:
    stream = io.BytesIO(content) if isinstance(content, bytes) else content
    broken: list[Broken] = []
    return list(read_saved(["-"], broken.append, ignore, stdin=stream, now=lambda: NOW)), broken


def ignore() -> None:
    """Take note of no record."""


def fail(broken: Broken) -> None:
    raise AssertionError(broken)


def only(content: bytes) -> Record:
    (frame,), broken = replayed(content)
    (record,) = frame.records
    assert not broken
    return record


def as_replay(record: Record) -> Record:
    return msgspec.structs.replace(record, source=Source.REPLAY)


# Records.


def test_records_come_back_as_they_were() -> None:
    frames = story()
    again, broken = replayed(saved(frames))
    assert not broken
    assert [each for frame in again for each in frame.records] == [
        as_replay(each) for frame in frames for each in frame.records
    ]


EXACT = [
    '{"id": 1.10, "b":\t[ ] }',
    '{"id":12345678901234567890123,"text":"\\u0416\\/ж"}',
    '{"id":1,"text":"\\ud800"}',
    "1e400",
    '"text"',
    "null",
    "[" * 90 + "]" * 90,
]


@pytest.mark.parametrize("item", EXACT)
def test_the_item_is_the_same_byte_for_byte(item: str) -> None:
    (record,) = live(item).records
    again = only(encode(record))
    assert again.data == item.encode()
    assert encode(again) == encode(record).replace(b'"live"', b'"replay"')


OF_ANOTHER_HASH = {
    "by an earlier version": rb"",
    "by another program": rb'"hash":"0123456789ab",',
    "of another type": rb'"hash":[{}],',
}


@pytest.mark.parametrize("item", EXACT)
@pytest.mark.parametrize("member", OF_ANOTHER_HASH.values(), ids=OF_ANOTHER_HASH)
def test_the_hash_is_computed_again(item: str, member: bytes) -> None:
    (record,) = live(item).records
    line, replaced = re.subn(rb'"hash":"[0-9a-f]{12}",', member, encode(record), count=1)
    assert replaced == 1
    assert encode(only(line)) == encode(as_replay(record))


@pytest.mark.parametrize(
    "frame",
    [
        live("plain"),
        *(live('{"a":1}', "employeeStatus", channel) for channel in (None, "ж", "company/2224")),
    ],
    ids=["no JSON", "no channel", "channel of any name", "channel of a company"],
)
def test_text_and_records_of_any_channel_come_back(frame: DecodedEvent) -> None:
    (record,) = frame.records
    assert only(encode(record)) == as_replay(record)


scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text()
values = st.recursive(scalars, lambda v: st.lists(v) | st.dictionaries(st.text(), v))


@given(values, st.booleans(), st.text(st.characters(exclude_categories=["Cs"])))
def test_any_record_comes_back(item: object, ascii_only: bool, event: str) -> None:
    text = json.dumps(item, ensure_ascii=ascii_only).encode("utf-8", "replace").decode()
    (record,) = live(text, event).records
    assert only(encode(record)) == as_replay(record)


def test_a_frame_of_one_record_is_in_its_envelope_again() -> None:
    meta = '{"type":"message","licenseId":1229,"messengerType":"telegram"}'
    payload = f'{{"data":[{{"id":1.0}}],"meta":{meta}}}'
    frame = live(f'{{"queue":"Telegram.Broadcast.Message","payload":{payload}}}')
    (again,), _ = replayed(saved([frame]))
    assert again.data == frame.data
    assert parse_line(encode(live('{"a":1}').records[0])) == DecodedEvent(
        b'{"a":1}', [as_replay(live('{"a":1}').records[0])]
    )


PASSED_OVER = [
    b'{"v":1,"type":"status","state":"ready"}',
    b'{"v":1,"type":"gap"}',
    b'{"v":1,"type":"new"}',
    b"",
    b"  \r",
]


@pytest.mark.parametrize("line", PASSED_OVER)
def test_other_records_and_empty_lines_are_passed_over(line: bytes) -> None:
    assert replayed(line + b"\n") == ([], [])


def test_windows_line_ends_are_fine() -> None:
    frames = story(3)
    assert replayed(saved(frames).replace(b"\n", b"\r\n")) == replayed(saved(frames))


# Frames.


def test_frames_of_raw_output_come_back() -> None:
    frames = story()
    content = b"".join(line for frame in frames for line in format_raw(frame, frame.records))
    again, broken = replayed(content)
    assert not broken
    assert [frame.data for frame in again] == [frame.data for frame in frames]
    for old, new in zip(frames, again, strict=True):
        changed = {"source": Source.REPLAY, "received": NOW}
        assert new.records == [msgspec.structs.replace(each, **changed) for each in old.records]


FRAMES = [
    ('{"queue":"X.Broadcast.Message","payload":{"data":[1]}}', "message", None),
    ('{"queue":"X.Broadcast.Message.Status","payload":{"data":[1]}}', "messageStatus", None),
    ('{"queue":"X.Broadcast.ChatTag","payload":{"data":[1]}}', "chatTag", None),
    ('{"queue":"X.Broadcast.New","payload":{"data":[1]}}', "unknown", None),
    ('{"payload":{"data":[1],"meta":{"type":"chatConversation"}}}', "chatConversation", None),
    ('{"payload":{"data":[1],"meta":7}}', "unknown", None),
    (
        '{"data":[1],"meta":{"type":"message","licenseId":1229,"messengerType":"telegram"}}',
        "message",
        CHANNEL,
    ),
    ('{"payload":{"data":["\\ud800"],"meta":{"type":"message"}}}', "message", None),
]


@pytest.mark.parametrize(("line", "event", "channel"), FRAMES)
def test_a_frame_is_named_after_what_it_says(line: str, event: str, channel: str | None) -> None:
    record = only(line.encode())
    assert (record.event, record.channel, record.received) == (event, channel, NOW)


# What is broken.

BROKEN = [
    (b"{", "not a JSON object"),
    (b"text", "not a JSON object"),
    (b"\xff\xfe", "not text in UTF-8"),
    (b"[1]", "neither a record nor a frame"),
    (b'"text"', "neither a record nor a frame"),
    (b'{"a":1}', "neither a record of -o json nor a frame of -o raw"),
    (b'{"payload":1}', "neither a record nor a frame"),
    (b'{"v":2,"type":"event"}', "version 2 of records is not known"),
    (b'{"v":1,"type":"event"}', "not a record: Object missing required field"),
    (b"[" * 100_000, "neither a record nor a frame"),
]


@pytest.mark.parametrize(("line", "why"), BROKEN, ids=lambda each: str(each)[:20])
def test_a_broken_line_is_said_and_the_rest_goes_on(line: bytes, why: str) -> None:
    frames = story(2)
    again, (broken,) = replayed(saved(frames[:1]) + line + b"\n" + saved(frames[1:]))
    assert len(again) == len([each for frame in frames for each in frame.records])
    assert (broken.file, broken.line) == ("stdin", 1 + len(frames[0].records))
    assert broken.reason.startswith(why)


@pytest.mark.parametrize("received", ["yesterday", "2026-11-22T08:39:00", "", "9999-99-99"])
def test_a_moment_that_is_none(received: str) -> None:
    line = encode(live("1").records[0]).replace(b"2021-11-19T10:54:43.123456Z", received.encode())
    _, (broken,) = replayed(line)
    assert broken.reason == f"not a moment: received is {received!r}"


@given(st.binary() | values.map(lambda value: json.dumps(value).encode()))
def test_any_line_is_an_event_or_broken(line: bytes) -> None:
    with contextlib.suppress(ValueError):
        parse_line(line)


def test_a_cut_off_line_is_broken() -> None:
    content = saved(story(3))
    assert replayed(content[:-1]) == replayed(content)
    _, (broken,) = replayed(content[:-20])
    assert broken.line == content.count(b"\n")


def test_a_line_that_is_too_long_is_broken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replay, "LONGEST", 100_000)
    good = saved(story(1))
    again, (broken,) = replayed(good + b'{"a":"' + b"x" * 1_000_000 + b'"}\n' + good)
    assert len(again) == 2 * good.count(b"\n")
    assert broken.line == good.count(b"\n") + 1


# Files and compression.


def zstd(content: bytes) -> bytes:
    return zstandard.ZstdCompressor().compress(content)


COMPRESSIONS = [gzip.compress, zstd]


class Trickle:
    """A pipe whose writer writes a byte at a time."""

    def __init__(self, content: bytes) -> None:
        self._content = io.BytesIO(content)

    def read1(self, size: int = -1) -> bytes:
        return self._content.read(min(size, 1))

    read = read1


@pytest.mark.parametrize("compress", COMPRESSIONS)
def test_compression_is_known_by_content(compress: Callable[[bytes], bytes]) -> None:
    content = saved(story())
    plain = replayed(content)
    half = content.index(b"\n", len(content) // 2) + 1
    assert replayed(compress(content)) == plain
    assert replayed(compress(content[:half]) + compress(content[half:])) == plain
    assert replayed(Trickle(compress(content))) == plain  # type: ignore[arg-type]
    assert replayed(Trickle(content)) == plain  # type: ignore[arg-type]


@pytest.mark.parametrize("compress", COMPRESSIONS)
def test_compressed_data_that_is_cut_off_or_damaged_is_said(
    compress: Callable[[bytes], bytes],
) -> None:
    content = compress(saved(story(200)))
    again, (broken,) = replayed(content[:-9])
    assert again
    assert broken.reason == "the rest cannot be read: the compressed data is cut off"
    assert broken.line == sum(len(frame.records) for frame in again) + 1
    middle = len(content) // 2
    _, damaged = replayed(content[:middle] + bytes(64) + content[middle + 64 :])
    assert damaged[-1].reason.startswith("the rest cannot be read: ")


def test_a_padded_gzip_file_is_whole() -> None:
    content = saved(story(3))
    packed = gzip.compress(content)
    assert replayed(packed + bytes(5000)) == replayed(content)
    assert replayed(packed + bytes(5000) + packed) == replayed(content + content)


def test_zstd_without_its_library_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    if sys.version_info >= (3, 14):
        pytest.skip("Python has it itself")
    monkeypatch.setitem(sys.modules, "zstandard", None)
    with pytest.raises(UsageError, match="stdin is compressed with zstd: pip install zstandard"):
        replayed(zstd(b"{}"))


def test_files_are_read_in_turn(tmp_path: Path) -> None:
    frames = story(4)
    (tmp_path / "a").write_bytes(saved(frames[:1]))
    (tmp_path / "b").write_bytes(gzip.compress(saved(frames[1:2]) + b"broken"))
    (tmp_path / "c").write_bytes(saved(frames[3:]))
    broken: list[Broken] = []
    files = [str(tmp_path / "a"), str(tmp_path / "b"), "-", str(tmp_path / "c")]
    found = list(read_saved(files, broken.append, ignore, stdin=io.BytesIO(saved(frames[2:3]))))
    assert [each for frame in found for each in frame.records] == [
        as_replay(each) for frame in frames for each in frame.records
    ]
    assert [(each.file, each.line) for each in broken] == [(files[1], 1 + len(frames[1].records))]


@pytest.mark.parametrize("name", ["missing", ""])
def test_a_file_that_cannot_be_opened(tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError, match=r"cannot read .*(No such file|Is a directory)"):
        list(read_saved([str(tmp_path / name)], fail, ignore, stdin=io.BytesIO()))


def test_a_file_that_fails_while_it_is_read() -> None:
    class Failing(Trickle):
        def read1(self, size: int = -1) -> bytes:
            raise OSError(5, os.strerror(5))

    _, (broken,) = replayed(Failing(b""))  # type: ignore[arg-type]
    assert broken.reason.endswith("Input/output error")


@pytest.mark.parametrize("compress", [bytes, *COMPRESSIONS])
def test_memory_stays_constant(compress: Callable[[bytes], bytes]) -> None:
    content = compress(saved(story(8000)))
    tracemalloc.start()
    try:
        for _ in read_saved(["-"], fail, ignore, stdin=io.BytesIO(content)):
            pass
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 1_500_000


# Pace.


@pytest.mark.parametrize(
    ("text", "speed"), [("1", 1), ("10", 10), ("0.5", 0.5), ("2x", 2), ("max", inf)]
)
def test_a_speed(text: str, speed: float) -> None:
    assert parse_speed(text) == speed


@pytest.mark.parametrize("text", ["", "0", "-1", "fast", "nan", "inf", "1e999"])
def test_what_is_no_speed(text: str) -> None:
    with pytest.raises(ValueError, match="a speed is a number"):
        parse_speed(text)


@pytest.mark.parametrize(
    ("before", "received", "speed", "seconds"),
    [(0, 1_500_000_000, 1, 1.5), (0, 1_500_000_000, 10, 0.15), (0, 10**30, inf, 0), (9, 3, 1, 0)],
)
def test_the_delay_to_the_next(before: int, received: int, speed: float, seconds: float) -> None:
    assert delay(before, received, speed) == seconds


@pytest.mark.defect("A2.24b")
@pytest.mark.parametrize(
    ("received", "speed"), [(10**19, 1), (10**19, 1e-300), (10**9, 5e-324), (10**30, 0.1)]
)
def test_a_delay_is_one_that_can_be_slept(received: int, speed: float) -> None:
    assert delay(0, received, speed) == LONGEST_PAUSE
    assert LONGEST_PAUSE < threading.TIMEOUT_MAX


FOREIGN = {"bzip2": bz2.compress, "xz": lzma.compress}


@pytest.mark.defect("U5")
@pytest.mark.parametrize(("program", "compress"), FOREIGN.items(), ids=FOREIGN)
def test_compression_that_another_program_reads(
    program: str, compress: Callable[[bytes], bytes], tmp_path: Path
) -> None:
    file = tmp_path / "a file"
    file.write_bytes(compress(saved(story(3))))
    with pytest.raises(UsageError) as caught:
        list(read_saved([str(file)], fail, ignore, stdin=io.BytesIO()))
    assert str(caught.value) == (
        f"{file} is compressed with {program}: use {program} -dc '{file}' | chatapp-tail replay -"
    )


def test_records_of_any_type_are_counted() -> None:
    count = 0

    def note() -> None:
        nonlocal count
        count += 1

    content = b'\n{"v":1,"type":"status"}\n \nbroken\n' + saved(story(1))
    broken: list[Broken] = []
    found = list(read_saved(["-"], broken.append, note, stdin=io.BytesIO(content)))
    assert count == 1 + len(found)
    assert [each.line for each in broken] == [4]
