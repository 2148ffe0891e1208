"""The limits that end a tail, and the deadlines of its shutdown.

Times are monotonic seconds, passed in by the caller.
"""

from collections.abc import Callable
from math import inf

import msgspec

CLOSE_TIMEOUT = 1.0
"""Seconds for which the shutdown waits for the connection's last item."""
_MIN_JOIN_TIMEOUT = 0.1
"""Seconds that the connection's thread has at least to end."""
STALL_TIMEOUT = 10.0
"""Seconds without a byte written after which the shutdown gives up stdout's reader."""
_CHECK_EVERY = 0.1
"""Seconds between two checks of a loop that never waits, for limits and signals."""


class Limits(msgspec.Struct, frozen=True):
    """What ends a tail without a signal: the first of these limits.

    `count` lines, `duration` seconds, or `idle` seconds without a line.
    """

    count: int | None = None
    duration: float | None = None
    idle: float | None = None

    @property
    def shortest(self) -> float:
        """Seconds after which a tail without any event ends; inf without a limit."""
        return min(
            [limit for limit in (self.duration, self.idle) if limit is not None], default=inf
        )


class Shutdown:
    """What a requested end still waits for: the connection's last item, and stdout's reader.

    The reader may be slow but must not stall: only the time without a byte written counts, and only
    while there are bytes to write.
    """

    def __init__(self) -> None:
        self.close_deadline = inf
        """When the connection's last item is given up; inf before the end is requested."""
        self._requested_at = inf
        """When the end was last requested with a shorter timeout."""
        self._stall_timeout = inf
        """Seconds for which stdout may take nothing."""
        self._blocked_since = inf
        """Since when stdout has taken nothing."""
        self._written = -1
        """Bytes written by then."""

    @property
    def requested(self) -> bool:
        """Whether the end is requested."""
        return self.close_deadline < inf

    @property
    def stall_timeout(self) -> float:
        """Seconds for which stdout may take nothing; inf before the end is requested."""
        return self._stall_timeout

    def request(self, now: float, stall_timeout: float = STALL_TIMEOUT) -> None:
        """Request the end; another request can only shorten the timeout."""
        if not self.requested:
            self.close_deadline = now + CLOSE_TIMEOUT
        if stall_timeout < self._stall_timeout:
            self._requested_at, self._stall_timeout = now, stall_timeout

    def close_timeout_left(self, now: float) -> float:
        """Return the seconds that the connection's thread may still take to end."""
        if not self.requested:
            return CLOSE_TIMEOUT
        return max(_MIN_JOIN_TIMEOUT, self.close_deadline - now)

    def note_blocked(self, now: float, written: int) -> None:
        """Note that a write waits for room, `written` bytes after the start."""
        if written != self._written:
            self._blocked_since, self._written = now, written

    @property
    def stall_deadline(self) -> float:
        """When stdout's reader is given up."""
        if self._blocked_since == inf:
            return inf
        return max(self._requested_at, self._blocked_since) + self._stall_timeout


class Heartbeat:
    """Calls `beat` every `interval` seconds."""

    def __init__(self, interval: float, beat: Callable[[], None]) -> None:
        self._interval = interval
        self._beat = beat
        self._due = 0.0

    def beat_if_due(self, now: float) -> float:
        """Beat if due; return when to call this again."""
        if now >= self._due:
            self._beat()
            self._due = now + self._interval
        return self._due


class Deadlines:
    """When the main thread acts even if no item arrives: at its limits, and in its shutdown."""

    def __init__(self, limits: Limits, now: float) -> None:
        self.limits = limits
        """What ends the tail without a signal."""
        self.shutdown = Shutdown()
        """What a requested end waits for."""
        self.check_due = 0.0
        """When to call `check` even while items keep arriving."""
        self._duration_ends = now + (inf if limits.duration is None else limits.duration)
        """When the tail ends in any case."""
        self._idle = inf if limits.idle is None else limits.idle
        """Seconds without a line after which the tail ends."""
        self._idle_ends = now + self._idle
        """When the tail ends without another line."""
        self._interrupt_timeout = inf
        """The stall timeout given by a signal; inf before it."""

    @property
    def interrupted(self) -> bool:
        """Whether a signal requested the end."""
        return self._interrupt_timeout < inf

    def interrupt(self, stall_timeout: float) -> None:
        """Have the next `check` request the end; for a signal handler."""
        self._interrupt_timeout = stall_timeout

    def note_line(self, now: float) -> None:
        """Restart the idle limit."""
        self._idle_ends = now + self._idle

    def due(self, *, idles: bool, for_room: bool) -> float:
        """Return the next deadline of a wait, for room in stdout or else for items.

        The close deadline applies only once all lines are written.
        """
        due = self.shutdown.stall_deadline if for_room else self.shutdown.close_deadline
        return due if self.shutdown.requested else min(due, self._limit(idles=idles))

    def check(self, now: float, *, idles: bool, failed: bool) -> bool:
        """Request the end at a limit or if the spool `failed`; return whether it begins now."""
        self.check_due = now + _CHECK_EVERY
        was_requested = self.shutdown.requested
        if self.interrupted:
            self.shutdown.request(now, self._interrupt_timeout)
        elif failed or now >= self._limit(idles=idles):
            self.shutdown.request(now)
        return self.shutdown.requested and not was_requested

    def _limit(self, *, idles: bool) -> float:
        """Return the first time limit; that of idleness counts only where the tail `idles`."""
        return min(self._duration_ends, self._idle_ends) if idles else self._duration_ends
