"""Determines the spans of time for which the coverage of a channel is not proved.

Protocol 7 delivers at most once and keeps no history, so delivery of every event cannot be
promised. What can be promised is to know when one may be missing. A frame that arrives proves
little about the moment it is read: it may have been in transit for a while, and what was sent after
it may be lost with the link. Only an answer proves something, namely about the moment of the
request. So a gap begins when the last ping that was answered was sent, or the last request for the
channel that was confirmed, and it ends with the new confirmation.

An answered ping proves the link, not the subscription, which a server can drop on a live link. So
history is read from the last moment at which the subscription itself was proved.
"""

from collections import deque

import msgspec

from ..items import Gap
from .moments import Moment
from .renewals import Renewals, UnprovedRange


class Loss(msgspec.Struct, frozen=True):
    """A channel is not covered from `since` on; `proved` is the last proof of its subscription."""

    since: Moment
    reason: str
    proved: Moment | None = None

    def until(self, channel: str, end: Moment, *, final: bool = False) -> Gap:
        """Return the gap from this loss to `end`, by the wall clock as it is then."""
        since = self.since.seen_from(end)
        read_from = min(moment.earliest(end) for moment in (self.since, self.proved or self.since))
        earlier = read_from if read_from < since else None
        return Gap(channel, since, end.wall, self.reason, final, read_from=earlier)


class GapTracker:
    """Opens a gap per channel when a link is lost and closes it on the next confirmation."""

    def __init__(self) -> None:
        self._open: dict[str, Loss] = {}

    def open(self, channel: str, loss: Loss) -> None:
        """Note that coverage of `channel` is no longer proved; an older gap stays open."""
        self._open.setdefault(channel, loss)

    def close(self, channel: str, until: Moment) -> Gap | None:
        """Return the gap that a confirmation at `until` closes, if any."""
        loss = self._open.pop(channel, None)
        return loss.until(channel, until) if loss else None

    def close_all(self, until: Moment) -> list[Gap]:
        """Return the gaps that are still open at the end."""
        gaps = [loss.until(channel, until, final=True) for channel, loss in self._open.items()]
        self._open.clear()
        return gaps


class WatermarkTracker:
    """What one link has proved so far, by requests that were answered."""

    def __init__(self) -> None:
        self._pings: deque[Moment] = deque()
        self._answered: Moment | None = None
        self._asked: dict[str, deque[Moment]] = {}
        self._confirmed: dict[str, Moment] = {}
        self._renewals = Renewals()

    def ping_sent(self, at: Moment) -> None:
        """Note the moment just before a ping is sent."""
        self._pings.append(at)

    def pong_came(self) -> bool:
        """Note an answer to the oldest pending ping; False if none is pending."""
        if not self._pings:
            return False
        self._answered = self._pings.popleft()
        return True

    def channel_asked(self, channel: str, at: Moment) -> None:
        """Note the moment just before a request for a channel is sent."""
        self._asked.setdefault(channel, deque()).append(at)

    def channel_denied(self, channel: str) -> None:
        """Note that the oldest pending request for a channel was rejected."""
        if asked := self._asked.get(channel):
            asked.popleft()

    def channel_confirmed(self, channel: str) -> None:
        """Note that the oldest pending request for a channel was granted.

        A confirmation may arrive after the request was repeated; it proves the moment of the first.
        """
        if asked := self._asked.pop(channel, None):
            self._confirmed[channel] = asked[0]
            self._renewals.held(channel, asked[0])

    def channel_reconfirmed(self, channel: str, *, certain: bool) -> UnprovedRange | None:
        """Note the same of a subscribed channel; return the span to be read from history, if any.

        `certain` if the server reports that the subscription existed all the time.
        """
        asked = self._asked.pop(channel, None)
        if not asked:
            return None
        self._confirmed[channel] = asked[0]
        if not certain:
            return self._renewals.renewed(channel, asked[0])
        self._renewals.held(channel, asked[0])
        return None

    def event_came(self, channel: str, at: Moment) -> None:
        """Note that an event of a channel arrived; calls for only some of them suffice."""
        self._renewals.heard(channel, at)

    def forget(self, channel: str, reason: str) -> Loss:
        """Return the loss of a channel whose subscription the server dropped."""
        return Loss(self._confirmed.pop(channel), reason, self._renewals.forget(channel))

    def losses(self, reason: str) -> dict[str, Loss]:
        """Return the loss of every subscribed channel when the link ends."""
        return {
            channel: Loss(self._covered(confirmed), reason, self._renewals.forget(channel))
            for channel, confirmed in self._confirmed.items()
        }

    def covered_until(self, now: Moment) -> dict[str, int]:
        """Return until when each subscribed channel was covered, by the wall clock as it is now."""
        return {channel: self.covers(channel, now) for channel in self._confirmed}

    def covers(self, channel: str, now: Moment) -> int:
        """Return until when one subscribed channel was covered."""
        return self._covered(self._confirmed[channel]).seen_from(now)

    def _covered(self, confirmed: Moment) -> Moment:
        answered = self._answered
        return answered if answered and answered.after(confirmed) else confirmed
