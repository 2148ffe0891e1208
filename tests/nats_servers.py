"""Real servers of NATS with JetStream: one, or a cluster of three."""

import asyncio
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, TypeVar

from nats.aio.client import Client
from nats.js.api import StreamConfig
from nats.js.client import JetStreamContext

from tests.conftest import TIMEOUT_SCALE, wait_until

T = TypeVar("T")
_BINARIES = {
    "pypi": Path(sys.executable).parent / "nats-server",
    "debian": Path(sys.prefix) / "debian/usr/sbin/nats-server",
}
BINARIES = {name: path for name, path in _BINARIES.items() if path.exists()}
"""Versions of the server that are installed, by where they come from."""


_started: "list[NatsServer]" = []


def kill_all() -> None:
    """Kill every server that runs, as after a test that failed."""
    for server in _started:
        server.kill()
    _started.clear()


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


class NatsServer:
    """One process, which may be killed and started again with the same data."""

    def __init__(self, binary: Path, directory: Path, *, settings: str = "", name: str = "n1"):
        self.port = free_port()
        self.name = name
        directory.mkdir(parents=True, exist_ok=True)
        self._directory = directory
        self._config = directory / "nats.conf"
        self._config.write_text(
            f"listen: 127.0.0.1:{self.port}\nserver_name: {name}\n"
            f'jetstream {{ store_dir: "{directory / "data"}" }}\n{settings}\n'
        )
        self._binary = binary
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def start(self) -> "NatsServer":
        _started.append(self)
        with (self._directory / "log").open("ab") as log:
            self.process = subprocess.Popen(
                [self._binary, "-c", self._config], stdout=log, stderr=log
            )
        wait_until(self._answers, f"{self.name} to listen", timeout=20)
        return self

    def kill(self) -> None:
        """End it without a chance to write anything."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        self._end(signal.SIGTERM)

    def _end(self, signum: signal.Signals) -> None:
        if self.process:
            self.process.send_signal(signum)
            self.process.wait(20 * TIMEOUT_SCALE)
            self.process = None

    def _answers(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.port), 1.0) as sock:
                return sock.recv(4) == b"INFO"
        except OSError:
            return False


def start_server(directory: Path, binary: str = "", settings: str = "") -> NatsServer:
    path = BINARIES[binary or next(iter(BINARIES))]
    return NatsServer(path, directory, settings=settings).start()


def start_cluster(directory: Path, count: int = 3) -> list[NatsServer]:
    """Start servers of one cluster, and wait until JetStream has a leader."""
    binary = next(iter(BINARIES.values()))
    routes = [free_port() for _ in range(count)]
    urls = ", ".join(f'"nats://127.0.0.1:{port}"' for port in routes)
    servers = []
    for number, port in enumerate(routes, 1):
        settings = f'cluster {{ name: c, listen: "127.0.0.1:{port}", routes: [{urls}] }}'
        name = f"n{number}"
        servers.append(NatsServer(binary, directory / name, settings=settings, name=name).start())
    wait_until(lambda: _has_leader(servers), "a leader", timeout=30)
    return servers


def _has_leader(servers: list[NatsServer]) -> bool:
    async def account(jetstream: JetStreamContext) -> bool:
        await jetstream.account_info()
        return True

    try:
        return on_stream(servers, account)
    except Exception:
        return False


def on_stream(
    servers: list[NatsServer], call: Callable[[JetStreamContext], Coroutine[Any, Any, T]]
) -> T:
    """Return what a coroutine makes of JetStream."""

    async def main() -> T:
        client = Client()
        await client.connect([f"nats://{server.address}" for server in servers], connect_timeout=5)
        try:
            return await call(client.jetstream(timeout=5 * TIMEOUT_SCALE))
        finally:
            await client.close()

    return asyncio.run(main())


def add_stream(servers: list[NatsServer], **settings: Any) -> None:
    """Make the stream EVENTS of `chatapp.>`."""
    config: dict[str, Any] = {
        "name": "EVENTS",
        "subjects": ["chatapp.>"],
        "duplicate_window": 86400.0,
    }
    on_stream(servers, lambda jetstream: jetstream.add_stream(StreamConfig(**(config | settings))))


def leader(servers: list[NatsServer]) -> NatsServer:
    """Return the server that leads the stream EVENTS."""

    async def name(jetstream: JetStreamContext) -> str:
        info = await jetstream.stream_info("EVENTS")
        return (info.cluster.leader or "") if info.cluster else ""

    found = on_stream(servers, name)
    return next(server for server in servers if server.name == found)


class Stored:
    """A message of the stream."""

    def __init__(self, subject: str, headers: dict[str, str], data: bytes) -> None:
        self.subject = subject
        self.headers = headers
        self.data = data


def stored(servers: list[NatsServer], name: str = "EVENTS") -> list[Stored]:
    """Return all messages of a stream."""

    async def read(jetstream: JetStreamContext) -> list[Stored]:
        info = await jetstream.stream_info(name)
        if not info.state.messages:
            return []
        subscription = await jetstream.subscribe(">", stream=name, ordered_consumer=True)
        messages = [
            await subscription.next_msg(10 * TIMEOUT_SCALE) for _ in range(info.state.messages)
        ]
        return [
            Stored(message.subject, dict(message.headers or {}), message.data)
            for message in messages
        ]

    return on_stream(servers, read)
