"""How history is asked for: patiently, at the common pace, and never without an end."""

import random
import time
from collections.abc import Callable, Mapping
from math import floor
from typing import NamedTuple

from ..chatapp.http import Response
from ..errors import ApiError, ChatAppTailError, CredentialsError
from ..net import parse_http_date
from .answers import Page, read_page
from .rate_limit import RateLimiter

AT_ONCE = 4
"""Requests under way at the same time."""

_PATIENCE = 600.0
"""Seconds without any answer after which reading ends."""

_ALONE = 60.0
"""Seconds after which one request is given up while others are answered."""

_FIRST_WAIT, _LONGEST_WAIT = 0.5, 30.0
_RETRY_AFTER_MAX = 300.0
_CLOCKS_AGREE = 5

Ask = Callable[[str, Mapping[str, str]], Response]
"""(path, query) -> the answer, as `Api.ask` gives it."""


class Clock(NamedTuple):
    """The clocks that reading goes by, so that a test need not wait; all in seconds."""

    wall: Callable[[], float] = time.time
    monotonic: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep


class Refusal(ApiError):
    """ChatApp itself refuses what was asked, and later would do so too."""


class _Trouble(NamedTuple):
    """What came of a request instead of a page; `asked_for` seconds the server wants to wait.

    `odd` is an answer that somebody else may have given, such as a gateway during a deploy.
    """

    error: ChatAppTailError
    asked_for: float = 0.0
    odd: bool = False


class HistoryRequests:
    """Asks for pages, again as long as it fails in a way that may pass.

    For a minute where other requests are answered, for ten where none is, and never for more than
    that time on average of the threads. `trouble` is what came back where it has to ask again.
    """

    def __init__(self, ask: Ask, limiter: RateLimiter, clock: Clock) -> None:
        self._ask = ask
        self._limiter = limiter
        self._clock = clock
        self.begin()

    def begin(self) -> None:
        """Forget what earlier reading came to."""
        self.trouble: str | None = None
        self.skew = 0
        """Seconds by which the service's clock is behind ours (negative) as far as is known."""
        self.heard_date = False
        self.answers = 0
        """How many requests were answered with what they asked for."""
        self._answered = self._clock.monotonic()
        self._lost = 0.0
        self._given_up: str | None = None

    def page(self, path: str, query: Mapping[str, str]) -> Page:
        """Return a page, however often it has to be asked for.

        Refusal when ChatApp refuses it; ApiError or CredentialsError when it cannot be had now.
        """
        begun, wait = self._clock.monotonic(), _FIRST_WAIT
        while True:
            if self._given_up is not None:
                raise ApiError(self._given_up)
            self._limiter.wait()
            tried = self._clock.monotonic()
            came = self._try(path, query)
            if isinstance(came, Page):
                return came
            self.trouble = str(came.error)
            begun += came.asked_for
            self._lost += self._clock.monotonic() - tried + wait
            if not self._may_pass(came, begun, wait):
                raise came.error
            self._clock.sleep(random.uniform(wait / 2, wait))
            wait = min(wait * 2, _LONGEST_WAIT)

    def _try(self, path: str, query: Mapping[str, str]) -> Page | _Trouble:
        try:
            reply = self._ask(path, query)
        except (ApiError, CredentialsError) as error:
            # A token that is refused may be renewed in a moment, by this process or another.
            return _Trouble(error)
        if reply.passing:
            asked_for = min(reply.retry_after or 0.0, _RETRY_AFTER_MAX)
            self._limiter.pause(asked_for)
            return _Trouble(ApiError(reply.said), asked_for)
        if _is_refusal(reply):
            self._note_answer(reply)
            raise Refusal(reply.said)
        try:
            page = read_page(reply)
        except ApiError as error:
            return _Trouble(error, odd=True)
        self._note_answer(reply)
        return page

    def _note_answer(self, reply: Response) -> None:
        self.trouble, self._answered = None, self._clock.monotonic()
        self.answers += 1
        date = parse_http_date(reply.headers.get("Date", ""))
        if date is not None:
            self.heard_date = True
            ahead = floor(date - self._clock.wall())
            # Only ever earlier: it may be another clock than that of the messages.
            self.skew = min(self.skew, ahead if ahead < -_CLOCKS_AGREE else 0)

    def _may_pass(self, trouble: _Trouble, begun: float, wait: float) -> bool:
        """Return whether to wait and ask again; with nobody answering, nothing else is asked."""
        after_wait = self._clock.monotonic() + wait
        if self._lost > _PATIENCE * AT_ONCE + self.answers:
            self._given_up = str(trouble.error)
        elif trouble.odd or self._answered > begun:
            return after_wait <= begun + min(_PATIENCE, _ALONE)
        elif after_wait > self._answered + _PATIENCE:
            self._given_up = str(trouble.error)
        return self._given_up is None


def _is_refusal(reply: Response) -> bool:
    """Return whether a failure is told by ChatApp itself, not by something in between."""
    return not reply.ok and reply.refuses and not 300 <= reply.status < 400
