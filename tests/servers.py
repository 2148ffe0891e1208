"""Loopback HTTP servers that answer as a test says, and remember what they were asked.

`HttpServer` answers by path or by a function; `HttpEndpoint` is ChatApp's API with its signatures.
"""

import http.client
import json
import socket
import ssl
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from email.message import Message
from email.utils import formatdate
from typing import BinaryIO, Self
from urllib.parse import parse_qsl

from tests.conftest import TIMEOUT_SCALE

_HOST = "127.0.0.1"
_AUTH_PATH = "/broadcasting/auth"


@dataclass(frozen=True, slots=True)
class Request:
    """One request that came; names of headers are looked up in any case, missing ones are None."""

    line: str
    headers: Message
    body: bytes

    @property
    def method(self) -> str:
        return self.line.split(" ")[0]

    @property
    def path(self) -> str:
        """The path with its query."""
        return self.line.split(" ")[1]


@dataclass(frozen=True, slots=True)
class Call:
    """One request: over which connection it came (from 0), and what its form says."""

    connection: int
    request: Request

    @property
    def form(self) -> dict[str, str]:
        return dict(parse_qsl(self.request.body.decode()))


@dataclass(frozen=True, slots=True)
class Answer:
    """What to answer; each of `headers` ends with CRLF.

    With `raw` exactly these bytes and then the end of the connection. With `pause` it is so many
    seconds from one byte to the next, and then the end.
    """

    status: int = 200
    body: bytes | str = b""
    headers: str = ""
    raw: bytes | None = None
    pause: float = 0.0
    gate: threading.Event | None = None
    """When given, the answer waits for it, or for the end of the server."""

    def __bytes__(self) -> bytes:
        if self.raw is not None:
            return self.raw
        body = self.body.encode() if isinstance(self.body, str) else self.body
        date = f"Date: {formatdate(usegmt=True)}\r\n"
        head = f"HTTP/1.1 {self.status} Whatever\r\n{date}Content-Length: {len(body)}\r\n"
        return f"{head}{self.headers}\r\n".encode() + body


NOTHING = Answer(body='{"success":true,"data":[]}')
"""All is well, and there is nothing."""


def good(_: Call) -> Answer:
    """Answer as if all were well, and nothing there."""
    return NOTHING


def signed(call: Call) -> Answer:
    """Answer a call with a signature, as ChatApp does."""
    auth = f"MadeUpKey:{call.form['socket_id']}-{call.form['channel_name']}"
    return Answer(body=json.dumps({"auth": auth}))


class HttpServer:
    """Listens on 127.0.0.1, each connection in a thread; use as a context manager.

    `answer` is asked for each call. Without it there are `answers` by path, the last one for ever,
    and `NOTHING` for paths that are not named. With `tls` it speaks https only.
    """

    def __init__(
        self, answer: Callable[[Call], Answer] | None = None, *, tls: ssl.SSLContext | None = None
    ) -> None:
        self.answers: dict[str, list[Answer]] = {}
        self.received: list[Call] = []
        self.connections = 0
        self.busiest = 0
        """The most calls that were under way at once."""
        self.answer = answer or self._next_answer
        self._tls = tls
        self._under_way = 0
        self._changed = threading.Condition()
        self._closing = threading.Event()
        self._sockets: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        self._listener = socket.create_server((_HOST, 0), backlog=512)
        self.port: int = self._listener.getsockname()[1]
        self.url = f"{'https' if tls else 'http'}://{_HOST}:{self.port}"
        self._start(self._accept)

    @property
    def asked(self) -> list[Request]:
        """Every request so far."""
        return [call.request for call in self.received]

    def paths(self) -> list[str]:
        return [request.path for request in self.asked]

    @property
    def calls(self) -> list[Call]:
        """The calls that `wait_calls` counts."""
        return list(self.received)

    def wait_calls(self, count: int, *, timeout: float = 10.0) -> list[Call]:
        """Wait for this many calls."""
        with self._changed:
            done = self._changed.wait_for(lambda: len(self.calls) >= count, timeout * TIMEOUT_SCALE)
            assert done, f"waited {timeout} s for {count} calls, got {len(self.calls)}"
            return self.calls

    def _next_answer(self, call: Call) -> Answer:
        with self._changed:
            waiting = self.answers.get(call.request.path, [NOTHING])
            return waiting.pop(0) if len(waiting) > 1 else waiting[0]

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self._tls:  # the handshake is that of the connection's thread
                sock = self._tls.wrap_socket(sock, True, do_handshake_on_connect=False)
            self._sockets.append(sock)
            self._start(self._serve, sock, self.connections)
            self.connections += 1

    def _serve(self, sock: socket.socket, connection: int) -> None:
        with suppress(OSError), sock, sock.makefile("rb") as stream:
            while request := _read(stream):
                if not self._respond(sock, Call(connection, request)):
                    return

    def _respond(self, sock: socket.socket, call: Call) -> bool:
        """Answer; return whether the connection goes on."""
        with self._changed:
            self.received.append(call)
            self._under_way += 1
            self.busiest = max(self.busiest, self._under_way)
            self._changed.notify_all()
        answer = self.answer(call)
        while answer.gate and not answer.gate.wait(0.05) and not self._closing.is_set():
            continue
        with self._changed:
            self._under_way -= 1
        if not answer.pause:
            sock.sendall(bytes(answer))
            return answer.raw is None
        for byte in bytes(answer):
            sock.sendall(bytes([byte]))
            if self._closing.wait(answer.pause):
                break
        return False

    def _start(self, target: Callable[..., None], *args: object) -> None:
        thread = threading.Thread(target=target, args=args, daemon=True)
        self._threads.append(thread)
        thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._closing.set()
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for sock in self._sockets:
            with suppress(OSError):
                socket.socket.shutdown(sock, socket.SHUT_RDWR)  # that of TLS could wait for a peer
        for thread in self._threads:
            thread.join(10.0)
        for sock in self._sockets:
            sock.close()


def _read(stream: BinaryIO) -> Request | None:
    """Read one request; None at the end of the stream."""
    line = stream.readline()
    if not line:
        return None
    headers = http.client.parse_headers(stream)
    body = stream.read(int(headers.get("Content-Length", 0)))
    return Request(line.decode().strip(), headers, body)


class HttpEndpoint(HttpServer):
    """ChatApp's API: `answer` is asked for each channel auth, and those are the `calls`.

    `other` is asked for the rest.
    """

    def __init__(
        self,
        answer: Callable[[Call], Answer] = signed,
        other: Callable[[Call], Answer] = good,
        *,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        super().__init__(lambda call: answer(call) if _is_auth(call) else other(call), tls=tls)

    @property
    def calls(self) -> list[Call]:
        """The channel auths so far."""
        return [call for call in self.received if _is_auth(call)]


def _is_auth(call: Call) -> bool:
    return call.request.path == _AUTH_PATH
