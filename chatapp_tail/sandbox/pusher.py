"""The WebSocket half of ChatApp: a Pusher server (protocol 7) of the soketi family.

One thread runs an asyncio loop that owns every socket. Other threads hand it what to write;
what they hand over is done in that order.
"""

import asyncio
import contextlib
import json
import logging
import re
import secrets
import socket
import ssl
import struct
import threading
import weakref
from collections.abc import Callable, Coroutine, Iterable
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, Literal, TypeVar, cast
from urllib.parse import parse_qsl, unquote, urlsplit

from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.datastructures import Headers
from websockets.exceptions import ConnectionClosed
from websockets.frames import Close, Frame, Opcode
from websockets.http11 import Request, Response
from websockets.protocol import State

from . import frames
from .account import Account
from .faults import Faults
from .http_messages import Answer
from .journal import (
    ClientFrame,
    Closed,
    Connected,
    Journal,
    Pinged,
    Subscribed,
    Unsubscribed,
    UpgradeRefused,
)

CLOSE_GRACE = 0.5
"""Seconds a client has, when the server stops, to answer the close frame."""

_ACCEPT_ROUNDS = 4
"""Rounds of the loop from accepting a socket until its transport and its handler exist."""

_log = logging.getLogger(__name__)
_APP_PATH = re.compile(r"(?:/.*)?/app/([^/]+)")
_NO_LINGER = struct.pack("ii", 1, 0)

T = TypeVar("T")


@dataclass(slots=True, eq=False)
class Peer:
    """One client's socket and the channels it is subscribed to.

    `closing` is set when a close frame is on its way, which nothing may follow.
    """

    connection: ServerConnection
    socket_id: str
    channels: set[str] = field(default_factory=set)
    closing: bool = False


class PusherServer:
    """Accepts sockets, confirms subscriptions, answers pings and delivers events.

    `on_subscribed` is called with the channel's name, on the loop's thread, after each first
    confirmation.
    """

    def __init__(
        self,
        account: Account,
        faults: Faults,
        journal: Journal,
        *,
        activity_timeout: int,
        on_subscribed: Callable[[str], None],
    ) -> None:
        self._account = account
        """Checks app keys and signatures."""
        self._faults = faults
        """What to do wrong."""
        self._journal = journal
        """Where everything that clients do is noted."""
        self._activity_timeout = activity_timeout
        """Seconds, as `connection_established` has them."""
        self._on_subscribed = on_subscribed
        """Told of each first confirmation."""
        self._lock = threading.Lock()
        """Held while `_peers` or the channels of a peer change."""
        self._peers: dict[str, Peer] = {}
        """The open sockets by socket id."""
        self._tasks: set[asyncio.Task[None]] = set()
        """Keeps tasks from being collected before they are done."""
        self._accepted: weakref.WeakSet[ServerConnection] = weakref.WeakSet()
        """Every connection, also during its upgrade."""

    # Called from any thread.

    def start(self, port: int, tls: ssl.SSLContext | None) -> int:
        """Listen on 127.0.0.1 and return the port; 0 takes a free one. Raises OSError."""
        listener = socket.create_server(("127.0.0.1", port), backlog=128)
        # Accepted sockets inherit it. asyncio sets it only on sockets made with an explicit
        # protocol number, and without it a second small frame waits 40 ms for an ACK.
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._loop = asyncio.new_event_loop()
        self._loop.set_exception_handler(_log_loop_error)
        self._thread = threading.Thread(
            target=self._loop.run_forever, name="sandbox-websocket", daemon=True
        )
        self._thread.start()
        self._server = self._call(self._listen(listener, tls))
        return int(listener.getsockname()[1])

    def stop(self) -> None:
        """Close every socket (1001, then by force) and the listener, and end the thread."""
        self._call(self._hang_up())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def is_connected(self, socket_id: str) -> bool:
        """Say whether a socket of that id is open now."""
        with self._lock:
            return socket_id in self._peers

    def channels(self) -> frozenset[str]:
        """Return the channels that have at least one subscriber now."""
        with self._lock:
            return frozenset().union(*(peer.channels for peer in self._peers.values()))

    def peers(self, channel: str | None = None) -> tuple[Peer, ...]:
        """Return the open sockets: all, or those subscribed to a channel."""
        with self._lock:
            peers = self._peers.values()
            return tuple(p for p in peers if channel is None or channel in p.channels)

    def send(self, text: str | bytes, channel: str | None = None) -> int:
        """Send one text frame to the sockets `peers(channel)` names; return their number."""
        return self.send_bytes(_text_frame(text), channel)

    def send_bytes(self, wire: bytes, channel: str | None = None) -> int:
        """Write bytes to the TCP streams of such sockets as they are; return their number."""
        peers = self.peers(channel)
        if peers:
            self._loop.call_soon_threadsafe(_write, peers, wire)
        return len(peers)

    def close(self, code: int, reason: str, before: str | bytes | None) -> int:
        """Send `before` if given, then a close frame, to all sockets; return their number.

        Raises websockets' ProtocolError for a code or reason that may not be sent.
        """
        Frame(Opcode.CLOSE, Close(code, reason).serialize()).check()
        peers = self.peers()
        self._loop.call_soon_threadsafe(self._close_all, peers, code, reason, before)
        return len(peers)

    def abort(self, *, reset: bool) -> int:
        """End every TCP connection without a close frame; return the number of sockets."""
        peers = self.peers()
        self._loop.call_soon_threadsafe(self._abort_all, reset)
        return len(peers)

    def forget_subscriptions(self) -> None:
        """Drop every subscription in silence and leave the sockets open."""
        with self._lock:
            for peer in self._peers.values():
                peer.channels.clear()

    def _call(self, coroutine: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result()

    # Called on the loop's thread only, from here on.

    async def _listen(self, listener: socket.socket, tls: ssl.SSLContext | None) -> Server:
        return await serve(
            self._serve_client,
            sock=listener,
            ssl=tls,
            process_request=self._check_upgrade,
            compression=None,
            open_timeout=None,
            ping_interval=None,
            close_timeout=CLOSE_GRACE,
            logger=_log,
            # Sockets must be found again while they still are in the handshake.
            create_connection=cast("type[ServerConnection]", self._accept),
        )

    def _accept(self, *args: Any, **kwargs: Any) -> ServerConnection:
        connection = ServerConnection(*args, **kwargs)
        self._accepted.add(connection)
        return connection

    async def _check_upgrade(
        self, connection: ServerConnection, request: Request
    ) -> Response | None:
        if self._faults.hold_upgrades:
            await connection.wait_closed()
        answer = self._faults.take_upgrade_answer()
        if answer is None and _app_key(request) is None:
            answer = Answer(404)
        if answer is None:
            return None
        path = urlsplit(request.path).path
        self._journal.add(UpgradeRefused(path=path, status=answer.status))
        return _upgrade_refusal(answer)

    async def _serve_client(self, connection: ServerConnection) -> None:
        request = connection.request
        assert request is not None, "the handler runs after the handshake"
        peer = Peer(connection, _new_socket_id())
        established = not self._faults.mute and _app_key(request) == self._account.app_key
        with self._lock:
            self._peers[peer.socket_id] = peer
        self._journal.add(_connected(peer, request, established))
        try:
            await self._greet(peer, _app_key(request), established)
            await self._listen_to(peer, established)
        finally:
            with self._lock:
                del self._peers[peer.socket_id]
            self._journal.add(_closed(peer))

    async def _greet(self, peer: Peer, app_key: str | None, established: bool) -> None:
        if established:
            _say(peer, frames.connection_established(peer.socket_id, self._activity_timeout))
        elif not self._faults.mute:
            message = f"App key {app_key} does not exist."
            _say(peer, frames.pusher_error(4001, message))
            await peer.connection.close(4001, message)

    async def _listen_to(self, peer: Peer, established: bool) -> None:
        # How the socket ended is read from the connection afterwards.
        with contextlib.suppress(ConnectionClosed):
            async for content in peer.connection:
                if established:
                    self._take(peer, content)

    def _take(self, peer: Peer, content: str | bytes) -> None:
        match _parse(content):
            case {"event": "pusher:ping"}:
                self._pong(peer)
            case {"event": "pusher:subscribe", "data": {"channel": str(channel)} as data}:
                self._subscribe(peer, channel, data.get("auth"))
            case {"event": "pusher:unsubscribe", "data": {"channel": str(channel)}}:
                self._unsubscribe(peer, channel)
            case _:
                self._journal.add(ClientFrame(socket_id=peer.socket_id, content=content))

    # What happened is written down before the client hears of it: a test that has the answer
    # in hand must find it in the journal. Nothing published overtakes the answer for that,
    # since it waits for the loop.

    def _pong(self, peer: Peer) -> None:
        self._journal.add(Pinged(socket_id=peer.socket_id))
        if not self._faults.withhold_pongs:
            _say(peer, frames.pong())

    def _subscribe(self, peer: Peer, channel: str, auth: object) -> None:
        outcome = self._outcome(peer, channel, auth)
        first = outcome == "confirmed" and channel not in peer.channels
        if first:
            with self._lock:
                peer.channels.add(channel)
        self._journal.add(Subscribed(socket_id=peer.socket_id, channel=channel, outcome=outcome))
        if outcome == "refused":
            _say(peer, frames.subscription_error(channel))
        elif outcome == "confirmed":
            _say(peer, frames.subscription_succeeded(channel))
        if first:
            self._on_subscribed(channel)

    def _outcome(
        self, peer: Peer, channel: str, auth: object
    ) -> Literal["confirmed", "refused", "withheld"]:
        if self._faults.withhold_confirmations:
            return "withheld"
        if not channel.startswith(("private-", "presence-")):
            return "confirmed"
        expected = self._account.sign(peer.socket_id, channel)
        return "confirmed" if auth == expected else "refused"

    def _unsubscribe(self, peer: Peer, channel: str) -> None:
        with self._lock:
            peer.channels.discard(channel)
        self._journal.add(Unsubscribed(socket_id=peer.socket_id, channel=channel))

    def _close_all(
        self, peers: Iterable[Peer], code: int, reason: str, before: str | bytes | None
    ) -> None:
        for peer in peers:
            if before is not None:
                _say(peer, before)
            peer.closing = True
            self._spawn(peer.connection.close(code, reason))

    def _spawn(self, coroutine: Coroutine[Any, Any, None]) -> None:
        # The loop itself keeps only weak references to its tasks.
        task = self._loop.create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _abort_all(self, reset: bool) -> None:
        for connection in tuple(self._accepted):
            _abort(connection, reset=reset)

    async def _hang_up(self) -> None:
        self._server.close(close_connections=False)
        for _ in range(_ACCEPT_ROUNDS):  # what has no transport yet cannot be closed
            await asyncio.sleep(0)
        closing = [asyncio.ensure_future(p.connection.close(1001)) for p in self.peers()]
        if closing:
            await asyncio.wait(closing, timeout=CLOSE_GRACE)
        self._abort_all(reset=False)
        await self._server.wait_closed()
        await _cancel_other_tasks()


async def _cancel_other_tasks() -> None:
    # What is left waits for clients that never finished their TLS handshake.
    tasks = asyncio.all_tasks() - {asyncio.current_task()}
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    await asyncio.sleep(0)  # a cancelled handshake's socket is closed in the next round


def _parse(content: str | bytes) -> object:
    # A match pattern compares any JSON value; what is no JSON at all matches nothing.
    try:
        return json.loads(content)
    except ValueError:
        return None


def _app_key(request: Request) -> str | None:
    match = _APP_PATH.fullmatch(urlsplit(request.path).path)
    return unquote(match[1]) if match else None


def _new_socket_id() -> str:
    return f"{secrets.randbelow(10**9)}.{secrets.randbelow(10**9)}"


def _connected(peer: Peer, request: Request, established: bool) -> Connected:
    url = urlsplit(request.path)
    return Connected(
        socket_id=peer.socket_id,
        path=url.path,
        query=tuple(parse_qsl(url.query, keep_blank_values=True)),
        headers=tuple(request.headers.raw_items()),
        established=established,
    )


def _closed(peer: Peer) -> Closed:
    protocol = peer.connection.protocol
    received = protocol.close_rcvd
    return Closed(
        socket_id=peer.socket_id,
        code=received.code if received else 1006,
        reason=received.reason if received else "",
        by_server=protocol.close_sent is not None and not protocol.close_rcvd_then_sent,
    )


def _upgrade_refusal(answer: Answer) -> Response:
    headers = Headers(Connection="close", **{"Content-Length": str(len(answer.body))})
    headers.update(answer.headers)
    return Response(answer.status, _phrase(answer.status), headers, answer.body)


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Unknown"


def _text_frame(text: str | bytes) -> bytes:
    # Server frames are not masked, so the same bytes serve every socket.
    payload = text.encode() if isinstance(text, str) else bytes(text)
    return Frame(Opcode.TEXT, payload).serialize(mask=False)


def _say(peer: Peer, text: str | bytes) -> None:
    _write((peer,), _text_frame(text))


def _write(peers: Iterable[Peer], wire: bytes) -> None:
    # No back-pressure: like the servers it stands for, this one buffers for a slow reader.
    for peer in peers:
        if not peer.closing and peer.connection.protocol.state is State.OPEN:
            peer.connection.transport.write(wire)


def _abort(connection: ServerConnection, *, reset: bool) -> None:
    transport = getattr(connection, "transport", None)  # absent during a TLS handshake
    if transport is None or transport.is_closing():
        return
    if reset:
        peer_socket = transport.get_extra_info("socket")
        peer_socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)
    transport.abort()


def _log_loop_error(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    _log.debug("%s", context.get("message"), exc_info=context.get("exception"))
