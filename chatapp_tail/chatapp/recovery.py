"""Gaps in, messages out: what of history belongs to a gap, in the shape of live events."""

import time
from collections.abc import Iterator, Mapping, Sequence

import msgspec
from msgspec.structs import replace

from ..pusher.items import ASKED, NOT_RUNNING, ChannelEvent, Gap
from .channels import license_and_messenger, of_license
from .history import History, Line, Message, Span

OVERLAP = 30
"""Seconds read before and after a gap, since a message's own time is by another clock than ours."""

_OVERLAPS = {ASKED: 0, NOT_RUNNING: 300}
"""The same where a gap does not begin at an answered ping: not at all before the moment a user
names; and for longer before an earlier run ended, lest its server had forgotten it."""

_CLOCKS = 10
"""Seconds by which a clock of ours that is ahead must not cost what came just after the start."""


def recover(
    history: History,
    gaps: Sequence[Gap],
    began: Mapping[str, int],
    newest: Mapping[str, int] = {},
) -> Iterator[ChannelEvent | Gap]:
    """Yield the messages of all gaps in the order of their time, and then each gap, filled.

    `began` has, by channel, when it was tailed first (nanoseconds): what is older is nobody's gap.
    A channel that had several gaps is read once, for all of them.
    """
    troubles: dict[Line, list[str]] = {}
    spans: dict[Line, Span] = {}
    for gap in gaps:
        span = _span(gap, began.get(gap.channel, 0))
        spans[span.line] = _joined(spans.get(span.line, span), span)

    def note(line: Line, why: str) -> None:
        troubles.setdefault(line, []).append(why)

    for message in history.messages(list(spans.values()), note):
        yield _event(message)
    for gap in gaps:
        yield replace(gap, missing=_summed_up(troubles.get(_line(gap.channel), [])))


def _joined(one: Span, other: Span) -> Span:
    """Return both spans of a line as one, which is read once."""
    return Span(one.line, min(one.since, other.since), max(one.until, other.until))


def _span(gap: Gap, began: int) -> Span:
    since = gap.since // 10**9 - _OVERLAPS.get(gap.reason, OVERLAP)
    until = gap.until // 10**9 + 1 + OVERLAP
    return Span(_line(gap.channel), max(since, began // 10**9 - _CLOCKS), until)


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


def _summed_up(troubles: Sequence[str]) -> str | None:
    if not troubles:
        return None
    others = len(set(troubles)) - 1
    return troubles[0] + (f" (and {others} more failure{'s' * (others > 1)})" if others else "")
