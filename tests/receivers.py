"""An HTTP receiver on raw sockets, whose answers are scripted byte by byte."""

import socket
import ssl
import struct
import threading
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass

from tests.conftest import TIMEOUT_SCALE

_RESET = struct.pack("ii", 1, 0)
"""SO_LINGER with a time of 0: closing sends a reset."""


@dataclass(frozen=True)
class Request:
    """What was received; names of headers are in lower case."""

    line: str
    headers: dict[str, str]
    body: bytes
    connection: int
    """Connections count from 1."""


class Exchange:
    """One request and its connection, for the script of the answer."""

    def __init__(self, request: Request, sock: socket.socket, closing: threading.Event) -> None:
        self.request = request
        self.sock = sock
        self.closing = closing

    def send(self, data: bytes) -> None:
        self.sock.sendall(data)

    def drip(self, data: bytes, interval: float) -> None:
        """Send byte by byte until the peer or the receiver is closed."""
        for byte in data:
            self.sock.sendall(bytes([byte]))
            if self.closing.wait(interval):
                return

    def flood(self, data: bytes) -> None:
        """Send the same for ever."""
        while not self.closing.is_set():
            self.sock.sendall(data)

    def close(self) -> None:
        # A shutdown, so that the peer sees the end although another reference may exist.
        _shut_down(self.sock)
        self.sock.close()

    def reset(self) -> None:
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        self.sock.close()

    def hang(self) -> None:
        self.closing.wait()


Script = Callable[[Exchange], None] | bytes
"""What answers a request: bytes, or anything else that is done with its connection."""


def answer(status: int, *headers: str, body: bytes = b"") -> bytes:
    """Return a whole answer."""
    lines = [f"HTTP/1.1 {status} Whatever", f"Content-Length: {len(body)}", *headers, "", ""]
    return "\r\n".join(lines).encode() + body


OK = answer(200)


class Receiver:
    """Listens, keeps the requests and answers them; the last script answers all further ones.

    A context manager, which ends its threads and connections.
    """

    def __init__(
        self,
        *scripts: Script,
        host: str = "127.0.0.1",
        port: int = 0,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self.requests: list[Request] = []
        self.connections = 0
        self._scripts = list(scripts) or [OK]
        self._tls = tls
        self._closing = threading.Event()
        self._changed = threading.Condition()
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._listener = socket.create_server((host, port), family=family)
        self.host, self.port = self._listener.getsockname()[:2]
        self._open: set[socket.socket] = set()
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    @property
    def url(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'https' if self._tls else 'http'}://{host}:{self.port}/hook"

    def __enter__(self) -> "Receiver":
        return self

    def __exit__(self, *_: object) -> None:
        self._closing.set()
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        with self._changed:
            for sock in self._open:
                _shut_down(sock)
        for thread in self._threads:
            thread.join()
        self._listener.close()

    def wait(self, count: int, timeout: float = 10.0) -> list[Request]:
        """Wait for so many requests and return all."""
        with self._changed:
            came = self._changed.wait_for(
                lambda: len(self.requests) >= count, timeout * TIMEOUT_SCALE
            )
            assert came, f"{len(self.requests)} of {count} requests"
            return self.requests.copy()

    def _accept(self) -> None:
        while not self._closing.is_set():
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.connections += 1
            thread = threading.Thread(target=self._serve, args=(sock, self.connections))
            with self._changed:
                self._open.add(sock)
                self._threads.append(thread)
            thread.start()
            if self._closing.is_set():
                _shut_down(sock)

    def _serve(self, sock: socket.socket, number: int) -> None:
        try:
            sock = self._secured(sock)
            with sock:
                while request := read_request(sock, number):
                    self._answer(Exchange(request, sock, self._closing))
        except OSError:
            sock.close()  # also after a handshake that failed
        finally:
            with self._changed:
                self._open.discard(sock)

    def _secured(self, sock: socket.socket) -> socket.socket:
        """Return the socket after the handshake, which takes its descriptor over."""
        if self._tls is None:
            return sock
        secured = self._tls.wrap_socket(sock, server_side=True, do_handshake_on_connect=False)
        with self._changed:
            self._open.discard(sock)
            self._open.add(secured)
        try:
            secured.do_handshake()
        except OSError:
            secured.close()
            raise
        return secured

    def _answer(self, exchange: Exchange) -> None:
        with self._changed:
            self.requests.append(exchange.request)
            script = self._scripts.pop(0) if len(self._scripts) > 1 else self._scripts[0]
            self._changed.notify_all()
        if isinstance(script, bytes):
            exchange.send(script)
        else:
            script(exchange)


def read_request(sock: socket.socket, connection: int = 1) -> Request | None:
    """Read one request, None when the connection ended; more may not follow it at once."""
    data = bytearray()
    while (end := data.find(b"\r\n\r\n")) < 0:
        if not (block := sock.recv(65536)):
            return None
        data += block
    line, *fields = data[:end].decode().split("\r\n")
    headers = dict(_parse(field) for field in fields)
    size = int(headers.get("content-length", "0"))
    while len(data) < end + 4 + size:
        if not (block := sock.recv(65536)):
            return None
        data += block
    return Request(line, headers, bytes(data[end + 4 :]), connection)


def _parse(field: str) -> tuple[str, str]:
    name, _, value = field.partition(":")
    return name.lower(), value.strip()


def _shut_down(sock: socket.socket) -> None:
    """End both directions, so that threads that wait for the socket go on."""
    with suppress(OSError):
        socket.socket.shutdown(sock, socket.SHUT_RDWR)  # that of TLS would take its state away


def then_close(data: bytes) -> Script:
    """Return a script that sends `data` and closes the connection."""
    return lambda exchange: _send_and(exchange.close, exchange, data)


def then_reset(data: bytes) -> Script:
    """Return a script that sends `data` and resets the connection."""
    return lambda exchange: _send_and(exchange.reset, exchange, data)


def _send_and(end: Callable[[], None], exchange: Exchange, data: bytes) -> None:
    exchange.send(data)
    end()


def endless(data: bytes, start: bytes = b"") -> Script:
    """Return a script that sends `start` and then `data` for ever."""

    def send(exchange: Exchange) -> None:
        exchange.send(start)
        exchange.flood(data)

    return send


def in_turn(scripts: Iterable[Script], then: Script = OK) -> list[Script]:
    """Return scripts for a receiver that answers `then` after them."""
    return [*scripts, then]
