"""Lines for stderr: whole and in order where somebody reads, and no reason to wait for long."""

import os
import pty
import socket
import termios
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from math import inf
from pathlib import Path

import pytest

from chatapp_tail.cli.stderr import StderrWriter

from ...conftest import TIMEOUT_SCALE

PAGE = 4096
MORE_THAN_IS_KEPT = 2000


class Pipe:
    """A pipe with little room, whose reader reads when it is told to."""

    def __init__(self) -> None:
        self.reader, self.writer = os.pipe()
        os.set_blocking(self.reader, False)

    def fill(self) -> None:
        os.set_blocking(self.writer, False)
        try:
            while True:
                os.write(self.writer, b"x" * PAGE)
        except BlockingIOError:
            os.set_blocking(self.writer, True)

    def read(self) -> str:
        output = b""
        while True:
            try:
                data = os.read(self.reader, 65536)
            except BlockingIOError:
                return output.decode()
            if not data:
                return output.decode()
            output += data


@pytest.fixture
def pipe() -> Iterator[Pipe]:
    made = Pipe()
    yield made
    for descriptor in (made.reader, made.writer):
        with suppress(OSError):  # closed by the test
            os.close(descriptor)


@pytest.fixture
def writer(pipe: Pipe) -> Iterator[StderrWriter]:
    made = StderrWriter(pipe.writer)
    yield made
    made.close()


def read_rest(pipe: Pipe, writer: StderrWriter) -> str:
    """Read what waits for room."""
    output = ""
    while writer.retry() < inf:
        output += pipe.read()
    return output + pipe.read()


def lines(count: int) -> list[str]:
    return [f"{number} " + "x" * 1000 for number in range(count)]


def test_a_line_is_there_at_once(pipe: Pipe, writer: StderrWriter) -> None:
    writer.write("one")
    writer.write("\u0434\u0432\u0430")
    assert pipe.read() == "one\n\u0434\u0432\u0430\n"
    assert writer.retry() == inf


def test_what_the_encoding_lacks_is_escaped(pipe: Pipe) -> None:
    writer = StderrWriter(pipe.writer, "ascii")
    writer.write("\u0434 \ud800")
    writer.close()
    assert pipe.read() == "\\u0434 \\ud800\n"


@pytest.mark.defect("A2.13")
def test_a_reader_that_takes_nothing_is_waited_for_once(pipe: Pipe, writer: StderrWriter) -> None:
    pipe.fill()
    began = time.monotonic()
    for line in lines(200):
        writer.write(line)
    assert time.monotonic() - began < 1 * TIMEOUT_SCALE
    assert os.get_blocking(pipe.writer), "others share the descriptor"
    pipe.read()
    assert read_rest(pipe, writer).splitlines() == lines(200)


@pytest.mark.defect("A2.13")
def test_the_oldest_are_dropped_and_that_is_said_before_the_rest(
    pipe: Pipe, writer: StderrWriter
) -> None:
    pipe.fill()
    for line in lines(MORE_THAN_IS_KEPT):
        writer.write(line)
    pipe.read()
    begun, notice, *rest = read_rest(pipe, writer).splitlines()
    assert begun == lines(1)[0], "a line that was begun is not left as it is"
    assert rest == lines(MORE_THAN_IS_KEPT)[-len(rest) :]
    assert 200 < len(rest) < 300
    dropped = MORE_THAN_IS_KEPT - 1 - len(rest)
    assert notice == f"chatapp-tail: {dropped:,} notices dropped since nobody read stderr"


def test_the_line_about_dropped_ones_has_the_format_of_the_others(
    pipe: Pipe, writer: StderrWriter
) -> None:
    writer.line_of = "<{}>".format
    pipe.fill()
    for line in ("x" * 100, "y" * 300_000, "z" * 300_000):
        writer.write(line)
    pipe.read()
    assert "\n<1 notice dropped since nobody read stderr>\nz" in read_rest(pipe, writer)


@pytest.mark.defect("A2.13")
def test_a_reader_that_is_slow_gets_everything(pipe: Pipe, writer: StderrWriter) -> None:
    """Of what the pipe and the memory hold together, however slow it is."""
    os.set_blocking(pipe.reader, True)
    received: list[str] = []

    def read_slowly() -> None:
        with os.fdopen(os.dup(pipe.reader)) as stream:
            while line := stream.readline():
                received.append(line.removesuffix("\n"))
                time.sleep(0.001)

    reader = threading.Thread(target=read_slowly)
    reader.start()
    for line in lines(250):
        writer.write(line)
    writer.finish(60.0 * TIMEOUT_SCALE)
    writer.close()
    os.close(pipe.writer)
    reader.join()
    assert received == lines(250)


@pytest.mark.defect("A2.13")
def test_the_end_waits_for_room_and_not_for_ever(pipe: Pipe, writer: StderrWriter) -> None:
    pipe.fill()
    writer.write("the last words")
    began = time.monotonic()
    writer.finish(0.2)
    assert 0.2 <= time.monotonic() - began < 1 * TIMEOUT_SCALE
    received: list[str] = []
    reader = threading.Timer(0.1, lambda: received.append(pipe.read()))
    reader.start()
    writer.finish(10 * TIMEOUT_SCALE)
    reader.join()
    assert (received[0] + pipe.read()).endswith("the last words\n")


@pytest.mark.defect("A.22")
def test_a_descriptor_that_does_not_block_is_not_given_up(pipe: Pipe) -> None:
    pipe.fill()
    os.set_blocking(pipe.writer, False)
    writer = StderrWriter(pipe.writer)
    writer.write("while it was full")
    pipe.read()
    writer.write("later")
    writer.close()
    assert pipe.read() == "while it was full\nlater\n"


@pytest.mark.parametrize("opened_first", [True, False])
def test_nobody_listens_any_more(pipe: Pipe, opened_first: bool) -> None:
    if opened_first:
        writer = StderrWriter(pipe.writer)
    os.close(pipe.reader)
    if not opened_first:
        writer = StderrWriter(pipe.writer)
    for line in lines(10):
        writer.write(line)
    assert writer.retry() == inf
    writer.finish(60.0)
    writer.close()


def test_a_full_disk_is_tried_again_and_costs_no_time() -> None:
    with Path("/dev/full").open("wb") as full:
        writer = StderrWriter(full.fileno())
        for line in lines(MORE_THAN_IS_KEPT):
            writer.write(line)
        assert writer.retry() < inf
        began = time.monotonic()
        writer.finish(60.0)
        assert time.monotonic() - began < 10
        writer.close()


def test_a_file_takes_all(tmp_path: Path) -> None:
    with (tmp_path / "log").open("ab") as file:
        writer = StderrWriter(file.fileno())
        for line in lines(1000):
            writer.write(line)
        writer.close()
    assert (tmp_path / "log").read_text().splitlines() == lines(1000)


def test_a_socket_that_nobody_reads_is_waited_for_once() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        writer = StderrWriter(theirs.fileno())
        began = time.monotonic()
        for line in lines(MORE_THAN_IS_KEPT):
            writer.write(line)
        assert time.monotonic() - began < 2 * TIMEOUT_SCALE
        assert ours.recv(1000).startswith(b"0 xxx")
        writer.close()


def test_a_terminal_that_is_stopped_is_waited_for_once() -> None:
    master, terminal = pty.openpty()
    termios.tcflow(terminal, termios.TCOOFF)  # as Ctrl-S does
    writer = StderrWriter(terminal)
    began = time.monotonic()
    for line in lines(200):
        writer.write(line)
    assert time.monotonic() - began < 1 * TIMEOUT_SCALE
    writer.close()
    os.close(master)
    os.close(terminal)
