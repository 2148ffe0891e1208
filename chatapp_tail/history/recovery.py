"""Gaps in, messages out: what of history belongs to a gap, in the shape of live events."""

import time
from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType

import msgspec
from msgspec.structs import replace

from ..chatapp.channels import license_and_messenger, of_license
from ..items import ASKED, NOT_RUNNING, ChannelEvent, Gap
from .reader import History, Line, Message, Span

OVERLAP = 30
"""Seconds read before a gap, since a message's own time is by another clock than ours."""

_OVERLAPS = {ASKED: 0, NOT_RUNNING: 300}
"""The same where a gap does not begin at an answered ping: not at all before the moment a user
names; and for longer before an earlier run ended, since its server may have forgotten it."""

_CLOCKS = 10
"""Seconds by which a clock of ours that is ahead must not cost what came just after the start."""

_UNKNOWN = 3600
"""Seconds read before the end of a gap of which nothing says when it began."""

_SET_BACK = "the clock was set back, so it is not known since when"

_NONE: Mapping[str, int] = MappingProxyType({})


def recover(
    history: History,
    gaps: Sequence[Gap],
    began: Mapping[str, int],
    newest: Mapping[str, int] = _NONE,
) -> Iterator[ChannelEvent | Gap]:
    """Yield the messages of all gaps in the order of their time, and then each gap, filled.

    `began` has, by channel, when it was tailed first (nanoseconds): what is older is nobody's gap.
    `newest` has the newest time of a message that came in a channel before its gap (seconds, by the
    service's clock). Messages from after a gap are read too, since no clock tells where it ends. A
    channel that had several gaps is read once, for all of them. A gap comes with `given_up` when
    what it is missing may be there for a later run.
    """
    troubles: dict[Line, list[str]] = {}
    given_up: set[Line] = set()
    now = history.clock.wall()
    spans = [
        _span(gap, began.get(gap.channel, 0), newest.get(gap.channel), int(now)) for gap in gaps
    ]

    def note(line: Line, why: str, may_pass: bool) -> None:
        troubles.setdefault(line, []).append(why)
        if may_pass:
            given_up.add(line)

    for gap, (span, begin_known) in zip(gaps, spans, strict=True):
        if not begin_known:
            note(span.line, f"{_SET_BACK} messages of {gap.channel} are missing", False)
    for message in history.messages([span for span, _ in spans], note):
        yield _event(message)
    for gap, (span, _) in zip(gaps, spans, strict=True):
        missing = _summarise(troubles.get(span.line, []))
        yield replace(gap, missing=missing, given_up=span.line in given_up)


def _span(gap: Gap, began: int, newest: int | None, now: int) -> tuple[Span, bool]:
    """Return from when on to read for a gap, and whether it is known when that began.

    A moment that lies in the future, or after the end of the gap, was noted by a clock that was set
    back since then, and says nothing.
    """
    overlap = _OVERLAPS.get(gap.reason, OVERLAP)
    until = min(now, gap.until // 10**9)
    moments = [moment // 10**9 for moment in (gap.since, gap.read_from) if moment is not None]
    possible = [moment for moment in moments if moment <= until]
    service = None if newest is None or gap.reason == ASKED else newest - overlap
    line = _line(gap.channel)
    if not possible:
        known = service is not None and newest is not None and newest <= until
        return Span(line, until - (overlap if known else _UNKNOWN), service), known
    since, began = min(possible), began // 10**9
    # A service whose clock is behind ours gave what is newer than `began` an older time.
    is_floor = began <= since and (newest is None or newest >= began)
    return Span(line, since - overlap, service, began - _CLOCKS if is_floor else None), True


def _line(channel: str) -> Line:
    license_id, messenger = license_and_messenger(channel)
    assert license_id is not None
    assert messenger is not None
    return Line(license_id, messenger)


_encode = msgspec.json.encode


def _event(message: Message) -> ChannelEvent:
    """Return a message in ChatApp's envelope, as it would have come, but for the queue's name."""
    line = message.line
    data = b'{"queue":null,"payload":{"data":[%b],"meta":%b}}' % (
        message.item,
        _encode({"type": "message", "licenseId": line.license, "messengerType": line.messenger}),
    )
    return ChannelEvent(time.time_ns(), "message", of_license(*line), data)


def _summarise(troubles: Sequence[str]) -> str | None:
    if not troubles:
        return None
    others = len(set(troubles)) - 1
    return troubles[0] + (f" (and {others} more failure{'s' * (others > 1)})" if others else "")
