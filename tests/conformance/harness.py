"""What runs the client in these tests: its real connection and its authorisation."""

import subprocess
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

from chatapp_tail import items
from chatapp_tail.items import ChannelEvent, Item
from chatapp_tail.pusher.answers import AuthAnswer, Granted
from chatapp_tail.pusher.connection import Connection, Endpoint, Settings, Timing
from tests.conftest import PROGRAM, TIMEOUT_SCALE, clean_environment
from tests.pusher_machine import CHANNEL as CHANNEL

from .server import Peer, Server

KEY = "MadeUpKey"

I = TypeVar("I")  # noqa: E741 - an item


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


Link = tuple[Client, Peer]


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
