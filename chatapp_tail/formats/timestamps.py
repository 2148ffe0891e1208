"""Moments as RFC 3339 timestamps, the same in every format."""

import time
from functools import lru_cache


@lru_cache(maxsize=16)
def timestamp(nanoseconds: int) -> bytes:
    """Return a moment as RFC 3339 in UTC with microseconds: `2026-11-22T08:39:00.123456Z`."""
    seconds, rest = divmod(nanoseconds, 1_000_000_000)
    return b"%b.%06dZ" % (_second(seconds), rest // 1000)


@lru_cache(maxsize=16)
def _second(seconds: int) -> bytes:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds)).encode()
