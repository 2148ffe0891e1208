"""When a tail ends by itself, and how long it takes to end once it is asked to.

Moments are monotonic seconds, given by the caller.
"""

from collections.abc import Callable
from math import inf

GOODBYE = 1.0
"""Seconds for which the end waits for the connection's last item."""
_LEAST = 0.1
STALL = 10.0
"""Seconds without a byte taken after which the end no longer waits for stdout's reader."""


class TimeLimits:
    """Over `duration` seconds after `now`, or `idle` seconds after a line; None is never."""

    def __init__(self, duration: float | None, idle: float | None, now: float) -> None:
        self._idle = inf if idle is None else idle
        self._ends = now + (inf if duration is None else duration)
        self._idle_until = now + self._idle

    def note_line(self, now: float) -> None:
        """Begin to count idleness."""
        self._idle_until = now + self._idle

    def until(self, *, idles: bool) -> float:
        """Return when the first limit is reached; without `idles` it is not waiting for a line."""
        return min(self._ends, self._idle_until) if idles else self._ends


class Shutdown:
    """What is waited for once the end is asked for: the server's last item, and stdout's reader.

    A slow reader may take its time to the last byte, but must not stall: the time in which it took
    nothing is measured, and only while there is something for it to take.
    """

    def __init__(self) -> None:
        self.goodbye_ends = inf
        """Until when the connection's last item is waited for; inf before the end is asked for."""
        self._asked_at = inf
        self._patience = inf
        self._blocked_since = inf
        self._written = -1

    @property
    def asked(self) -> bool:
        """Whether the end was asked for."""
        return self.goodbye_ends < inf

    @property
    def patience(self) -> float:
        """Seconds for which stdout may take nothing; inf before the end is asked for."""
        return self._patience

    def ask(self, now: float, patience: float = STALL) -> None:
        """Begin to end; asked again, it only may become less patient."""
        if not self.asked:
            self.goodbye_ends = now + GOODBYE
        if patience < self._patience:
            self._asked_at, self._patience = now, patience

    def goodbye_left(self, now: float) -> float:
        """Return for how many seconds the connection's thread may still take to end."""
        return max(_LEAST, self.goodbye_ends - now) if self.asked else GOODBYE

    def note_blocked(self, now: float, written: int) -> None:
        """Note that stdout has no room, after so many bytes."""
        if written != self._written:
            self._blocked_since, self._written = now, written

    @property
    def gives_up_at(self) -> float:
        """When stdout's reader is no longer waited for."""
        if self._blocked_since == inf:
            return inf
        return max(self._asked_at, self._blocked_since) + self._patience


class Heartbeat:
    """Calls `beat` every `interval` seconds."""

    def __init__(self, interval: float, beat: Callable[[], None]) -> None:
        self._interval = interval
        self._beat = beat
        self._due = 0.0

    def beat_if_due(self, now: float) -> float:
        """Beat if it is time; return when to call this again."""
        if now >= self._due:
            self._beat()
            self._due = now + self._interval
        return self._due
