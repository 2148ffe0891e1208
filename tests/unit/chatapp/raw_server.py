"""A loopback server that answers every request with given bytes, all at once or drip by drip."""

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress


class RawServer:
    """`answer` is sent to each request as it is, `pause` seconds between two bytes, then the end.

    With `then`, that is so for the first `sick` requests; the others get what `then` gives.
    """

    def __init__(self, answer: bytes, pause: float = 0.0) -> None:
        self.answer = answer
        self.pause = pause
        self.heads: list[bytes] = []
        self.then: Callable[[], bytes] | None = None
        self.sick = 0
        self._closing = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port: int = self._listener.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._closing.set()
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                sock, _ = self._listener.accept()
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                threading.Thread(target=self._serve, args=(sock,), daemon=True).start()

    def _serve(self, sock: socket.socket) -> None:
        with suppress(OSError), sock:
            head = sock.recv(65536)
            self.heads.append(head)
            if self.then and len(self.heads) > self.sick:
                sock.sendall(self.then())
            elif not self.pause:
                sock.sendall(self.answer)
            else:
                for byte in self.answer:
                    sock.sendall(bytes([byte]))
                    if self._closing.wait(self.pause):
                        return
            sock.shutdown(socket.SHUT_WR)
            sock.settimeout(5)
            while sock.recv(65536):  # what was not read would become a reset that eats the answer
                continue


@contextmanager
def raw_server(answer: bytes, pause: float = 0.0) -> Iterator[RawServer]:
    server = RawServer(answer, pause)
    try:
        yield server
    finally:
        server.close()


def answering(
    status: int, body: bytes = b"", *headers: str, reason: str = "Whatever", length: bool = True
) -> bytes:
    """An HTTP answer as bytes."""
    lines = [f"HTTP/1.1 {status} {reason}", *headers, "Connection: close"]
    if length:
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode() + body
