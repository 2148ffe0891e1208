"""Reads the two clocks of a `Moment`."""

import time

from .moments import Moment

# On Linux the monotonic clock stops while the computer sleeps; this one does not.
_STEADY = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


def moment() -> Moment:
    """Return the current time of both clocks."""
    return Moment(time.time_ns(), time.clock_gettime_ns(_STEADY))
