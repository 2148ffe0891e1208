"""A scripted server: TCP, TLS and WebSocket by hand, so that it can break every rule of them.

Each connection is a `Peer` with a thread for its script and a thread that reads what the client
sends. Everything is recorded with the monotonic clock, and awaited through one condition.
Shares no code with the client.
"""

import base64
import hashlib
import json
import select
import socket
import ssl
import struct
import threading
import time
import traceback
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from tests.conftest import TIMEOUT_SCALE

from . import frames
from .frames import CLOSE, TEXT, ClientFrame

_ACCEPT_SUFFIX = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


class PeerGone(Exception):
    """The client, or the test, is gone; a script that waits for anything else ends by this."""


@dataclass(frozen=True, slots=True)
class Request:
    """The client's HTTP request; names of headers are in lower case."""

    line: str
    headers: Mapping[str, str]

    @property
    def target(self) -> str:
        """The path with its query."""
        return self.line.split(" ")[1]


class Peer:
    """One accepted connection, as the server sees it."""

    def __init__(self, sock: socket.socket, index: int, changed: threading.Condition) -> None:
        self.index = index
        self.accepted = time.monotonic()
        self.ended: float | None = None
        """When the client's end of the stream was seen, by FIN or RST."""
        self.request: Request | None = None
        self.frames: list[ClientFrame] = []
        self.sent = 0
        """Bytes the kernel took from the script."""
        self.reading = True
        self.tls = False
        self.sock = sock
        self._changed = changed
        self._received = bytearray()
        self._taken = 0
        self._read_ended = False
        self._sending = threading.Lock()

    # --- what the client sent

    @property
    def messages(self) -> list[dict[str, Any]]:
        """The JSON of every text frame so far."""
        with self._changed:
            return [json.loads(frame.payload) for frame in self.frames if frame.opcode == TEXT]

    def events(self, name: str) -> list[dict[str, Any]]:
        """The messages of this event name so far."""
        return [message for message in self.messages if message.get("event") == name]

    def subscribed(self) -> list[str]:
        """The channels of all `pusher:subscribe` so far, in their order."""
        return [message["data"]["channel"] for message in self.events("pusher:subscribe")]

    def of(self, opcode: int) -> list[ClientFrame]:
        """The frames of this opcode so far."""
        with self._changed:
            return [frame for frame in self.frames if frame.opcode == opcode]

    @property
    def close_code(self) -> int | None:
        """The code of the client's close frame, if it sent one."""
        closes = self.of(CLOSE)
        return closes[0].code if closes else None

    # --- waiting

    def wait(self, happened: Callable[[], bool], what: str, *, timeout: float = 10.0) -> None:
        """Wait until `happened`; `PeerGone` when the client ended first."""
        with self._changed:
            self._changed.wait_for(lambda: happened() or self.gone, timeout * TIMEOUT_SCALE)
            if happened():
                return
            if self.gone:
                raise PeerGone(f"the client ended before: {what}")
            raise AssertionError(f"waited {timeout} s for {what}; got {self.frames}")

    def wait_request(self, *, timeout: float = 10.0) -> Request:
        """Wait for the HTTP request."""
        self.wait(lambda: self.request is not None, "an HTTP request", timeout=timeout)
        assert self.request is not None
        return self.request

    def wait_event(self, name: str, *, count: int = 1, timeout: float = 10.0) -> dict[str, Any]:
        """Wait for the nth message of this event name."""
        self.wait(lambda: len(self.events(name)) >= count, f"{count} {name}", timeout=timeout)
        return self.events(name)[count - 1]

    def wait_frame(self, opcode: int, *, count: int = 1, timeout: float = 10.0) -> ClientFrame:
        """Wait for the nth frame of this opcode."""
        what = f"{count} frames of opcode {opcode}"
        self.wait(lambda: len(self.of(opcode)) >= count, what, timeout=timeout)
        return self.of(opcode)[count - 1]

    def wait_end(self, *, timeout: float = 20.0) -> float:
        """Wait until the client has dropped the connection; stay mute meanwhile."""
        with self._changed:
            done = self._changed.wait_for(lambda: self.gone, timeout * TIMEOUT_SCALE)
            assert done, f"the client kept the connection for {timeout} s; got {self.frames}"
            return self.ended or time.monotonic()

    def next_frame(self) -> ClientFrame:
        """Wait for the oldest frame not taken yet, for as long as the connection lasts."""
        with self._changed:
            self._changed.wait_for(lambda: len(self.frames) > self._taken or self.gone)
            if len(self.frames) <= self._taken:
                raise PeerGone
            self._taken += 1
            return self.frames[self._taken - 1]

    @property
    def gone(self) -> bool:
        """Whether no more can come from the client."""
        return self.ended is not None or not self.reading

    # --- what the server sends

    def send_raw(self, data: bytes) -> None:
        """Send any bytes; `PeerGone` when the client does not want them any more."""
        with self._sending:
            try:
                self.sock.sendall(data)
            except (OSError, ValueError) as error:
                raise PeerGone(str(error)) from error
        with self._changed:
            self.sent += len(data)
            self._changed.notify_all()

    def drip(self, data: bytes, *, pause: float) -> None:
        """Send byte by byte with a pause after each, until the client is gone."""
        for byte in data:
            self.send_raw(bytes([byte]))
            self.pause(pause)

    def pause(self, seconds: float) -> None:
        """Be mute for a while; `PeerGone` as soon as the client is gone."""
        with self._changed:
            if self._changed.wait_for(lambda: self.gone, seconds):
                raise PeerGone

    def send(self, opcode: int, payload: bytes, **how: Any) -> None:
        """Send one frame, as `frames.encode` makes it."""
        self.send_raw(frames.encode(opcode, payload, **how))

    def send_text(self, text: str) -> None:
        """Send a text frame."""
        self.send(TEXT, text.encode("utf-8", "surrogatepass"))

    def send_json(self, **members: object) -> None:
        """Send an event frame: `send_json(event="message", channel=c, data="{}")`."""
        self.send_text(json.dumps(members))

    def establish(self, socket_id: str = "", activity_timeout: object = 120) -> None:
        """Say `pusher:connection_established`."""
        data = {
            "socket_id": socket_id or f"{self.index + 1}.1",
            "activity_timeout": activity_timeout,
        }
        self.send_json(event="pusher:connection_established", data=json.dumps(data))

    def ready(self, count: int = 1, socket_id: str = "") -> None:
        """Establish, and confirm so many channels in the order in which they are asked for."""
        self.upgrade()
        self.establish(socket_id)
        self.wait_event("pusher:subscribe", count=count)
        for channel in self.subscribed()[:count]:
            self.confirm(channel)

    def confirm(self, channel: str) -> None:
        """Say that a channel is subscribed."""
        self.send_json(event="pusher_internal:subscription_succeeded", channel=channel, data="{}")

    def error(self, code: int | None, message: str, *, as_string: bool = False) -> None:
        """Say `pusher:error`, its data an object, or a string as Reverb sends it."""
        data = {"code": code, "message": message}
        self.send_json(event="pusher:error", data=json.dumps(data) if as_string else data)

    def close(self, code: int | None = 1000, reason: bytes = b"") -> None:
        """Send a close frame."""
        self.send_raw(frames.encode_close(code, reason))

    def fin(self) -> None:
        """End the stream in good order, without a close frame."""
        with suppress(OSError):
            self.sock.shutdown(socket.SHUT_WR)

    def rst(self) -> None:
        """End the stream with a TCP reset."""
        with suppress(OSError):
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        # A thread that waits in recv keeps the descriptor alive, and then close sends nothing.
        with self._changed:
            self.reading = False
            with suppress(OSError):
                self.sock.shutdown(socket.SHUT_RD)
            self._changed.wait_for(lambda: self._read_ended, 10.0)
            self._changed.notify_all()
        self.sock.close()

    def upgrade(self) -> None:
        """Wait for the upgrade request and accept it."""
        self.send_raw(self.upgrade_answer())

    def upgrade_answer(self) -> bytes:
        """Wait for the upgrade request; return the answer that accepts it."""
        key = self.wait_request().headers["sec-websocket-key"] + _ACCEPT_SUFFIX
        accept = base64.b64encode(hashlib.sha1(key.encode()).digest()).decode()
        lines = (
            "HTTP/1.1 101 Switching Protocols",
            "Upgrade: websocket",
            "Connection: Upgrade",
            f"Sec-WebSocket-Accept: {accept}",
            "\r\n",
        )
        return "\r\n".join(lines).encode()

    def refuse(self, status: int, headers: str = "", body: str = "") -> None:
        """Wait for the upgrade request and answer it with another HTTP status."""
        self.wait_request()
        head = f"HTTP/1.1 {status} Whatever\r\nContent-Length: {len(body)}\r\n{headers}\r\n"
        self.send_raw((head + body).encode())
        self.fin()

    def serve(self) -> None:
        """Be a good server: confirm every channel, answer pings and a close, until the end."""
        while True:
            frame = self.next_frame()
            if frame.opcode == CLOSE:
                self.send_raw(frames.encode(CLOSE, frame.payload))
                self.fin()
            elif frame.opcode == TEXT:
                self._answer(json.loads(frame.payload))

    def _answer(self, message: dict[str, Any]) -> None:
        if message["event"] == "pusher:subscribe":
            self.confirm(message["data"]["channel"])
        elif message["event"] == "pusher:ping":
            self.send_json(event="pusher:pong", data={})

    # --- the reading thread

    def read(self) -> None:
        """Take in what the client sends until it ends."""
        while self.reading and (data := self._receive()):
            self.hear(data)
        with self._changed:
            if self.reading:
                self.ended = time.monotonic()
            self._read_ended = True
            self._changed.notify_all()

    def hear(self, data: bytes) -> None:
        """Take in bytes of the client."""
        with self._changed:
            self._received += data
            self._parse()
            self._changed.notify_all()

    def _receive(self) -> bytes:
        try:
            return self.sock.recv(65536)
        except (OSError, ValueError):
            return b""

    def _parse(self) -> None:
        if self.request is None:
            head, separator, rest = bytes(self._received).partition(b"\r\n\r\n")
            if not separator:
                return
            line, *headers = head.decode("latin-1").split("\r\n")
            pairs = (header.partition(":") for header in headers)
            self.request = Request(line, {name.lower(): text.strip() for name, _, text in pairs})
            self._received = bytearray(rest)
        while found := frames.decode_one(self._received, time.monotonic()):
            frame, size = found
            self.frames.append(frame)
            del self._received[:size]

    @property
    def half_open(self) -> bool:
        """Whether the client has not yet ended this connection, asked of the kernel itself."""
        if self.gone:
            return False
        poll = select.poll()
        try:
            poll.register(self.sock, select.POLLRDHUP)
        except (OSError, ValueError):
            return False
        return not poll.poll(0)


Script = Callable[[Peer], None]


def good(peer: Peer) -> None:
    """Upgrade, establish, and serve well."""
    peer.upgrade()
    peer.establish()
    peer.serve()


def ready_then_end(peer: Peer) -> None:
    """Confirm the channel and end the stream."""
    peer.ready()
    peer.fin()


def ready_then_mute(peer: Peer) -> None:
    """Confirm the channel and say no more."""
    peer.ready()
    peer.wait_end()


def mute(peer: Peer) -> None:
    """Accept the TCP connection and then nothing."""
    peer.wait_end()


def upgraded_mute(peer: Peer) -> None:
    """Accept the upgrade and then nothing."""
    peer.upgrade()
    peer.wait_end()


class Server:
    """Listens on 127.0.0.1; connection n runs script n, the last script all the rest.

    With `tls` a client that speaks TLS is spoken to in TLS, any other in clear. `reads` False
    leaves everything after the HTTP request in the kernel's buffers. Use as a context manager:
    at its end a script's own failure fails the test, and so does an unmasked client frame.
    """

    def __init__(
        self,
        *scripts: Script,
        tls: ssl.SSLContext | None = None,
        reads: bool = True,
        receive_buffer: int | None = None,
    ) -> None:
        self.peers: list[Peer] = []
        self.overlaps = 0
        """How often a client dialled while an earlier connection of it was still open."""
        self._scripts = scripts or (good,)
        self._tls = tls
        self._reads = reads
        self._errors: list[str] = []
        self._changed = threading.Condition(threading.RLock())
        self._threads: list[threading.Thread] = []
        self._listener = socket.socket()
        if receive_buffer is not None:
            self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self._listener.bind(("127.0.0.1", 0))
        self._listener.listen(128)
        self.port: int = self._listener.getsockname()[1]
        self._start(self._accept)

    @property
    def url(self) -> str:
        """Where it listens, as `ws://…`."""
        return f"ws://127.0.0.1:{self.port}"

    @property
    def tls_url(self) -> str:
        """Where it listens, as `wss://…`."""
        return f"wss://127.0.0.1:{self.port}"

    @property
    def times(self) -> list[float]:
        """When each connection was accepted."""
        with self._changed:
            return [peer.accepted for peer in self.peers]

    def peer(self, index: int = 0, *, timeout: float = 10.0) -> Peer:
        """Wait for connection number `index`, from 0."""
        with self._changed:
            self._changed.wait_for(lambda: len(self.peers) > index, timeout * TIMEOUT_SCALE)
            assert len(self.peers) > index, f"no connection number {index} in {timeout} s"
            return self.peers[index]

    def never_connected(self, index: int, *, within: float) -> bool:
        """Return whether connection number `index` stays out for so many seconds."""
        with self._changed:
            return not self._changed.wait_for(lambda: len(self.peers) > index, within)

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            with self._changed:
                self.overlaps += any(peer.half_open for peer in self.peers)
                peer = Peer(sock, len(self.peers), self._changed)
                self.peers.append(peer)
                self._changed.notify_all()
            self._start(self._run, peer)

    def _run(self, peer: Peer) -> None:
        script = self._scripts[min(peer.index, len(self._scripts) - 1)]
        try:
            self._begin(peer)
            script(peer)
        except (PeerGone, OSError):
            pass  # the client ended it, or the end of the test did
        except Exception:
            self._errors.append(traceback.format_exc())
        peer.fin()

    def _begin(self, peer: Peer) -> None:
        if self._tls and peer.sock.recv(1, socket.MSG_PEEK) == b"\x16":
            peer.sock = self._tls.wrap_socket(peer.sock, server_side=True)
            peer.tls = True
        if self._reads:
            self._start(peer.read)
            return
        peer._read_ended = True
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            if not (byte := peer.sock.recv(1)):
                raise PeerGone("in the middle of its request")
            head += byte
        peer.hear(head)

    def _start(self, target: Callable[..., None], *args: object) -> None:
        thread = threading.Thread(target=target, args=args, daemon=True)
        self._threads.append(thread)
        thread.start()

    def __enter__(self) -> "Server":
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for peer in self.peers:
            with suppress(OSError):
                peer.sock.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(10.0)
        for peer in self.peers:
            peer.sock.close()
        if kind is None:
            assert not self._errors, "\n".join(self._errors)
            assert all(frame.masked for peer in self.peers for frame in peer.frames)
