"""From gaps to their messages: which part of history belongs to a gap, as live events."""

import time
from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType

import msgspec
from msgspec.structs import replace

from ..chatapp.channels import license_and_messenger, of_license
from ..items import ASKED, NOT_RUNNING, ChannelEvent, Gap
from .reader import History, Message, MessengerRef, TimeRange

OVERLAP = 30
"""Seconds read before a gap, since the times of messages are by another clock than ours."""

_OVERLAPS = {ASKED: 0, NOT_RUNNING: 300}
"""The same for gaps that do not begin at an answered ping: none before the moment a user names;
more before the end of an earlier run, since the server may have lost its subscription before."""

_CLOCK_SKEW_TOLERANCE = 10
"""Seconds by which our clock may be ahead without losing the first messages after the start."""

_UNKNOWN_START_OVERLAP = 3600
"""Seconds read before the end of a gap whose begin is unknown."""

_SET_BACK = "the clock was set back, so it is not known since when"

_NO_TIMES: Mapping[str, int] = MappingProxyType({})


def recover(
    history: History,
    gaps: Sequence[Gap],
    first_seen: Mapping[str, int],
    newest: Mapping[str, int] = _NO_TIMES,
) -> Iterator[ChannelEvent | Gap]:
    """Yield the messages of all gaps in the order of their time, and then each gap, filled.

    `first_seen` has, by channel, when it was tailed first (nanoseconds): older messages are of no
    gap. `newest` has the newest time of a message in a channel before its gap (seconds, by the
    service's clock). Messages after a gap are read too, since no clock tells exactly where it ends.
    A channel with several gaps is read once for all of them. A gap has `given_up` set when a later
    run may be able to read what is missing.
    """
    failures: dict[MessengerRef, list[str]] = {}
    given_up: set[MessengerRef] = set()
    now = history.clock.wall()
    time_ranges = [
        _time_range(gap, first_seen.get(gap.channel, 0), newest.get(gap.channel), int(now))
        for gap in gaps
    ]

    def note(ref: MessengerRef, reason: str, transient: bool) -> None:
        failures.setdefault(ref, []).append(reason)
        if transient:
            given_up.add(ref)

    for gap, (time_range, begin_known) in zip(gaps, time_ranges, strict=True):
        if not begin_known:
            note(time_range.ref, f"{_SET_BACK} messages of {gap.channel} are missing", False)
    for message in history.messages([time_range for time_range, _ in time_ranges], note):
        yield _event(message)
    for gap, (time_range, _) in zip(gaps, time_ranges, strict=True):
        missing = _summarise(failures.get(time_range.ref, []))
        yield replace(gap, missing=missing, given_up=time_range.ref in given_up)


def _time_range(gap: Gap, first_seen: int, newest: int | None, now: int) -> tuple[TimeRange, bool]:
    """Return the time range to read for a gap, and whether its begin is known.

    A moment in the future, or after the end of the gap, comes from a clock that was set back since,
    and is ignored.
    """
    overlap = _OVERLAPS.get(gap.reason, OVERLAP)
    until = min(now, gap.until // 10**9)
    moments = [moment // 10**9 for moment in (gap.since, gap.read_from) if moment is not None]
    possible = [moment for moment in moments if moment <= until]
    service = None if newest is None or gap.reason == ASKED else newest - overlap
    ref = _messenger_ref(gap.channel)
    if not possible:
        known = service is not None and newest is not None and newest <= until
        return TimeRange(
            ref, until - (overlap if known else _UNKNOWN_START_OVERLAP), service
        ), known
    since, first_seen = min(possible), first_seen // 10**9
    # If the service's clock is behind ours, messages newer than `first_seen` have an older time.
    is_floor = first_seen <= since and (newest is None or newest >= first_seen)
    return TimeRange(
        ref, since - overlap, service, first_seen - _CLOCK_SKEW_TOLERANCE if is_floor else None
    ), True


def _messenger_ref(channel: str) -> MessengerRef:
    license_id, messenger = license_and_messenger(channel)
    assert license_id is not None
    assert messenger is not None
    return MessengerRef(license_id, messenger)


_encode = msgspec.json.encode


def _event(message: Message) -> ChannelEvent:
    """Return a message in ChatApp's envelope, as it would have come live, without the queue."""
    ref = message.ref
    data = b'{"queue":null,"payload":{"data":[%b],"meta":%b}}' % (
        message.item,
        _encode({"type": "message", "licenseId": ref.license, "messengerType": ref.messenger}),
    )
    return ChannelEvent(time.time_ns(), "message", of_license(*ref), data)


def _summarise(failures: Sequence[str]) -> str | None:
    if not failures:
        return None
    others = len(set(failures)) - 1
    return failures[0] + (f" (and {others} more failure{'s' * (others > 1)})" if others else "")
