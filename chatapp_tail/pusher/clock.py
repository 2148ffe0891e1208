"""Reads the clocks that a `Moment` is made of."""

import time

from .moments import Moment

# On Linux the monotonic clock stands still while the machine sleeps; this one does not.
_STEADY = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


def moment() -> Moment:
    """Return what both clocks say now."""
    return Moment(time.time_ns(), time.clock_gettime_ns(_STEADY))
