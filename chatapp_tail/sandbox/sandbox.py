"""The sandbox itself: one account, two listeners, and the handles to watch and break them."""

import logging
import secrets
import ssl
import threading
from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack
from fnmatch import fnmatchcase
from pathlib import Path
from types import TracebackType
from typing import Self

from . import frames
from .account import (
    MADE_UP_LICENSES,
    MADE_UP_TERMS,
    MADE_UP_TOKEN,
    Account,
    Terms,
    messenger_channel,
)
from .certificates import Certificates
from .events import LiveEvent
from .faults import Faults
from .history import KEPT_MESSAGES, History
from .http_api import ApiServer
from .journal import (
    ApiRequested,
    AuthRequested,
    Connected,
    Journal,
    Pinged,
    TokenChecked,
    TokenMade,
    TokenRefreshed,
)
from .live_feed import LiveFeed
from .pusher import PusherServer
from .service import Service
from .throttle import Throttle
from .token_issuer import ACCESS_LIFETIME, REFRESH_LIFETIME, TOKENS_PER_DAY, TokenIssuer

# A library prints nothing: without this, logging itself would write errors to stderr.
logging.getLogger(__package__).addHandler(logging.NullHandler())


class Sandbox:
    """A ChatApp on 127.0.0.1, for demos and for tests.

    `rate` is in live events a second over all subscribed channels; 0 publishes nothing by
    itself. With `publish_unheard` the live events go to every messenger of the active licences,
    subscribed or not, so that a client that was away finds history to fill its gap with; one
    subscriber then gets only its share of the rate. The same `seed` tells the same story. With
    `tls` both listeners speak TLS under a certificate authority that `ca_file` holds.
    `activity_timeout` is in seconds.

    Use it as a context manager, or call `start()` and `stop()`. Started again after a stop it
    takes the same ports and certificate, so that a client finds it again; `ca_file` moves.
    Tokens and history outlast a stop as well.

    `token` is an access token that is good without a login and does not end; those made by a
    login end after `access_lifetime` and `refresh_lifetime` seconds. `tokens_per_day` logins and
    `requests_per_second` (None: any number) are answered, what is more with 429. `history` keeps
    the last `kept_messages` that were published, whether or not anybody listened.

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
        access_lifetime: float = ACCESS_LIFETIME,
        refresh_lifetime: float = REFRESH_LIFETIME,
        tokens_per_day: int = TOKENS_PER_DAY,
        requests_per_second: int | None = None,
        kept_messages: int = KEPT_MESSAGES,
        publish_unheard: bool = False,
    ) -> None:
        if rate < 0:
            raise ValueError(f"rate is {rate}; it cannot be negative")
        terms = MADE_UP_TERMS if licenses is MADE_UP_LICENSES else {}
        self.account = Account(app_key, secrets.token_hex(16), token, licenses, terms=terms)
        """Who it is that logs in, and what belongs to that account."""
        self.faults = Faults()
        self.journal = Journal()
        self.history = History(kept_messages)
        self.ca_file: Path | None = None
        # 0 until the first start, unless given.
        self._port, self._api_port = port, api_port
        self._tls = tls
        self._rate = rate
        self._seed = secrets.randbits(32) if seed is None else seed
        self._activity_timeout = activity_timeout
        self._publish_unheard = publish_unheard
        self._throttle = Throttle(requests_per_second)
        """Limits the requests of the HTTP API."""
        self._tokens = TokenIssuer(
            token,
            access_lifetime=access_lifetime,
            refresh_lifetime=refresh_lifetime,
            per_day=tokens_per_day,
        )
        """Makes and checks the tokens of logins."""
        self._certificates: Certificates | None = None
        """Made at the first start with TLS, and kept for later ones."""
        self._feed: LiveFeed | None = None
        """Publishes live events, if the rate is not 0."""
        self._resources: ExitStack | None = None
        """What a stop closes; None while it does not run."""

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
            tokens=self._tokens,
            history=self.history,
            throttle=self._throttle,
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
            self._rate, self._seed, channels=self._live_channels, publish=self._publish_live
        )
        self._feed.start()
        stack.callback(self._feed.stop)

    def _live_channels(self) -> frozenset[str]:
        live = self.account.live_channels()
        return live if self._publish_unheard else live & self._server.channels()

    def _greet(self, channel: str) -> None:
        if self._feed is not None and channel in self.account.live_channels():
            self._feed.greet(channel)

    def _wake_feed(self, channels: Iterable[str]) -> None:
        # A feed that has had nobody to tell sleeps until it is greeted.
        if self._feed is not None:
            for channel in self._live_channels().intersection(channels):
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
        """A text to send in the `Authorization` header; no login is needed for it."""
        return self.account.token

    @property
    def email(self) -> str:
        """The email to log in with."""
        return self.account.email

    @property
    def password(self) -> str:
        """The password to log in with."""
        return self.account.password

    @property
    def app_id(self) -> str:
        """The `appId` to log in with."""
        return self.account.app_id

    @property
    def licenses(self) -> Mapping[int, tuple[str, ...]]:
        """Licence id to the messenger types it serves."""
        return self.account.licenses

    def add_license(
        self,
        license_id: int,
        messenger_types: Iterable[str],
        *,
        name: str | None = None,
        active: bool = True,
    ) -> None:
        """Let the account have one more licence from now on, or other terms for one it has."""
        types = tuple(messenger_types)
        self.account.terms = {**self.account.terms, license_id: Terms(name, active)}
        self.account.licenses = {**self.account.licenses, license_id: types}
        self._wake_feed(messenger_channel(license_id, name) for name in types)

    def remove_license(self, license_id: int) -> None:
        """Take a licence away; who is subscribed to it stays so, in silence. Raises KeyError."""
        licenses = dict(self.account.licenses)
        del licenses[license_id]
        self.account.licenses = licenses

    # Ending tokens. Sockets and subscriptions stay: ChatApp looks at tokens only in the API.

    def expire_access_tokens(self) -> None:
        """End every access token made by a login or a refresh so far, but not `token`."""
        self._tokens.expire_access_tokens()

    def expire_refresh_tokens(self) -> None:
        """End every refresh token so far; their access tokens stay good."""
        self._tokens.expire_refresh_tokens()

    def void_token(self) -> None:
        """Refuse `token`, the fixed one, from now on."""
        self._tokens.void_fixed()

    # Saying something.

    def publish(self, channel: str, event: str, data: str) -> int:
        """Publish one event; return the number of sockets subscribed to the channel.

        `data` is the exact string of the Pusher frame's `data`. The call does not wait for the
        sockets: what is not read yet is buffered, without a limit. The items of an event
        "message" are kept in `history` before anybody gets them.
        """
        if event == "message":
            self.history.add(channel, data)
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

    @property
    def tokens_made(self) -> int:
        """Logins that got a pair since the first start."""
        return self.journal.count(TokenMade)

    @property
    def tokens_refreshed(self) -> int:
        """Refreshes that got a pair since the first start."""
        return self.journal.count(TokenRefreshed)

    @property
    def tokens_checked(self) -> int:
        """Questions whether a token is good since the first start."""
        return self.journal.count(TokenChecked)

    def api_requests(self, path: str = "*") -> int:
        """Count the HTTP requests in the journal whose path matches a shell pattern."""
        return sum(fnmatchcase(entry.path, path) for entry in self.journal.of(ApiRequested))

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
