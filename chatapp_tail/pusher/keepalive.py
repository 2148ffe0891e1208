"""Deadlines of pings, pongs and reports of idleness; pure, with time as an argument.

Pings are sent on a clock, not only when the connection is idle. Any frame answers a ping, so a dead
link is noticed within `ping_interval` + `pong_timeout` of its last frame. Times are monotonic
seconds; a deadline that is not set is infinite.
"""

from math import inf

from .events import Idle
from .timing import Timing


class Keepalive:
    """The keepalive of one connection, whose WebSocket upgrade finished at `now`."""

    def __init__(self, timing: Timing, now: float) -> None:
        self._timing = timing
        self._ping_interval = timing.ping_interval
        self._last_pong: float | None = None
        self.ping_due = inf
        """When the next ping is to be sent."""
        self.pong_due = inf
        """When a ping without an answer ends the connection."""
        self.idle_due = inf
        """When `idle` may have something to report."""
        self.last_frame = now
        """When a frame of any kind came."""
        self.last_event = now
        """When a channel event came."""

    def start(self, now: float, activity_timeout: object) -> None:
        """Begin to ping, at the shorter of the interval and the server's `activity_timeout`."""
        self._ping_interval = _ping_interval(self._timing.ping_interval, activity_timeout)
        self.ping_due = now + self._ping_interval
        self.idle_due = now + self._timing.quiet_interval

    def deadline(self) -> float:
        """Return the earliest of all deadlines."""
        return min(self.ping_due, self.pong_due, self.idle_due)

    def receive_frame(self, now: float) -> None:
        """Note a frame: it proves that the link is alive and answers the pending ping."""
        self.last_frame = now
        self.pong_due = inf

    def receive_pong(self, now: float) -> None:
        """Note a `pusher:pong`, for the report of idleness."""
        self._last_pong = now

    def ping_sent(self, now: float) -> None:
        """Note a ping; the oldest one without an answer sets the deadline of the pong."""
        self.ping_due = now + self._ping_interval
        self.pong_due = min(self.pong_due, now + self._timing.pong_timeout)

    def idle(self, now: float) -> Idle | None:
        """Return a report, when it is due, if no channel event came for `quiet_interval`."""
        due = self.last_event + self._timing.quiet_interval
        # Compared with the sum that is the next deadline: a difference is rounded otherwise, and
        # could leave a deadline that stays due.
        if now < due:
            self.idle_due = due
            return None
        self.idle_due = now + self._timing.quiet_interval
        pong_age = None if self._last_pong is None else now - self._last_pong
        return Idle(now - self.last_event, now - self.last_frame, pong_age)


def _ping_interval(own: float, activity_timeout: object) -> float:
    """Return the shorter of the two intervals; a server may send anything for its own."""
    if isinstance(activity_timeout, bool) or not isinstance(activity_timeout, int | float):
        return own
    return min(own, max(1.0, activity_timeout)) if activity_timeout > 0 else own
