"""A scripted HTTP auth endpoint: any status, headers, body and pace for each call; all recorded."""

import json
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from urllib.parse import parse_qsl

from tests.conftest import TIMEOUT_SCALE

from .server import Request


@dataclass(frozen=True, slots=True)
class Call:
    """One request: when, over which connection (from 0), and what the form says."""

    at: float
    connection: int
    request: Request
    form: dict[str, str]


@dataclass(slots=True)
class Answer:
    """What to answer; with `raw` exactly these bytes, each `pause` seconds apart, then the end."""

    status: int = 200
    body: str = ""
    headers: str = ""
    raw: bytes | None = None
    pause: float = 0.0
    gate: threading.Event | None = None
    """When given, the answer waits for it."""

    def __bytes__(self) -> bytes:
        if self.raw is not None:
            return self.raw
        length = len(self.body.encode())
        head = f"HTTP/1.1 {self.status} Whatever\r\nContent-Length: {length}\r\n{self.headers}\r\n"
        return (head + self.body).encode()


def signed(call: Call) -> Answer:
    """Answer a call with a signature, as ChatApp does."""
    auth = f"MadeUpKey:{call.form['socket_id']}-{call.form['channel_name']}"
    return Answer(body=json.dumps({"auth": auth}))


def good(call: Call) -> Answer:
    """Answer the other calls of an API as if all were well, and nothing there."""
    return Answer(body='{"success":true,"data":[]}')


@dataclass
class HttpEndpoint:
    """Listens on 127.0.0.1; use as a context manager.

    `answer` is asked for each channel auth, and those are the `calls`; `other` for the rest.
    """

    answer: Callable[[Call], Answer] = signed
    other: Callable[[Call], Answer] = good
    calls: list[Call] = field(default_factory=list)
    connections: int = 0
    busiest: int = 0
    """The most calls that were under way at once."""

    def __post_init__(self) -> None:
        self._under_way = 0
        self._changed = threading.Condition()
        self._closing = threading.Event()
        self._sockets: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self._start(self._accept)

    def wait_calls(self, count: int, *, timeout: float = 10.0) -> list[Call]:
        """Wait for this many calls."""
        with self._changed:
            done = self._changed.wait_for(lambda: len(self.calls) >= count, timeout * TIMEOUT_SCALE)
            assert done, f"waited {timeout} s for {count} calls, got {len(self.calls)}"
            return list(self.calls)

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._sockets.append(sock)
            self._start(self._serve, sock, self.connections)
            self.connections += 1

    def _serve(self, sock: socket.socket, connection: int) -> None:
        with suppress(OSError), sock, sock.makefile("rb") as stream:
            while line := stream.readline():
                headers = {}
                while (header := stream.readline().strip()) != b"":
                    name, _, text = header.decode().partition(":")
                    headers[name.lower()] = text.strip()
                form = dict(parse_qsl(stream.read(int(headers.get("content-length", 0))).decode()))
                request = Request(line.decode().strip(), headers)
                if not self._respond(sock, Call(time.monotonic(), connection, request, form)):
                    return

    def _respond(self, sock: socket.socket, call: Call) -> bool:
        is_auth = call.request.target == "/broadcasting/auth"
        with self._changed:
            if is_auth:
                self.calls.append(call)
            self._under_way += 1
            self.busiest = max(self.busiest, self._under_way)
            self._changed.notify_all()
        answer = self.answer(call) if is_auth else self.other(call)
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
                return False
        return False

    def _start(self, target: Callable[..., None], *args: object) -> None:
        thread = threading.Thread(target=target, args=args, daemon=True)
        self._threads.append(thread)
        thread.start()

    def __enter__(self) -> "HttpEndpoint":
        return self

    def __exit__(self, *_: object) -> None:
        self._closing.set()
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for sock in self._sockets:
            with suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(10.0)
        for sock in self._sockets:
            sock.close()
