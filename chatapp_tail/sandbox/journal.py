"""What the clients did, in the order the server saw it, and waiting for it without polling.

`at` is `time.monotonic()` in seconds in every entry.
"""

import threading
import time
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal, TypeVar

KEPT_ENTRIES = 100_000
"""A sandbox left running for weeks forgets its oldest entries; the counts stay right."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Connected:
    """An upgrade was accepted; `established` is False when the handshake was withheld.

    `path` is without the query; `query` and `headers` are (name, value) pairs as they came.
    """

    socket_id: str
    path: str
    query: tuple[tuple[str, str], ...]
    headers: tuple[tuple[str, str], ...] = field(repr=False)
    established: bool
    at: float = field(default_factory=time.monotonic)


@dataclass(frozen=True, slots=True, kw_only=True)
class UpgradeRefused:
    """An upgrade was answered with an HTTP status other than 101."""

    path: str
    status: int
    at: float = field(default_factory=time.monotonic)


@dataclass(frozen=True, slots=True, kw_only=True)
class Subscribed:
    """A `pusher:subscribe` came, and this is what became of it."""

    socket_id: str
    channel: str
    outcome: Literal["confirmed", "refused", "withheld"]
    at: float = field(default_factory=time.monotonic)


@dataclass(frozen=True, slots=True, kw_only=True)
class Unsubscribed:
    """A `pusher:unsubscribe` came."""

    socket_id: str
    channel: str
    at: float = field(default_factory=time.monotonic)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pinged:
    """A `pusher:ping` came."""

    socket_id: str
    at: float = field(default_factory=time.monotonic)


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientFrame:
    """A message came that is none of the above: a pong, a client event, or no JSON at all."""

    socket_id: str
    content: str | bytes
    at: float = field(default_factory=time.monotonic)


@dataclass(frozen=True, slots=True, kw_only=True)
class AuthRequested:
    """A channel authorisation was asked for; it is written down before it is answered.

    `peer_port` is the client's TCP port, which stays the same on a kept-alive connection.
    """

    socket_id: str
    channel: str
    peer_port: int
    content_type: str
    headers: tuple[tuple[str, str], ...] = field(repr=False)
    at: float = field(default_factory=time.monotonic)


@dataclass(frozen=True, slots=True, kw_only=True)
class AuthAnswered:
    """A channel authorisation is about to be answered with this HTTP status."""

    socket_id: str
    channel: str
    status: int
    at: float = field(default_factory=time.monotonic)


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiRequested:
    """Any HTTP request came, authorisations too; it is written down before it is answered.

    `path` is percent-encoded still and without the query, whose pairs are decoded.
    """

    method: str
    path: str
    query: tuple[tuple[str, str], ...]
    headers: tuple[tuple[str, str], ...] = field(repr=False)
    peer_port: int
    at: float = field(default_factory=time.monotonic)


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiAnswered:
    """An HTTP request is about to be answered with this status; 0: it gets no answer."""

    method: str
    path: str
    status: int
    at: float = field(default_factory=time.monotonic)


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenMade:
    """Someone logged in and is about to get a new pair."""

    email: str
    app_id: str
    at: float = field(default_factory=time.monotonic)


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenRefreshed:
    """A pair was replaced by a new one."""

    at: float = field(default_factory=time.monotonic)


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenChecked:
    """Someone asked whether a token is good, and this is the truth."""

    valid: bool
    at: float = field(default_factory=time.monotonic)


@dataclass(frozen=True, slots=True, kw_only=True)
class Closed:
    """A socket is gone.

    `code` and `reason` are those of the client's close frame, 1006 and "" when none came;
    `by_server` is True when the server sent its close frame first.
    """

    socket_id: str
    code: int
    reason: str
    by_server: bool
    at: float = field(default_factory=time.monotonic)


Entry = (
    Connected
    | UpgradeRefused
    | Subscribed
    | Unsubscribed
    | Pinged
    | ClientFrame
    | AuthRequested
    | AuthAnswered
    | ApiRequested
    | ApiAnswered
    | TokenMade
    | TokenRefreshed
    | TokenChecked
    | Closed
)

E = TypeVar("E", bound=Entry)


class Journal:
    """An append-only list of entries that any thread may read, count or wait on."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._entries: deque[Entry] = deque(maxlen=KEPT_ENTRIES)
        self._counts: Counter[type[Entry]] = Counter()

    def add(self, entry: Entry) -> None:
        """Append an entry and wake everyone who waits."""
        with self._changed:
            self._entries.append(entry)
            self._counts[type(entry)] += 1
            self._changed.notify_all()

    def entries(self) -> tuple[Entry, ...]:
        """Return a snapshot, oldest first."""
        with self._changed:
            return tuple(self._entries)

    def of(self, kind: type[E]) -> tuple[E, ...]:
        """Return the entries of one kind, oldest first."""
        return tuple(entry for entry in self.entries() if isinstance(entry, kind))

    def count(self, kind: type[Entry]) -> int:
        """Return how many entries of one kind there ever were."""
        with self._changed:
            return self._counts[kind]

    def wait_for(self, predicate: Callable[[], object], timeout: float) -> None:
        """Return as soon as `predicate()` is true; it is asked again after every entry.

        Raises TimeoutError after `timeout` seconds, naming the last things that happened.
        """
        with self._changed:
            if not self._changed.wait_for(predicate, timeout):
                raise TimeoutError(f"not seen within {timeout:g} s; {self._recent()}")

    def _recent(self) -> str:
        recent = list(self._entries)[-10:]
        return "last entries: " + (", ".join(map(repr, recent)) or "none")
