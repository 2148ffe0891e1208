"""Writing lines: up to a count, as far as there is room, and what the checkpoint learns of it."""

import json
import os
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from chatapp_tail.filters import by_event
from chatapp_tail.formats.raw import format_raw
from chatapp_tail.history.checkpoint import Checkpoint
from chatapp_tail.items import ChannelEvent
from chatapp_tail.reporting.summary import Summary
from chatapp_tail.sinks.stdout import Stdout
from chatapp_tail.tail.line_writer import LineWriter
from chatapp_tail.tail.output import OutputStalled
from chatapp_tail.tail.pipeline import Pipeline
from tests.factories import CHANNEL


def message(number: int, name: str = "message") -> ChannelEvent:
    item = {"id": number, "time": 1637319283, "chat": {"id": "7"}, "message": {"text": "x"}}
    meta = {"type": name, "licenseId": 1229, "messengerType": "telegram"}
    envelope = {"payload": {"data": [item], "meta": meta}}
    return ChannelEvent(1637319283_123456789, name, CHANNEL, json.dumps(envelope).encode())


class Writing:
    """A writer to a file, its pipeline, and how often it waited for room."""

    def __init__(
        self, path: Path, checkpoint: Checkpoint | None = None, count: int | None = None
    ) -> None:
        self.path = path
        self.summary = Summary()
        self.pipeline = Pipeline(
            by_event([], []), None, format_raw, self.summary, track_written=checkpoint is not None
        )
        self.waits = 0
        self.stalls = False
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        self.writer = LineWriter(
            Stdout(descriptor, resumed=checkpoint is not None),
            self.pipeline,
            checkpoint,
            count=count,
            wait_for_room=self._wait_for_room,
        )
        os.close(descriptor)

    def _wait_for_room(self) -> bool:
        self.waits += 1
        if self.stalls:
            raise OutputStalled
        return self.waits % 2 == 0

    def lines(self, *numbers: int) -> list[bytes]:
        return [line for number in numbers for line in self.pipeline.process_live(message(number))]

    @property
    def written(self) -> list[bytes]:
        return self.path.read_bytes().splitlines()


@pytest.fixture
def writing(tmp_path: Path) -> Iterator[Writing]:
    made = Writing(tmp_path / "out")
    yield made
    made.writer._stdout.close()


@pytest.fixture
def checkpoint(tmp_path: Path) -> Iterator[Checkpoint]:
    with closing(Checkpoint("name", tmp_path)) as made:
        yield made


@pytest.fixture
def resumed(tmp_path: Path, checkpoint: Checkpoint) -> Iterator[Writing]:
    made = Writing(tmp_path / "out", checkpoint, count=2)
    yield made
    made.writer._stdout.close()


def test_lines_are_written_when_there_is_room(writing: Writing) -> None:
    assert writing.writer.write(writing.lines(1, 2))
    assert len(writing.written) == 2
    assert writing.waits == 2
    assert not writing.writer.complete
    assert writing.writer.batch_size == float("inf")


def test_no_lines_are_no_write(writing: Writing) -> None:
    assert not writing.writer.write([])
    assert writing.waits == 0


def test_a_file_is_polled_before_each_write_and_a_pipe_not_right_after_a_poll(
    writing: Writing,
) -> None:
    reader, descriptor = os.pipe()
    stdout = Stdout(descriptor, resumed=False)
    pipe = LineWriter(
        stdout, writing.pipeline, None, count=None, wait_for_room=writing._wait_for_room
    )
    pipe.just_polled = True
    pipe.write([b"1\n"])
    assert (writing.waits, pipe.just_polled) == (0, stdout.at_most <= 4096)
    pipe.write([b"2\n"])
    assert writing.waits == 2
    assert os.read(reader, 99) == b"1\n2\n"
    for end in (reader, descriptor):
        os.close(end)
    stdout.close()


def test_lines_beyond_the_count_are_neither_written_nor_counted(tmp_path: Path) -> None:
    writing = Writing(tmp_path / "out", count=3)
    assert writing.writer.batch_size == 3
    writing.writer.write(writing.lines(1))
    assert writing.writer.batch_size == 2
    lines = writing.pipeline.process_live(message(2)) * 3
    writing.summary.tallies["message", CHANNEL].records += 2  # as if one event had three lines
    writing.writer.write(lines)
    assert len(writing.written) == 3
    assert writing.writer.complete
    assert writing.summary.tallies["message", CHANNEL].records == 3
    assert not writing.writer.write(writing.lines(5))
    assert len(writing.written) == 3
    writing.writer._stdout.close()


def test_a_stalled_reader_costs_the_lines_that_are_not_whole(writing: Writing) -> None:
    writing.stalls = True
    with pytest.raises(OutputStalled) as stalled:
        writing.writer.write(writing.lines(1, 2, 3))
    assert stalled.value.events == 3


def test_messages_are_committed_after_their_lines(resumed: Writing, checkpoint: Checkpoint) -> None:
    assert resumed.writer.batch_size == 2
    resumed.writer.write(resumed.lines(1))
    assert len(checkpoint.written()) == 1
    resumed.stalls = True
    with pytest.raises(OutputStalled):
        resumed.writer.write(resumed.lines(2))
    assert len(checkpoint.written()) == 1


def test_only_messages_that_are_shown_are_committed(
    resumed: Writing, checkpoint: Checkpoint
) -> None:
    lines = resumed.pipeline.process_live(message(1, "messageStatus"))
    resumed.writer.write(lines + resumed.lines(2, 3))
    assert len(resumed.written) == 2
    assert len(checkpoint.written()) == 1


def test_a_line_longer_than_a_pipe_takes_at_once_is_marked_while_it_is_partial(
    tmp_path: Path, checkpoint: Checkpoint
) -> None:
    reader, descriptor = os.pipe()
    stdout = Stdout(descriptor, resumed=True)
    partial: list[bool] = []

    def wait_for_room() -> bool:
        partial.append(checkpoint.partial_line)
        return True

    pipeline = Pipeline(by_event([], []), None, format_raw, Summary(), track_written=True)
    writer = LineWriter(stdout, pipeline, checkpoint, count=None, wait_for_room=wait_for_room)
    for write in (lambda line: writer.write([line]), writer.write_meta):
        partial.clear()
        write(b"x" * (stdout.at_most + 1) + b"\n")
        assert partial == [True, True]
        assert not checkpoint.partial_line
        write(b"short\n")
        assert partial == [True, True, False]
    for end in (reader, descriptor):
        os.close(end)
    stdout.close()


@pytest.mark.parametrize("appended", [b"whole\n", b"half"])
def test_a_partial_line_is_ended(tmp_path: Path, appended: bytes) -> None:
    (tmp_path / "out").write_bytes(appended)
    writing = Writing(tmp_path / "out")
    writing.writer.begin()
    assert (tmp_path / "out").read_bytes() == appended.rstrip() + b"\n"
    writing.writer._stdout.close()


def test_a_line_that_the_checkpoint_calls_partial_is_ended(
    resumed: Writing, checkpoint: Checkpoint
) -> None:
    resumed.writer.begin()
    assert resumed.path.read_bytes() == b""
    checkpoint.mark_partial()
    resumed.writer.begin()
    assert resumed.path.read_bytes() == b"\n"
    assert not checkpoint.partial_line
