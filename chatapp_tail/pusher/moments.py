"""Moments whose distance stays known when the wall clock is set.

A wall clock can be set back or forward at any time, and a span between two of its readings means
nothing then. So a moment holds a second reading, of a clock that only ever runs forward, and its
wall time is derived from that when it is needed. All in nanoseconds; no clock is read in here.
"""

import msgspec

_MOST_FORWARD = 3600 * 10**9


class Moment(msgspec.Struct, frozen=True):
    """`wall` is what the wall clock said (since the epoch), `elapsed` what the steady clock did.

    `elapsed` is None for a moment known by its wall time alone, such as one of an earlier run.
    """

    wall: int
    elapsed: int | None = None

    def seen_from(self, now: "Moment") -> int:
        """Return the wall time of this moment by the wall clock as it is `now`, never after it."""
        if self.elapsed is None or now.elapsed is None:
            return min(self.wall, now.wall)
        return now.wall - max(0, now.elapsed - self.elapsed)

    def earliest(self, now: "Moment") -> int:
        """Return the earlier of the time noted then and the one derived `now`.

        Which of the two clocks was wrong cannot be known, so nothing is missed if the earlier one
        counts. A clock that was corrected forward by more than an hour, as after a boot without a
        battery, counts for that hour only: older messages are nobody's gap.
        """
        derived = self.seen_from(now)
        return max(min(self.wall, derived), derived - _MOST_FORWARD)

    def after(self, other: "Moment") -> bool:
        """Return whether this moment of the same run is later than `other`."""
        return (self.elapsed or 0) > (other.elapsed or 0)
