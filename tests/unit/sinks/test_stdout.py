"""Writing to stdout: what is taken, a reader that is gone, and every other failure."""

import errno
import fcntl
import os
import pty
import select
import socket
import sys
import termios
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from chatapp_tail.errors import ExitStatus, OutputError
from chatapp_tail.sinks.stdout import (
    BrokenPipe,
    ends_with_partial_line,
    grow_pipe,
    open_nonblocking,
    write_all,
    write_some,
)

MORE_THAN_A_PIPE_HOLDS = bytes(range(256)) * 8192


class Pipe:
    """A pipe whose ends can be closed early."""

    def __init__(self) -> None:
        self.reader, self.writer = os.pipe()
        self._open = {self.reader, self.writer}

    def close(self, *ends: int) -> None:
        for end in self._open.intersection(ends or (self.reader, self.writer)):
            os.close(end)
            self._open.discard(end)

    def read_all(self) -> bytes:
        with os.fdopen(os.dup(self.reader), "rb") as stream:
            return stream.read()


@pytest.fixture
def pipe() -> Iterator[Pipe]:
    made = Pipe()
    yield made
    made.close()


needs_proc = pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="no /proc")


@needs_proc
def test_a_pipe_takes_what_it_has_room_for_and_stays_as_it_was_for_others(pipe: Pipe) -> None:
    shared = os.dup(pipe.writer)
    own, at_most = open_nonblocking(pipe.writer)
    try:
        written = write_some(own, memoryview(MORE_THAN_A_PIPE_HOLDS)[:at_most])
        assert select.PIPE_BUF < written < at_most
        assert write_some(own, memoryview(b"x")) == 0
        assert os.get_blocking(pipe.writer)
        assert os.get_blocking(shared)
    finally:
        os.close(own)
        os.close(shared)
    pipe.close(pipe.writer)
    assert pipe.read_all() == MORE_THAN_A_PIPE_HOLDS[:written]


@pytest.mark.skipif(sys.platform != "linux", reason="pipes have a size on Linux only")
@pytest.mark.parametrize(("held", "holds"), [(4096, 256 * 1024), (1024 * 1024, 1024 * 1024)])
def test_a_pipe_is_made_larger_and_never_smaller(pipe: Pipe, held: int, holds: int) -> None:
    fcntl.fcntl(pipe.writer, fcntl.F_SETPIPE_SZ, held)
    grow_pipe(pipe.writer)
    assert fcntl.fcntl(pipe.writer, fcntl.F_GETPIPE_SZ) == holds


def test_what_is_no_pipe_stays_as_it_is(tmp_path: Path) -> None:
    with (tmp_path / "file").open("wb") as file:
        grow_pipe(file.fileno())


@pytest.mark.parametrize("gone", ["before", pytest.param("after", marks=needs_proc)])
def test_a_pipe_that_is_opened_anew_tells_that_its_reader_is_gone(pipe: Pipe, gone: str) -> None:
    if gone == "before":
        pipe.close(pipe.reader)
    own, _ = open_nonblocking(pipe.writer)
    pipe.close(pipe.reader)
    try:
        with pytest.raises(BrokenPipe):
            write_some(own, memoryview(b"x"))
    finally:
        os.close(own)


@needs_proc
def test_the_end_of_a_pipe_to_read_from_is_not_made_one_to_write_to(pipe: Pipe) -> None:
    own, _ = open_nonblocking(pipe.reader)
    try:
        with pytest.raises(OutputError, match="Bad file descriptor"):
            write_some(own, memoryview(b"x"))
    finally:
        os.close(own)


def test_a_pipe_that_cannot_be_opened_gets_what_cannot_block(
    pipe: Pipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> int:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr(os, "open", refuse)
    own, at_most = open_nonblocking(pipe.writer)
    os.close(own)
    assert at_most == select.PIPE_BUF


def test_a_socket_gets_what_cannot_block() -> None:
    ends = socket.socketpair()
    own, at_most = open_nonblocking(ends[0].fileno())
    assert os.get_blocking(own)
    os.close(own)
    assert at_most == select.PIPE_BUF
    for end in ends:
        end.close()


@needs_proc
def test_a_terminal_that_is_stopped_blocks_nothing_and_stays_as_it_was_for_others() -> None:
    master, terminal = pty.openpty()
    own, at_most = open_nonblocking(terminal)
    assert at_most == select.PIPE_BUF
    termios.tcflow(terminal, termios.TCOOFF)  # as Ctrl-S does
    while write_some(own, memoryview(b"x" * at_most)):
        pass
    assert os.get_blocking(terminal)
    for descriptor in (own, master, terminal):
        os.close(descriptor)


def test_a_file_takes_all(tmp_path: Path) -> None:
    with (tmp_path / "out").open("wb") as file:
        own, at_most = open_nonblocking(file.fileno())
        assert write_some(own, memoryview(MORE_THAN_A_PIPE_HOLDS)[:at_most]) == at_most
        os.close(own)
        file.write(b"end")
    assert (tmp_path / "out").read_bytes() == MORE_THAN_A_PIPE_HOLDS[:at_most] + b"end"


def test_some_is_written_as_far_as_there_is_room(pipe: Pipe) -> None:
    os.set_blocking(pipe.writer, False)
    written = write_some(pipe.writer, memoryview(MORE_THAN_A_PIPE_HOLDS))
    assert 0 < written < len(MORE_THAN_A_PIPE_HOLDS)
    pipe.close(pipe.writer)
    assert pipe.read_all() == MORE_THAN_A_PIPE_HOLDS[:written]


def test_without_room_nothing_is_written_and_that_is_no_error(pipe: Pipe) -> None:
    os.set_blocking(pipe.writer, False)
    while write_some(pipe.writer, memoryview(b"x" * 4096)):
        pass
    assert write_some(pipe.writer, memoryview(b"x")) == 0


def test_all_is_written_to_a_file(tmp_path: Path) -> None:
    with (tmp_path / "out").open("wb") as file:
        write_all(file.fileno(), MORE_THAN_A_PIPE_HOLDS)
        write_all(file.fileno(), b"")
    assert (tmp_path / "out").read_bytes() == MORE_THAN_A_PIPE_HOLDS


@pytest.mark.parametrize("blocking", [True, False])
def test_all_is_written_however_slow_its_reader_is(pipe: Pipe, *, blocking: bool) -> None:
    os.set_blocking(pipe.writer, blocking)
    taken: list[bytes] = []
    reader = threading.Thread(target=lambda: taken.append(pipe.read_all()))
    reader.start()
    write_all(pipe.writer, MORE_THAN_A_PIPE_HOLDS)
    pipe.close(pipe.writer)
    reader.join()
    assert taken == [MORE_THAN_A_PIPE_HOLDS]


def test_all_is_written_in_whatever_pieces_are_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    taken: list[bytes] = []
    sizes = iter([1, 3, 2, 10])

    def take(_: int, data: memoryview) -> int:
        taken.append(bytes(data[: next(sizes)]))
        return len(taken[-1])

    monkeypatch.setattr(os, "write", take)
    write_all(1, b"0123456789")
    assert taken == [b"0", b"123", b"45", b"6789"]


def test_a_reader_that_is_gone(pipe: Pipe) -> None:
    pipe.close(pipe.reader)
    with pytest.raises(BrokenPipe):
        write_some(pipe.writer, memoryview(b"x"))
    with pytest.raises(BrokenPipe):
        write_all(pipe.writer, b"x")


def test_a_reader_that_goes_in_the_middle(pipe: Pipe) -> None:
    def read_a_little() -> None:
        os.read(pipe.reader, 100)
        pipe.close(pipe.reader)

    reader = threading.Thread(target=read_a_little)
    reader.start()
    with pytest.raises(BrokenPipe):
        write_all(pipe.writer, MORE_THAN_A_PIPE_HOLDS)
    reader.join()


def test_a_reader_that_is_gone_is_no_failure_of_ours() -> None:
    assert not issubclass(BrokenPipe, OutputError | OSError)


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO, errno.EBADF, errno.EFBIG])
def test_every_other_failure_says_what_failed(monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    def fail(*_: object) -> int:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, "write", fail)
    for write in (lambda: write_some(1, memoryview(b"x")), lambda: write_all(1, b"x")):
        with pytest.raises(OutputError) as raised:
            write()
        assert str(raised.value) == f"cannot write to stdout: {os.strerror(code)}"
        assert raised.value.exit_status is ExitStatus.OUTPUT_FAILED


def test_a_descriptor_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "in").touch()
    with (tmp_path / "in").open("rb") as file, pytest.raises(OutputError, match="cannot write"):
        write_all(file.fileno(), b"x")


# --- behind half a line


@pytest.mark.parametrize(
    ("text", "mid_line"),
    [
        (b"", False),
        (b"\n", False),
        (b"whole\n", False),
        (b"half", True),
        (b"whole\nhalf", True),
        (b"whole\r", True),
        (b"\x00", True),
        ("whole\u2028".encode(), True),
        (b"x" * 100_000 + b"\n", False),
        (b"x" * 100_000, True),
    ],
    ids=lambda value: repr(value)[:12],
)
@pytest.mark.parametrize("flags", [os.O_WRONLY | os.O_APPEND, os.O_RDWR | os.O_APPEND])
def test_a_file_that_ends_with_half_a_line(
    tmp_path: Path, text: bytes, mid_line: bool, flags: int
) -> None:
    path = tmp_path / "out"
    path.write_bytes(text)
    descriptor = os.open(path, flags)
    try:
        assert ends_with_partial_line(descriptor) is mid_line
        os.write(descriptor, b"more\n")
        assert ends_with_partial_line(descriptor) is False
    finally:
        os.close(descriptor)
    assert path.read_bytes() == text + b"more\n", "to look moves nothing"


def test_what_this_process_wrote_counts(tmp_path: Path) -> None:
    with (tmp_path / "out").open("wb", buffering=0) as file:
        assert not ends_with_partial_line(file.fileno())
        file.write(b"half")
        assert ends_with_partial_line(file.fileno())
        file.write(b" and half\n")
        assert not ends_with_partial_line(file.fileno())
    assert (tmp_path / "out").read_bytes() == b"half and half\n"


def test_a_file_that_is_deleted_already(tmp_path: Path) -> None:
    with (tmp_path / "out").open("wb", buffering=0) as file:
        file.write(b"half")
        (tmp_path / "out").unlink()
        assert ends_with_partial_line(file.fileno()) in (True, False)


def test_of_a_pipe_nobody_can_tell(pipe: Pipe) -> None:
    os.write(pipe.writer, b"half")
    assert not ends_with_partial_line(pipe.writer)


def test_of_a_device_nobody_can_tell() -> None:
    with Path(os.devnull).open("wb") as null:
        assert not ends_with_partial_line(null.fileno())


def test_where_descriptors_have_no_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise FileNotFoundError

    with (tmp_path / "out").open("wb", buffering=0) as file:
        file.write(b"half")
        monkeypatch.setattr(Path, "open", fail)
        assert not ends_with_partial_line(file.fileno())


def test_where_the_file_is_written_at_its_begin(tmp_path: Path) -> None:
    """As with `1<>out`: what is written goes before that half line, or over it."""
    path = tmp_path / "out"
    path.write_bytes(b"half")
    with path.open("r+b", buffering=0) as file:
        assert not ends_with_partial_line(file.fileno())
