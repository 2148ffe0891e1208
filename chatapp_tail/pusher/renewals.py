"""Knows for how long it is unproved that the server kept a subscription.

Some servers forget a subscription on a link that lives, and a request repeated renews it without a
word: the answer is the same whether it had been forgotten or not. So what happened before such an
answer, since the last proof, has to be looked for in history. That is done one audit later, when
all that was under way at the time has come: what history has then and the link had not was lost.
"""

import msgspec

from ..items import RENEWED, Gap
from .moments import Moment

_BETWEEN_CHECKS = 2 * 10**9
"""Nanoseconds that each channel adds to the time between two checks of one: a request per line
every three minutes, and never more than one every two seconds."""


class Span(msgspec.Struct, frozen=True):
    """From the last proof of a subscription to a request that may have renewed it."""

    since: Moment
    until: Moment
    noted: Moment

    def gap(self, channel: str, now: Moment) -> Gap:
        """Return what history is to be asked for."""
        since, until = self.since.seen_from(now), self.until.seen_from(now)
        earliest = self.since.earliest(now)
        read_from = earliest if earliest < since else None
        return Gap(channel, since, until, RENEWED, read_from=read_from)


class Renewals:
    """Of each channel the last moment at which the subscription was proved, by one link."""

    def __init__(self) -> None:
        self._held: dict[str, Moment] = {}
        self._unproved: dict[str, Span] = {}

    def held(self, channel: str, at: Moment) -> None:
        """Note that the subscription is known to have been there at a moment."""
        self._held[channel] = at

    def heard(self, channel: str, at: Moment) -> None:
        """Note that an event of a channel came, which only a subscription brings."""
        if channel in self._held:
            self._held[channel] = at

    def renewed(self, channel: str, asked: Moment) -> Span | None:
        """Note that a request of a subscribed channel was granted as if it was new.

        Return what has to be looked for in history now: what was unproved before.
        """
        earlier = self._unproved.get(channel)
        due = earlier is not None and self._is_due(earlier, asked)
        kept = earlier if earlier and not due else Span(self._held[channel], asked, asked)
        self._unproved[channel] = Span(kept.since, asked, kept.noted)
        self._held[channel] = asked
        return earlier if due else None

    def _is_due(self, span: Span, now: Moment) -> bool:
        waited = (now.elapsed or 0) - (span.noted.elapsed or 0)
        return waited >= len(self._held) * _BETWEEN_CHECKS

    def forget(self, channel: str) -> Moment | None:
        """Return since when it is unproved that a channel was subscribed; it no longer is."""
        held, span = self._held.pop(channel, None), self._unproved.pop(channel, None)
        return span.since if span else held
