"""The token pairs that are out, and for how long each is good."""

import secrets
import string
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

DAY = 24 * 60 * 60
ACCESS_LIFETIME = float(DAY)
"""Seconds an access token is good for."""
REFRESH_LIFETIME = float(14 * DAY)
"""Seconds a refresh token is good for."""
TOKENS_PER_DAY = 100
"""ChatApp's quota for one email and appId."""

_BCRYPT_LETTERS = string.ascii_letters + string.digits + "./"


@dataclass(frozen=True, slots=True)
class TokenPair:
    """Two tokens and the unix times, in seconds, from which on they are refused."""

    access: str = field(repr=False)
    access_end: float
    refresh: str = field(repr=False)
    refresh_end: float


class TokenIssuer:
    """Makes, replaces and judges the tokens of one account. Any thread may ask.

    `fixed` is an access token that was never made here: it is good until it is voided.
    Lifetimes are in seconds; `per_day` counts the pairs made within the last 24 hours, since
    how ChatApp cuts its days is not documented.
    """

    def __init__(
        self,
        fixed: str,
        *,
        access_lifetime: float,
        refresh_lifetime: float,
        per_day: int,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._fixed: str | None = fixed
        """None once it is voided."""
        self._access_lifetime = access_lifetime
        """Seconds."""
        self._refresh_lifetime = refresh_lifetime
        """Seconds."""
        self._per_day = per_day
        """The quota of pairs."""
        self._clock = clock
        """Returns seconds since the epoch."""
        self._lock = threading.Lock()
        """Held by every method: all of the following change together."""
        self._made: deque[float] = deque()
        """When the pairs that count for the quota were made."""
        self._access_ends: dict[str, float] = {}
        """Access token -> when it ends."""
        self._pairs: dict[str, TokenPair] = {}
        """Refresh token -> its pair."""

    def make(self) -> TokenPair | None:
        """Return a new pair; None once the day's quota is used up."""
        with self._lock:
            now = self._clock()
            self._forget(now)
            if len(self._made) >= self._per_day:
                return None
            self._made.append(now)
            return self._issue(now)

    def refresh(self, refresh_token: str | None) -> TokenPair | None:
        """Return a new pair, the old one void at once; None for a token that is not good."""
        with self._lock:
            now = self._clock()
            old = self._pairs.get(refresh_token or "")
            if old is None or old.refresh_end <= now:
                return None
            self._void(old)
            return self._issue(now)

    def is_valid(self, access_token: str | None) -> bool:
        """Say whether an access token is good now."""
        with self._lock:
            if access_token is None:
                return False
            if access_token == self._fixed:
                return True
            return self._access_ends.get(access_token, 0.0) > self._clock()

    def expire_access_tokens(self) -> None:
        """Let every access token made so far end now; their refresh tokens stay good."""
        with self._lock:
            self._access_ends.clear()

    def expire_refresh_tokens(self) -> None:
        """Let every refresh token made so far end now; their access tokens stay good."""
        with self._lock:
            self._pairs.clear()

    def void_fixed(self) -> None:
        """Refuse the fixed token from now on."""
        with self._lock:
            self._fixed = None

    def _issue(self, now: float) -> TokenPair:
        pair = TokenPair(
            _new_token(), now + self._access_lifetime, _new_token(), now + self._refresh_lifetime
        )
        self._access_ends[pair.access] = pair.access_end
        self._pairs[pair.refresh] = pair
        return pair

    def _void(self, pair: TokenPair) -> None:
        self._access_ends.pop(pair.access, None)
        self._pairs.pop(pair.refresh, None)

    def _forget(self, now: float) -> None:
        while self._made and self._made[0] <= now - DAY:
            self._made.popleft()
        self._access_ends = {t: end for t, end in self._access_ends.items() if end > now}
        self._pairs = {t: pair for t, pair in self._pairs.items() if pair.refresh_end > now}


def _new_token() -> str:
    """Make up 60 characters that look like a bcrypt hash, as ChatApp's tokens do."""
    return "$2y$10$" + "".join(secrets.choice(_BCRYPT_LETTERS) for _ in range(53))
