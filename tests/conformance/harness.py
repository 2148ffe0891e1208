"""What runs the client in these tests: its real connection, its pure machine, its authorisation."""

import json
import subprocess
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

from chatapp_tail import items
from chatapp_tail.items import ChannelEvent, Item
from chatapp_tail.pusher.answers import AuthAnswer, Granted
from chatapp_tail.pusher.close_codes import CloseReason
from chatapp_tail.pusher.connection import Connection, Endpoint, Settings, Timing
from chatapp_tail.pusher.events import AuthRequested, Event
from chatapp_tail.pusher.protocol import Protocol
from tests.conftest import PROGRAM, TIMEOUT_SCALE, clean_environment

from .server import Server

CHANNEL = "private-v1.licenses.1229.messengers.telegram"
OTHER = "private-v1.licenses.1229.messengers.avito"
PUBLIC = "news"
KEY = "MadeUpKey"

I = TypeVar("I")  # noqa: E741 - an item
E = TypeVar("E")


def signature(socket_id: str, channel: str) -> str:
    """Return what the made-up auth endpoint signs with."""
    return f"{KEY}:{socket_id}-{channel}"


class Auth:
    """An in-process auth endpoint; `answer` may block. Calls are recorded and can be awaited."""

    def __init__(self, answer: Callable[[str, str], AuthAnswer] | None = None) -> None:
        self.calls: list[tuple[str, str]] = []
        self._answer = answer or (lambda *asked: Granted(signature(*asked)))
        self._changed = threading.Condition()

    def __call__(self, socket_id: str, channel: str) -> AuthAnswer:
        with self._changed:
            self.calls.append((socket_id, channel))
            self._changed.notify_all()
        return self._answer(socket_id, channel)

    def wait_calls(self, count: int, *, timeout: float = 10.0) -> list[tuple[str, str]]:
        """Wait for this many calls."""
        with self._changed:
            done = self._changed.wait_for(lambda: len(self.calls) >= count, timeout * TIMEOUT_SCALE)
            assert done, f"waited {timeout} s for {count} auth calls: {self.calls}"
            return list(self.calls)


class Client:
    """A running `Connection` and the items it has handed on; use as a context manager."""

    def __init__(
        self,
        server: Server | Sequence[str | Endpoint],
        channels: Sequence[str] = (CHANNEL,),
        *,
        auth: Callable[[str, str], AuthAnswer] | None = None,
        timing: Timing | None = None,
        connect_timeout: float = 10.0,
        max_retries: int | None = None,
        ca_file: str | None = None,
        strict: bool = False,
    ) -> None:
        places = [server.url] if isinstance(server, Server) else server
        settings = Settings(
            endpoints=tuple(
                place if isinstance(place, Endpoint) else Endpoint.parse(place) for place in places
            ),
            app_key=KEY,
            channels=tuple(channels),
            ca_file=ca_file,
            connect_timeout=connect_timeout,
            timing=timing or Timing(),
            max_retries=max_retries,
            strict=strict,
        )
        self.traced: list[str] = []
        self._items: list[Item] = []
        self._changed = threading.Condition()
        self.connection = Connection(settings, auth or Auth(), self._take, trace=True)

    def _take(self, batch: Sequence[Item]) -> None:
        with self._changed:
            for item in batch:
                if isinstance(item, items.FrameTrace):
                    self.traced.append(f"{item.direction} {item.text}")
                else:
                    self._items.append(item)
            self._changed.notify_all()

    @property
    def said(self) -> list[Item]:
        """Everything handed on so far, in its order."""
        with self._changed:
            return list(self._items)

    def all(self, kind: type[I]) -> list[I]:
        """The items of one kind so far."""
        return [item for item in self.said if isinstance(item, kind)]

    @property
    def events(self) -> list[str]:
        """The names of the channel events so far."""
        return [item.event for item in self.all(ChannelEvent)]

    def wait_for(
        self,
        kind: type[I],
        *,
        count: int = 1,
        timeout: float = 10.0,
        where: Callable[[I], bool] = lambda _: True,
    ) -> I:
        """Wait for the nth item of a kind (that is so); AssertionError shows what came instead."""

        def found() -> list[I]:
            return [item for item in self._items if isinstance(item, kind) and where(item)]

        with self._changed:
            self._changed.wait_for(
                lambda: len(found()) >= count or self._over(), timeout * TIMEOUT_SCALE
            )
            assert len(found()) >= count, f"no {kind.__name__} number {count}: {self._items}"
            return found()[count - 1]

    def _over(self) -> bool:
        return bool(self._items) and isinstance(self._items[-1], items.Stopped)

    def wait_stopped(self, *, timeout: float = 10.0) -> items.Stopped:
        """Wait for the last item."""
        return self.wait_for(items.Stopped, timeout=timeout)

    def troubles(self) -> list[str]:
        """What was reported and survived, so far."""
        return [trouble.reason for trouble in self.all(items.ConnectionWarning)]

    def stop(self, *, within: float = 3.0) -> None:
        """Stop, and check that the thread has ended in time."""
        self.connection.stop()
        assert self.connection.join(within * TIMEOUT_SCALE), f"still running {within} s after stop"

    def __enter__(self) -> "Client":
        self.connection.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self.connection.stop()
        ended = self.connection.join(5.0 * TIMEOUT_SCALE if kind is None else 3.0)
        if kind is None:
            assert ended, "the connection did not stop"
            assert not any(stopped.cause == "bug" for stopped in self.all(items.Stopped)), (
                self.said[-1]
            )


class Machine:
    """The pure `Protocol` with a clock of its own; keeps what came out of it."""

    def __init__(
        self,
        *channels: str,
        timing: Timing | None = None,
        random: Callable[[], float] = lambda: 0.0,
        strict: bool = False,
    ) -> None:
        self.now = 1000.0
        self.sent: list[tuple[float, dict[str, Any]]] = []
        self.out: list[Event] = []
        self.protocol = Protocol(
            channels or (CHANNEL,),
            now=self.now,
            timing=timing or Timing(),
            random=random,
            strict=strict,
        )

    def establish(self, socket_id: str = "1.1", **members: object) -> None:
        """Let the server establish the connection; other members go into the document."""
        data = json.dumps({"socket_id": socket_id} | members)
        self.receive(event="pusher:connection_established", data=data)

    def receive(self, **members: object) -> None:
        """Let the server send an event frame."""
        self.receive_text(json.dumps(members))

    def receive_text(self, text: str | bytes) -> None:
        """Let the server send any text frame."""
        payload = text if isinstance(text, bytes) else text.encode("utf-8", "surrogatepass")
        self.protocol.receive_text(payload, self.now, int(self.now * 1e9))
        self._drain()

    def confirm(self, channel: str = CHANNEL) -> None:
        """Let the server confirm a channel."""
        self.receive(event="pusher_internal:subscription_succeeded", channel=channel)

    def error(self, code: object, message: str = "made up", **members: object) -> None:
        """Let the server send `pusher:error`."""
        self.receive(event="pusher:error", data={"code": code, "message": message} | members)

    def close(self, code: int = 1006, reason: str = "") -> None:
        """Let the connection end."""
        self.protocol.receive_close(code, reason)
        self._drain()

    def answer(self, channel: str, answer: AuthAnswer, socket_id: str = "1.1") -> None:
        """Let the auth endpoint answer."""
        self.protocol.receive_auth(channel, socket_id, answer, self.now)
        self._drain()

    def grant(self, *channels: str) -> None:
        """Let the auth endpoint sign for channels."""
        for channel in channels or (CHANNEL,):
            self.answer(channel, Granted(signature("1.1", channel)))

    def subscribe(self, *channels: str) -> None:
        """Establish, sign and confirm everything."""
        self.establish()
        self.grant(*channels)
        for channel in channels or (CHANNEL,):
            self.confirm(channel)

    def advance(self, seconds: float) -> None:
        """Let time pass: the machine is ticked at each of its own deadlines, and at the end."""
        until = self.now + seconds
        while (due := self.protocol.deadline()) < until:
            self.now = max(self.now, due)
            self.protocol.tick(self.now)
            self._drain()
        self.now = until
        self.protocol.tick(self.now)
        self._drain()

    def live(self, seconds: float) -> None:
        """Let time pass with a server that answers pings in time."""
        until = self.now + seconds
        while self.now < until:
            self.advance(min(5.0, until - self.now))
            self.receive(event="pusher:pong")

    def _drain(self) -> None:
        self.out += self.protocol.take_events()
        self.sent += ((self.now, json.loads(text)) for text in self.protocol.take_outgoing())

    def all(self, kind: type[E]) -> list[E]:
        """What came out of one kind so far."""
        return [event for event in self.out if isinstance(event, kind)]

    def sent_events(self, name: str) -> list[tuple[float, dict[str, Any]]]:
        """(when, message) of each event of this name sent so far."""
        return [(at, message) for at, message in self.sent if message["event"] == name]

    @property
    def asked(self) -> list[str]:
        """The channels of all signatures asked for, in order."""
        return [wanted.channel for wanted in self.all(AuthRequested)]

    @property
    def subscribed(self) -> list[str]:
        """The channels of all `pusher:subscribe` sent, in order."""
        return [message["data"]["channel"] for _, message in self.sent_events("pusher:subscribe")]

    @property
    def ended(self) -> CloseReason:
        """How it ended; fails when it has not."""
        assert self.protocol.ended is not None, f"it goes on: {self.out}"
        return self.protocol.ended


class Program:
    """The program as a process whose stdout is what the test gives it; a context manager."""

    def __init__(self, server: Server, api_url: str, home: Path, stdout: int, *args: str) -> None:
        argv = [*PROGRAM, "-c", CHANNEL, "--ws-url", server.url, "--api-url", api_url, *args]
        environment = clean_environment(home) | {"CHATAPP_TOKEN": "made-up"}
        self.process = subprocess.Popen(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=stdout,
            stderr=subprocess.PIPE,
            env=environment,
            cwd=home,
        )

    def wait(self, *, timeout: float = 10.0) -> tuple[int, str]:
        """Wait for the end; return the exit status and all of stderr."""
        _, said = self.process.communicate(timeout=timeout * TIMEOUT_SCALE)
        return self.process.returncode, said.decode()

    def __enter__(self) -> "Program":
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.communicate()
