"""Transport: waits, reads and writes of one link."""

import socket
import ssl
import time

import pytest

from chatapp_tail.pusher.transport import Transport
from tests.conftest import TIMEOUT_SCALE


class WritesFirst(socket.socket):
    """A socket whose TLS has to send something before it can receive, once."""

    wants = True

    def recv(self, size: int, flags: int = 0) -> bytes:
        if self.wants:
            self.wants = False
            raise ssl.SSLWantWriteError
        return super().recv(size, flags)


@pytest.mark.defect("A.29a")
def test_tls_that_wants_to_write_before_it_reads_is_read_again_when_there_is_room() -> None:
    ours, theirs = socket.socketpair()
    with WritesFirst(fileno=ours.detach()) as sock, theirs:
        sock.setblocking(False)
        theirs.sendall(b"\x81\x02hi")
        link = Transport(sock)
        assert (link.read(), link.end) == ([], None)
        link.flush()
        begin = time.monotonic()
        link.wait(10 * TIMEOUT_SCALE)
        assert time.monotonic() - begin < 5 * TIMEOUT_SCALE
        assert (link.read(), link.end) == ([(1, b"hi")], None)


@pytest.mark.defect("A.29a")
def test_room_is_waited_for_when_tls_wants_to_write_before_it_reads() -> None:
    ours, theirs = socket.socketpair()
    with WritesFirst(fileno=ours.detach()) as sock, theirs:
        sock.setblocking(False)
        link = Transport(sock)
        assert link.read() == []
        link.flush()
        begin = time.monotonic()
        link.wait(10 * TIMEOUT_SCALE)  # nothing comes, but there is room
        assert time.monotonic() - begin < 5 * TIMEOUT_SCALE
        assert link.read() == []
        link.flush()
        begin = time.monotonic()
        link.wait(0.05)
        assert time.monotonic() - begin >= 0.05


def test_what_did_not_fit_is_sent_as_soon_as_there_is_room() -> None:
    ours, theirs = socket.socketpair()
    patience = 10 * TIMEOUT_SCALE
    with ours, theirs:
        ours.setblocking(False)
        theirs.setblocking(False)
        link = Transport(ours)
        link.send_text("x" * 800_000)
        received = 0
        while received < 800_000:
            try:
                received += len(theirs.recv(2**20))
            except BlockingIOError:
                begin = time.monotonic()
                link.wait(patience)
                assert time.monotonic() - begin < patience / 2
                link.flush()
