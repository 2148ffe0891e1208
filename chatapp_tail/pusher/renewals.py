"""Determines the spans for which it is not proved that the server kept a subscription.

Some servers drop a subscription on a live link, and a repeated request renews it silently: the
answer is the same whether it had been dropped or not. So the events before such an answer, since
the last proof, have to be read from history. That is done one recheck later, when everything in
transit at the time has arrived: what is in history then and did not come over the link was lost.
"""

import msgspec

from ..items import RENEWED, Gap
from .moments import Moment

_BETWEEN_CHECKS = 2 * 10**9
"""Nanoseconds that each channel adds to the time between two checks of one channel: at most one
request every two seconds in total."""


class UnprovedRange(msgspec.Struct, frozen=True):
    """From the last proof of a subscription to a request that may have renewed it."""

    since: Moment
    until: Moment
    noted: Moment

    def gap(self, channel: str, now: Moment) -> Gap:
        """Return the gap to be filled from history."""
        since, until = self.since.seen_from(now), self.until.seen_from(now)
        earliest = self.since.earliest(now)
        read_from = earliest if earliest < since else None
        return Gap(channel, since, until, RENEWED, read_from=read_from)


class Renewals:
    """The last moment at which each subscription of one link was proved."""

    def __init__(self) -> None:
        self._held: dict[str, Moment] = {}
        self._unproved: dict[str, UnprovedRange] = {}

    def held(self, channel: str, at: Moment) -> None:
        """Note that the subscription is known to have existed at a moment."""
        self._held[channel] = at

    def heard(self, channel: str, at: Moment) -> None:
        """Note that an event of a channel came, which proves its subscription."""
        if channel in self._held:
            self._held[channel] = at

    def renewed(self, channel: str, asked: Moment) -> UnprovedRange | None:
        """Note that the request for a subscribed channel was granted as if it were new.

        Return an earlier span that is to be read from history now, if any.
        """
        earlier = self._unproved.get(channel)
        due = earlier is not None and self._is_due(earlier, asked)
        kept = earlier if earlier and not due else UnprovedRange(self._held[channel], asked, asked)
        self._unproved[channel] = UnprovedRange(kept.since, asked, kept.noted)
        self._held[channel] = asked
        return earlier if due else None

    def _is_due(self, span: UnprovedRange, now: Moment) -> bool:
        waited = (now.elapsed or 0) - (span.noted.elapsed or 0)
        return waited >= len(self._held) * _BETWEEN_CHECKS

    def forget(self, channel: str) -> Moment | None:
        """Remove a channel; return since when its subscription was not proved."""
        held, span = self._held.pop(channel, None), self._unproved.pop(channel, None)
        return span.since if span else held
