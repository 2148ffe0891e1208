"""When a tail ends by itself, and how long it takes to end once it is asked to.

Moments are monotonic seconds, given by the caller.
"""

from collections.abc import Callable
from math import inf

import msgspec

GOODBYE = 1.0
"""Seconds for which the end waits for the connection's last item."""
_LEAST = 0.1
STALL = 10.0
"""Seconds without a byte taken after which the end no longer waits for stdout's reader."""
_CHECK_EVERY = 0.1
"""Seconds after which a busy tail looks for what may end it, or is asked of it."""


class Limits(msgspec.Struct, frozen=True):
    """When to stop by ourselves, whichever comes first.

    After `count` lines, after `duration` seconds, after `idle` seconds without a line.
    """

    count: int | None = None
    duration: float | None = None
    idle: float | None = None

    @property
    def shortest(self) -> float:
        """Seconds after which nothing at all has come and it is over; inf without a limit."""
        return min(
            [limit for limit in (self.duration, self.idle) if limit is not None], default=inf
        )


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


class Deadlines:
    """When the main thread acts even if no item comes: its limits, and its shutdown."""

    def __init__(self, limits: Limits, now: float) -> None:
        self.limits = limits
        self.shutdown = Shutdown()
        self.check_due = 0.0
        """When `check` is called next, however many items there are."""
        self._time_limits = TimeLimits(limits.duration, limits.idle, now)
        self._interrupt_patience = inf

    @property
    def interrupted(self) -> bool:
        """Whether a signal asked for the end."""
        return self._interrupt_patience < inf

    def interrupt(self, patience: float) -> None:
        """Have the next `check` ask for the end; for a signal handler."""
        self._interrupt_patience = patience

    def note_line(self, now: float) -> None:
        """Begin to count idleness."""
        self._time_limits.note_line(now)

    def due(self, *, idles: bool, for_room: bool) -> float:
        """Return the next deadline of a wait: for room in stdout, or else for items.

        While lines wait for room, the connection's last item is not waited for.
        """
        due = self.shutdown.gives_up_at if for_room else self.shutdown.goodbye_ends
        return due if self.shutdown.asked else min(due, self._time_limits.until(idles=idles))

    def check(self, now: float, *, idles: bool, failed: bool) -> bool:
        """Ask for the end if it is time or something `failed`; return whether it begins now."""
        self.check_due = now + _CHECK_EVERY
        was_asked = self.shutdown.asked
        if self.interrupted:
            self.shutdown.ask(now, self._interrupt_patience)
        elif failed or now >= self._time_limits.until(idles=idles):
            self.shutdown.ask(now)
        return self.shutdown.asked and not was_asked
