"""What was published against what was received: the promises, checked, and the verdict."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from .journal import Receipt, ReportedGap
from .publisher import Published

SECOND = 1_000_000_000
_RECORD_PRECISION = 1_000
"""Records give microseconds, cut off."""


@dataclass(frozen=True, slots=True)
class Proof:
    """What became of every published event."""

    published: int
    received: int
    unsure: int
    """Triggers that failed: not published, as far as anybody knows."""
    inside: list[Published]
    """Missing, and a gap of its channel covers its publication."""
    outside: list[Published]
    """Missing, and no gap says so: lost in silence."""
    duplicated: list[Receipt]
    out_of_order: list[Receipt]
    damaged: list[Receipt]
    never_published: list[Receipt]


def prove(
    published: Sequence[Published], receipts: Sequence[Receipt], gaps: Sequence[ReportedGap]
) -> Proof:
    """Compare; an event is covered when a gap of its channel touches the span of its publication.

    The server sent it at some moment of that span, and nobody knows which.
    """
    known = {(event.channel, event.number): event for event in published}
    counts = Counter((receipt.channel, receipt.number) for receipt in receipts)
    missing = [e for e in published if e.sure and (e.channel, e.number) not in counts]
    by_channel = defaultdict(list)
    for gap in gaps:
        by_channel[gap.channel].append(gap)
    inside = [e for e in missing if covers(by_channel[e.channel], e)]
    covered = set(inside)
    return Proof(
        published=sum(event.sure for event in published),
        received=len(receipts),
        unsure=sum(not event.sure for event in published),
        inside=inside,
        outside=[event for event in missing if event not in covered],
        duplicated=repeated(receipts),
        out_of_order=out_of_order(receipts, known),
        damaged=[receipt for receipt in receipts if not receipt.intact],
        never_published=[r for r in receipts if (r.channel, r.number) not in known],
    )


def covers(gaps: Iterable[ReportedGap], event: Published) -> bool:
    """Whether one of the gaps touches the span in which the event was published."""
    return any(
        event.after >= gap.since and event.before <= gap.until + _RECORD_PRECISION for gap in gaps
    )


def repeated(receipts: Iterable[Receipt]) -> list[Receipt]:
    """Receipts of what was received before."""
    seen: set[tuple[str, int]] = set()
    again = []
    for receipt in receipts:
        key = (receipt.channel, receipt.number)
        if key in seen:
            again.append(receipt)
        seen.add(key)
    return again


def out_of_order(
    receipts: Iterable[Receipt], known: dict[tuple[str, int], Published]
) -> list[Receipt]:
    """Receipts with a lower number than one of their channel before.

    A trigger that failed may be carried out by a server that wakes up, whenever it likes, so its
    events have no order.
    """
    highest: dict[str, int] = {}
    late = []
    for receipt in receipts:
        event = known.get((receipt.channel, receipt.number))
        if event is None or not event.sure:
            continue
        before = highest.get(receipt.channel, -1)
        if receipt.number < before:
            late.append(receipt)
        highest[receipt.channel] = max(before, receipt.number)
    return late


def most_in_window(moments: Sequence[int], span: int) -> int:
    """The largest number of moments (ascending) within any `span` nanoseconds."""
    most = first = 0
    for index, moment in enumerate(moments):
        while moment - moments[first] >= span:
            first += 1
        most = max(most, index - first + 1)
    return most


def say(text: str) -> None:
    print(text, flush=True)


def verdict(violations: Sequence[str], remarks: Sequence[str] = ()) -> int:
    """Say what was broken, and what else is worth a line; return 1 when anything was."""
    for violation in violations:
        say(f"VIOLATION  {violation}")
    for remark in remarks:
        say(remark)
    say("every promise was kept" if not violations else f"{len(violations)} promises broken")
    return 1 if violations else 0
