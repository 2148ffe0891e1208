"""A TCP proxy that mistreats what it carries: cuts, resets, stalls, delays, drips, half-closes.

It always reads what either side sends and keeps it in memory, whatever the line does: soketi skips
messages of a slow reader without a word, and that fault would not be the tail's.
"""

import asyncio
import random
import socket
import struct
import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Self

HOST = "127.0.0.1"
_DRIPPED = 200
_DRIP_SECONDS = 0.001


@dataclass(slots=True)
class Weather:
    """How the bytes of one direction fare; delays are seconds, the lowest and the highest."""

    stalled: bool = False
    delay: tuple[float, float] = (0.0, 0.0)
    dripping: bool = False


class Pipe(asyncio.Protocol):
    """One direction of one connection: reads one side, and what came waits until it may go on.

    The end of the stream (None) waits in the same queue: on a stalled line it is not seen either.
    """

    def __init__(
        self,
        weather: Weather,
        rng: random.Random,
        *,
        made: Callable[[], None],
        ended: Callable[[], None],
    ) -> None:
        self.transport: asyncio.Transport | None = None
        self.target: asyncio.Transport | None = None
        self.over = False
        self._weather = weather
        self._rng = rng
        self._made = made
        self._ended = ended
        self._waiting: deque[tuple[float, bytes | None]] = deque()
        self._last_due = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._put_end = False
        self._sent_end = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self._made()

    def data_received(self, data: bytes) -> None:
        if self._weather.dripping:
            for piece in self._pieces(data):
                self._put(piece, _DRIP_SECONDS)
        else:
            self._put(data, 0.0)
        self.flush()

    def eof_received(self) -> bool:
        self._end()
        return True  # the other direction may go on

    def connection_lost(self, exc: Exception | None) -> None:
        self._end()

    def _end(self) -> None:
        if not self._put_end:
            self._put_end = True
            self._put(None, 0.0)
            self.flush()

    def _pieces(self, data: bytes) -> list[bytes]:
        pieces = []
        while data:
            size = self._rng.randint(1, _DRIPPED)
            pieces.append(data[:size])
            data = data[size:]
        return pieces

    def _put(self, data: bytes | None, apart: float) -> None:
        now = asyncio.get_running_loop().time()
        due = max(now + self._rng.uniform(*self._weather.delay), self._last_due + apart)
        self._last_due = due
        self._waiting.append((due, data))

    def flush(self) -> None:
        """Send what may go on now, and come back when the next is due."""
        if self._timer:
            self._timer.cancel()
            self._timer = None
        loop = asyncio.get_running_loop()
        while self._waiting and self.target and not self._weather.stalled:
            due, data = self._waiting[0]
            if (wait := due - loop.time()) > 0:
                self._timer = loop.call_later(wait, self.flush)
                return
            self._waiting.popleft()
            self._send(data)

    def _send(self, data: bytes | None) -> None:
        assert self.target is not None
        if data is None:
            self.over = True
            self.send_end()
            self._ended()
        else:
            self._write(data)

    def _write(self, data: bytes) -> None:
        if self.target and not self._sent_end and not self.target.is_closing():
            self.target.write(data)

    def send_end(self) -> None:
        """Let the receiver see a FIN, now; nothing can follow it."""
        self._sent_end = True
        with suppress(OSError, RuntimeError):  # it is gone already
            if self.target and not self.target.is_closing():
                self.target.write_eof()

    def tear(self) -> None:
        """Send the first half of what waits; the rest is lost."""
        waiting = b"".join(data for _, data in self._waiting if data)
        self._waiting.clear()
        self._write(waiting[: len(waiting) // 2])

    def drop(self, *, reset: bool) -> None:
        """Close the receiver's connection; what waits is lost."""
        self._waiting.clear()
        if self._timer:
            self._timer.cancel()
        if self.target is None or self.target.is_closing():
            return
        if reset:
            sock = self.target.get_extra_info("socket")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        else:
            self.send_end()
        self.target.abort()


class Wire:
    """One proxied connection: `up` carries to the server, `down` to the client."""

    def __init__(self, proxy: "FaultyProxy", rng: random.Random) -> None:
        self._proxy = proxy
        over = self._close_when_over
        self.up = Pipe(proxy.up, rng, made=self._client_connected, ended=over)
        self.down = Pipe(proxy.down, rng, made=lambda: None, ended=over)

    def _client_connected(self) -> None:
        self.down.target = self.up.transport
        self._proxy.connect(self)

    async def join(self, server_port: int) -> None:
        """Connect to the server; the client is reset when that fails."""
        loop = asyncio.get_running_loop()
        try:
            await loop.create_connection(lambda: self.down, HOST, server_port)
        except OSError:
            self.drop(reset=True)
            return
        self.up.target = self.down.transport
        if self.down.target is None or self.down.target.is_closing():
            self.drop(reset=True)  # cut in the meantime
        else:
            self.flush()

    def flush(self) -> None:
        self.up.flush()
        self.down.flush()

    def drop(self, *, reset: bool) -> None:
        self.up.drop(reset=reset)
        self.down.drop(reset=reset)
        self._proxy.forget(self)

    def _close_when_over(self) -> None:
        if self.up.over and self.down.over:
            self.drop(reset=False)


class FaultyProxy:
    """Listens on `port` of loopback, forwards to `server_port`; a context manager.

    Its methods may be called from any thread and have taken effect when they return.
    """

    def __init__(self, server_port: int, seed: int) -> None:
        self.up, self.down = Weather(), Weather()
        self.port = 0
        self._server_port = server_port
        self._rng = random.Random(seed)
        self._refusing = False
        self._wires: set[Wire] = set()
        self._joining: set[asyncio.Task[None]] = set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)

    def cut(self, *, reset: bool = False) -> None:
        """End every connection, in both directions, by FIN or by RST; what was held is lost."""

        def cut() -> None:
            for wire in list(self._wires):
                wire.drop(reset=reset)

        self._do(cut)

    def tear(self) -> None:
        """Forward half of what is held for the client, then cut."""

        def tear() -> None:
            for wire in list(self._wires):
                wire.down.tear()
                wire.drop(reset=False)

        self._do(tear)

    def half_close(self, *, client: bool) -> None:
        """Show a FIN to the client, or to the server, and to nobody else."""

        def half_close() -> None:
            for wire in list(self._wires):
                (wire.down if client else wire.up).send_end()

        self._do(half_close)

    def stall(self, *, up: bool, down: bool) -> None:
        """Hold everything of these directions, also of connections that are still to come."""

        def stall() -> None:
            self.up.stalled, self.down.stalled = up, down

        self._do(stall)

    def delay(self, lowest: float, highest: float) -> None:
        """Deliver later, in order, in both directions."""

        def delay() -> None:
            self.up.delay = self.down.delay = (lowest, highest)

        self._do(delay)

    def drip(self) -> None:
        """Deliver a few bytes at a time."""

        def drip() -> None:
            self.up.dripping = self.down.dripping = True

        self._do(drip)

    def refuse(self) -> None:
        """Reset all connections, and every new one."""

        def refuse() -> None:
            self._refusing = True
            for wire in list(self._wires):
                wire.drop(reset=True)

        self._do(refuse)

    def behave(self) -> None:
        """Forward faithfully, first what was held."""

        def behave() -> None:
            self._refusing = False
            for weather in (self.up, self.down):
                weather.stalled, weather.dripping, weather.delay = False, False, (0.0, 0.0)
            for wire in list(self._wires):
                wire.flush()

        self._do(behave)

    def forget(self, wire: Wire) -> None:
        self._wires.discard(wire)

    def connect(self, wire: Wire) -> None:
        self._wires.add(wire)
        if self._refusing:
            wire.drop(reset=True)
            return
        task = self._loop.create_task(wire.join(self._server_port))
        self._joining.add(task)
        task.add_done_callback(self._joining.discard)

    def _do(self, action: Callable[[], None]) -> None:
        async def act() -> None:
            action()

        asyncio.run_coroutine_threadsafe(act(), self._loop).result(10.0)

    def __enter__(self) -> Self:
        self._thread.start()
        listening = self._loop.create_server(lambda: Wire(self, self._rng).up, HOST, 0)
        self._server = asyncio.run_coroutine_threadsafe(listening, self._loop).result(10.0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    def __exit__(self, *_: object) -> None:
        async def close() -> None:
            self._server.close()
            for task in list(self._joining):
                task.cancel()
            for wire in list(self._wires):
                wire.drop(reset=True)
            await asyncio.sleep(0)  # the transports close their sockets in the next round

        asyncio.run_coroutine_threadsafe(close(), self._loop).result(10.0)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
