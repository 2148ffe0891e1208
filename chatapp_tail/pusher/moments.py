"""Moments whose distance stays known when the wall clock is set.

A wall clock can be set at any time, and the difference of two of its readings is meaningless then.
So a moment has a second reading, of a steady clock, from which its wall time is derived when it is
needed. All values are nanoseconds; no clock is read here.
"""

import msgspec

_MOST_FORWARD = 3600 * 10**9


class Moment(msgspec.Struct, frozen=True):
    """`wall` is a reading of the wall clock (since the epoch), `elapsed` of the steady clock.

    `elapsed` is None for a moment known by its wall time alone, such as one of an earlier run.
    """

    wall: int
    elapsed: int | None = None

    def seen_from(self, now: "Moment") -> int:
        """Return the time of this moment by the wall clock as of `now`, which it never exceeds."""
        if self.elapsed is None or now.elapsed is None:
            return min(self.wall, now.wall)
        return now.wall - max(0, now.elapsed - self.elapsed)

    def earliest(self, now: "Moment") -> int:
        """Return the earlier of the recorded time and the one derived as of `now`.

        It cannot be known which of the two is wrong; with the earlier one nothing is missed. Of a
        correction forward by more than an hour, as after a boot without a battery, one hour is
        used: older messages are not part of the gap.
        """
        derived = self.seen_from(now)
        return max(min(self.wall, derived), derived - _MOST_FORWARD)

    def after(self, other: "Moment") -> bool:
        """Return whether this moment of the same run is later than `other`."""
        return (self.elapsed or 0) > (other.elapsed or 0)
