"""A webhook receiver that can be killed, and that fails in every way a server can.

It keeps what each request did: a request may have had its effect although its answer was lost.
"""

import json
import random
import socket
import struct
import threading
import time
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Self

from tests.receivers import OK, answer, read_request

_RESET = struct.pack("ii", 1, 0)
MOODS = ("good", "slow", "moody", "lossy", "hanging", "down")


@dataclass(slots=True)
class Request:
    """One request, read at `came`, that had its effect at `at`, with the `seq` of its items.

    `answered_at` is when its 2xx was handed to the kernel, None if it was lost or never given.
    """

    at: float
    seqs: list[int]
    answered_at: float | None = None
    came: float = 0.0


@dataclass(slots=True)
class _Life:
    """From one start of the receiver to its end."""

    listener: socket.socket
    over: threading.Event = field(default_factory=threading.Event)
    open: set[socket.socket] = field(default_factory=set)


class UnreliableReceiver:
    """Listens on one port of loopback whenever it is up; a context manager.

    `mood` is one of MOODS and decides what becomes of the next requests.
    """

    def __init__(self, seed: int) -> None:
        self.requests: list[Request] = []
        self.changed = threading.Condition()
        self.kept: set[int] = set()
        """The `seq` of all items that had their effect, and of messages of which an edit had."""
        self.answers: dict[str, int] = {}
        self._mood = "good"
        self._rng = random.Random(seed)
        self._port = 0
        self._life: _Life | None = None
        self._threads: list[threading.Thread] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}/hook"

    def behave(self, mood: str) -> None:
        """Change the mood; one that is down is killed, with all its connections."""
        self._mood = mood
        if mood == "down":
            self._stop()
        elif self._life is None:
            self._start()

    def count(self) -> int:
        with self.changed:
            return len(self.requests)

    def __enter__(self) -> Self:
        self._start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop()
        for thread in self._threads:
            thread.join()

    def _start(self) -> None:
        listener = socket.create_server(("127.0.0.1", self._port), backlog=128)
        self._port = listener.getsockname()[1]
        self._life = _Life(listener)
        self._spawn(self._accept, self._life)

    def _stop(self) -> None:
        life, self._life = self._life, None
        if life is None:
            return
        life.over.set()
        with suppress(OSError):
            life.listener.shutdown(socket.SHUT_RDWR)
        life.listener.close()
        with self.changed:
            for sock in life.open:
                _cut(sock)

    def _spawn(self, run: object, *args: object) -> None:
        self._threads = [thread for thread in self._threads if thread.is_alive()]
        thread = threading.Thread(target=run, args=args)  # type: ignore[arg-type]
        self._threads.append(thread)
        thread.start()

    def _accept(self, life: _Life) -> None:
        while not life.over.is_set():
            try:
                sock, _ = life.listener.accept()
            except OSError:
                return
            with self.changed:
                life.open.add(sock)
            if life.over.is_set():
                _cut(sock)
            self._spawn(self._serve, sock, life)

    def _serve(self, sock: socket.socket, life: _Life) -> None:
        try:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            while request := read_request(sock):
                self._take(request.body, sock, life)
        except OSError:
            return
        finally:
            with self.changed:
                life.open.discard(sock)
            sock.close()

    def _take(self, body: bytes, sock: socket.socket, life: _Life) -> None:
        way, came = self._draw(), time.time()
        with self.changed:
            self.answers[way] = self.answers.get(way, 0) + 1
        if way == "slow":
            before = self._rng.random() < 0.5
            done = self._note(body, came) if before else None
            if life.over.wait(self._rng.uniform(0.05, 2.0)):
                raise OSError
            self._answer(done or self._note(body, came), sock)
        elif way in ("500", "429", "400"):
            again = ("Retry-After: 1",) if way == "429" else ()
            sock.sendall(answer(int(way), *again))
        elif way == "reset":
            self._note(body, came)
            _cut(sock)
            raise OSError
        elif way == "500 after":
            self._note(body, came)
            sock.sendall(answer(500))
        elif way == "hang":
            if self._rng.random() < 0.5:
                self._note(body, came)
            life.over.wait(8.0)
            raise OSError
        else:
            life.over.wait(self._rng.uniform(0.0, 0.01))
            self._answer(self._note(body, came), sock)

    def _draw(self) -> str:
        chance = self._rng.random()
        match self._mood:
            case "slow" if chance < 0.5:
                return "slow"
            case "moody" if chance < 0.3:
                return self._rng.choice(("500", "500", "429", "400"))
            case "lossy" if chance < 0.2:
                return self._rng.choice(("reset", "500 after"))
            case "hanging" if chance < 0.05:
                return "hang"
        return "good"

    def _note(self, body: bytes, came: float) -> Request:
        request = Request(time.time(), seqs_of(body), came=came)
        with self.changed:
            self.requests.append(request)
            self.kept.update(request.seqs)
            self.kept.update(item["id"] for item in _items(body) if "edited" in item)
            self.changed.notify_all()
        return request

    def _answer(self, request: Request, sock: socket.socket) -> None:
        sock.sendall(OK)
        request.answered_at = time.time()


def seqs_of(body: bytes) -> list[int]:
    """Return the `seq` of each item."""
    return [item["seq"] for item in _items(body)]


def _items(body: bytes) -> list[dict[str, Any]]:
    """Return the items of a webhook's shape, or the one of a record."""
    data = json.loads(body)["data"]
    return data if isinstance(data, list) else [data]


def _cut(sock: socket.socket) -> None:
    """Reset a connection; the thread that reads it goes on."""
    with suppress(OSError):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        sock.shutdown(socket.SHUT_RDWR)
