"""The sandbox itself: one account, two listeners, and the handles to watch and break them."""

import logging
import secrets
import ssl
import threading
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

from . import frames
from .account import MADE_UP_LICENSES, MADE_UP_TOKEN, Account
from .certificates import Certificates
from .events import LiveEvent
from .faults import Faults
from .http_api import ApiServer
from .journal import AuthRequested, Connected, Journal, Pinged
from .live_feed import LiveFeed
from .pusher import PusherServer
from .service import Service

# A library prints nothing: without this, logging itself would write errors to stderr.
logging.getLogger(__package__).addHandler(logging.NullHandler())


class Sandbox:
    """A ChatApp on 127.0.0.1, for demos and for tests.

    `rate` is in live events a second over all subscribed channels; 0 publishes nothing by
    itself. The same `seed` tells the same story. With `tls` both listeners speak TLS under a
    certificate authority that `ca_file` holds. `activity_timeout` is in seconds.

    Use it as a context manager, or call `start()` and `stop()`. Started again after a stop it
    takes the same ports and certificate, so that a client finds it again; `ca_file` moves.
    `faults` may be changed and `journal` read at any time and from any thread.
    """

    def __init__(
        self,
        *,
        port: int = 0,
        api_port: int = 0,
        tls: bool = False,
        rate: float = 0.0,
        seed: int | None = None,
        token: str = MADE_UP_TOKEN,
        app_key: str = "ChatsAppApiProdKey",
        activity_timeout: int = 30,
        licenses: Mapping[int, tuple[str, ...]] = MADE_UP_LICENSES,
    ) -> None:
        if rate < 0:
            raise ValueError(f"rate is {rate}; it cannot be negative")
        self.account = Account(app_key, secrets.token_hex(16), token, licenses)
        self.faults = Faults()
        self.journal = Journal()
        self.ca_file: Path | None = None
        self._port, self._api_port = port, api_port
        self._tls = tls
        self._rate = rate
        self._seed = secrets.randbits(32) if seed is None else seed
        self._activity_timeout = activity_timeout
        self._certificates: Certificates | None = None
        self._feed: LiveFeed | None = None
        self._resources: ExitStack | None = None

    # Life.

    def start(self) -> Self:
        """Listen on both ports and return self.

        Raises OSError when a port is taken, RuntimeError when it is running already.
        """
        if self._resources is not None:
            raise RuntimeError("the sandbox is running already")
        with ExitStack() as stack:
            tls = self._start_tls(stack)
            self._start_sockets(stack, tls)
            self._start_api(stack, tls)
            self._start_feed(stack)
            self._resources = stack.pop_all()
        return self

    def stop(self) -> None:
        """Close every socket and listener and end every thread. Nothing happens twice."""
        resources, self._resources = self._resources, None
        if resources is not None:
            resources.close()
            self.ca_file = None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    def _start_tls(self, stack: ExitStack) -> ssl.SSLContext | None:
        if not self._tls:
            return None
        self._certificates = self._certificates or Certificates()
        self.ca_file = self._certificates.install()
        stack.callback(self._certificates.remove)
        return self._certificates.context

    def _start_sockets(self, stack: ExitStack, tls: ssl.SSLContext | None) -> None:
        self._server = PusherServer(
            self.account,
            self.faults,
            self.journal,
            activity_timeout=self._activity_timeout,
            on_subscribed=self._greet,
        )
        self._port = self._server.start(self._port, tls)
        stack.callback(self._server.stop)

    def _start_api(self, stack: ExitStack, tls: ssl.SSLContext | None) -> None:
        service = Service(
            account=self.account,
            faults=self.faults,
            journal=self.journal,
            is_connected=self._server.is_connected,
            stopping=threading.Event(),
        )
        api = ApiServer(service, tls)
        self._api_port = api.start(self._api_port)
        stack.callback(api.stop)

    def _start_feed(self, stack: ExitStack) -> None:
        if self._rate == 0:
            return
        self._feed = LiveFeed(
            self._rate, self._seed, channels=self._server.channels, publish=self._publish_live
        )
        self._feed.start()
        stack.callback(self._feed.stop)

    def _greet(self, channel: str) -> None:
        if self._feed is not None:
            self._feed.greet(channel)

    def _publish_live(self, channel: str, event: LiveEvent) -> int:
        return self.publish(channel, event.name, event.data)

    # Where it is and whom it knows.

    @property
    def ws_url(self) -> str:
        """The WebSocket server, without a path: `ws://127.0.0.1:PORT`, or `wss://`."""
        return f"{'wss' if self._tls else 'ws'}://127.0.0.1:{_known(self._port)}"

    @property
    def api_url(self) -> str:
        """The HTTP API, without a path: `http://127.0.0.1:PORT`, or `https://`."""
        return f"{'https' if self._tls else 'http'}://127.0.0.1:{_known(self._api_port)}"

    @property
    def app_key(self) -> str:
        """The Pusher app key that belongs into the WebSocket URL."""
        return self.account.app_key

    @property
    def token(self) -> str:
        """The text to send in the `Authorization` header."""
        return self.account.token

    @property
    def licenses(self) -> Mapping[int, tuple[str, ...]]:
        """Licence id to the messenger types it serves."""
        return self.account.licenses

    # Saying something.

    def publish(self, channel: str, event: str, data: str) -> int:
        """Publish one event; return the number of sockets subscribed to the channel.

        `data` is the exact string of the Pusher frame's `data`. The call does not wait for the
        sockets: what is not read yet is buffered, without a limit.
        """
        return self._server.send(frames.channel_event(channel, event, data), channel)

    def send_frame(self, text: str | bytes, *, channel: str | None = None) -> int:
        """Send exactly this as one text frame to every socket, or to a channel's subscribers.

        Bytes need not be UTF-8. Returns the number of sockets.
        """
        return self._server.send(text, channel)

    def send_wire(self, wire: bytes) -> int:
        """Write bytes to every TCP stream, whether or not they make a WebSocket frame."""
        return self._server.send_bytes(wire)

    def close_sockets(
        self, code: int, reason: str = "", *, before: str | bytes | None = None
    ) -> int:
        """Close every socket with a close frame; return their number.

        `before` is the text of a last frame, for instance `pusher_error(4200, "…")`. Raises
        websockets' ProtocolError for a code or reason that may not be sent.
        """
        return self._server.close(code, reason, before)

    def abort_sockets(self, *, reset: bool = True) -> int:
        """End every TCP connection without a close frame; return the number of sockets.

        With `reset` by RST, else by FIN. Connections still in their upgrade are ended too.
        """
        return self._server.abort(reset=reset)

    def forget_subscriptions(self) -> None:
        """Drop every subscription in silence; the sockets stay open and pongs still come."""
        self._server.forget_subscriptions()

    # Watching.

    @property
    def open_sockets(self) -> int:
        """Sockets open now, established or not."""
        return len(self._server.peers())

    @property
    def connections(self) -> int:
        """Upgrades accepted since the first start."""
        return self.journal.count(Connected)

    @property
    def pings(self) -> int:
        """`pusher:ping` frames received since the first start."""
        return self.journal.count(Pinged)

    @property
    def auth_requests(self) -> int:
        """Channel authorisations asked for since the first start."""
        return self.journal.count(AuthRequested)

    def subscribers(self, channel: str) -> int:
        """Return how many sockets are subscribed to a channel now."""
        return len(self._server.peers(channel))

    def wait_for(self, predicate: Callable[["Sandbox"], object], timeout: float) -> None:
        """Return once `predicate(self)` is true, asking again after each journal entry.

        Raises TimeoutError after `timeout` seconds.
        """
        self.journal.wait_for(lambda: predicate(self), timeout)

    def wait_subscribed(self, channel: str, timeout: float) -> None:
        """Return once somebody is subscribed to the channel; raises TimeoutError."""
        self.wait_for(lambda sandbox: sandbox.subscribers(channel) > 0, timeout)


def _known(port: int) -> int:
    if port == 0:
        raise RuntimeError("the port is not known before the sandbox is started")
    return port
