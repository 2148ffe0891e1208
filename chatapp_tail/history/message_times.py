"""The service's clock, as the times of messages tell it; it may differ from ours.

History that is read from the newest time seen in a channel misses nothing, however our clock was
set since. And the times of the first live messages tell when a channel was tailed first by the
service's clock; older messages of history are not shown.
"""

import time
from collections.abc import Mapping
from math import ceil
from typing import NamedTuple

import msgspec

from .. import raw_json
from ..chatapp.records import Record

_SECOND = 10**9
_FUTURE_TOLERANCE = 600 * _SECOND
"""Nanoseconds by which a time may be ahead of our clock and still be accepted."""
_START_WINDOW = 60.0
"""Seconds after the begin of a channel in which the times of live messages tell when it was."""


class _Timed(msgspec.Struct, gc=False):
    time: int | float | None = None


_decode = msgspec.json.Decoder(_Timed).decode


class _Begin(NamedTuple):
    """When a channel was tailed first: by our clock (nanoseconds), and monotonic."""

    at: int
    since: float


class MessageTimes:
    """Whole seconds since the epoch, by the service's clock, for each channel.

    `newest` is the newest time of a message; `begins` the moment at which the channel was tailed
    first, or a little earlier, if it is known.
    """

    def __init__(
        self, newest: Mapping[str, int] | None = None, begins: Mapping[str, int] | None = None
    ) -> None:
        self.newest = dict(newest or {})
        self.begins = dict(begins or {})
        self._begun: dict[str, _Begin] = {}
        self._last_look: dict[str | None, int] = {}

    def begin(self, channel: str, at: int) -> None:
        """Note that a channel is tailed from now on, at `at` by our clock (nanoseconds)."""
        self._begun[channel] = _Begin(at, time.monotonic())

    def begin_earlier(self, channel: str, at: int) -> None:
        """Note that a channel is tailed from an earlier moment on, the begin of a gap."""
        begin = self._begun.get(channel)
        if begin is None or begin.at <= at:
            return
        seconds = (begin.at - at) / _SECOND
        self._begun[channel] = _Begin(at, begin.since - seconds)
        if channel in self.begins:
            self.begins[channel] -= ceil(seconds)

    def note(self, record: Record) -> None:
        """Take the time of a live message into account; once per second is enough."""
        if not 0 <= record.received - self._last_look.get(record.channel, 0) < _SECOND:
            self._look(record)

    def wants(self, record: Record) -> bool:
        """Take a message from history into account; return whether it is after the begin."""
        moment = _time_of(record.data)
        if moment is None or record.channel is None:
            return True
        self._note_newest(record.channel, moment, record.received)
        return moment >= self.begins.get(record.channel, 0)

    def _look(self, record: Record) -> None:
        channel, moment = record.channel, _time_of(record.data)
        if channel is None or moment is None:
            self._last_look[channel] = record.received
            return
        self._note_newest(channel, moment, record.received)
        self._note_begin(channel, moment, record.received)
        if moment >= self.newest.get(
            channel, 0
        ):  # else an edit of an old message: wait for the next one
            self._last_look[channel] = record.received

    def _note_newest(self, channel: str, moment: int, received: int) -> None:
        if moment * _SECOND <= received + _FUTURE_TOLERANCE:
            self.newest[channel] = max(moment, self.newest.get(channel, 0))

    def _note_begin(self, channel: str, moment: int, received: int) -> None:
        """Derive the begin from a live message; the earliest one where the clocks disagree."""
        begin = self._begun.get(channel)
        if begin is None or moment * _SECOND > received + _SECOND:
            return
        elapsed = max((received - begin.at) / _SECOND, time.monotonic() - begin.since)
        if elapsed <= _START_WINDOW:
            start = moment - ceil(elapsed)
            self.begins[channel] = max(start, self.begins.get(channel, start))


def _time_of(item: bytes) -> int | None:
    """Return the time of a message, None where it has no valid one."""
    try:
        moment = _decode(item).time
    except raw_json.DECODE_ERRORS:
        return None
    return int(moment) if moment is not None and 0 <= moment < 2**33 else None
