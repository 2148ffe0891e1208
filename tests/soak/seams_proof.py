"""What was published against what all runs wrote. Pure functions.

A gap's moments are by the clock of the tail, which was set while it ran: they are compared by every
offset that can have been in force when they were noted.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from .journal import nanoseconds
from .numbered import Message, Status
from .seams_runs import Run, Seen

_SAID_WITHIN = 120.0
"""Seconds after its end within which a gap is said: what history has of it is read first."""
_TOLERANCE = 2.0

Offsets = Sequence[tuple[float, float]]
"""(moment, seconds by which the clock of the tail was ahead from then on), oldest first."""


@dataclass(frozen=True, slots=True)
class SaidGap:
    """A gap by the true clock, as far as it can be told: from the earliest to the latest."""

    channel: str
    since: float
    until: float


@dataclass(frozen=True, slots=True)
class SeamsProof:
    """What became of everything."""

    messages: int
    statuses: int
    gaps: int
    missing: list[Message]
    statuses_missing: list[Status]
    statuses_in_gaps: int
    repeated: list[str]
    rewritten: list[str]
    doubled_by_kills: int
    unreadable: list[bytes]


def prove_seams(
    messages: Sequence[Message], statuses: Sequence[Status], runs: Sequence[Run], offsets: Offsets
) -> SeamsProof:
    """Compare."""
    gaps = [gap for run in runs for seen in run.seen for gap in said_gaps(seen, offsets)]
    written = Counter(key for run in runs for key in _keys(run))
    lost = [status for status in statuses if ("messageStatus", status.number) not in written]
    unsaid = [status for status in lost if not any(_covers(gap, status) for gap in gaps)]
    missing = [message for message in messages if ("message", message.number) not in written]
    repeated, rewritten, doubled = _deduplicator(runs)
    return SeamsProof(
        messages=len(messages),
        statuses=len(statuses),
        gaps=len(gaps),
        missing=missing,
        statuses_missing=unsaid,
        statuses_in_gaps=len(lost) - len(unsaid),
        repeated=repeated,
        rewritten=rewritten,
        doubled_by_kills=doubled,
        unreadable=[line for run in runs for line in _unreadable(run)],
    )


def said_gaps(seen: Seen, offsets: Offsets) -> Iterable[SaidGap]:
    """Return the gap in a line, if it is one, by the true clock."""
    record = seen.record
    if record is None or record.get("type") != "gap":
        return ()
    since, until = nanoseconds(record["from"]) / 1e9, nanoseconds(record["to"]) / 1e9
    ends = [
        until - offset
        for offset in _in_force(offsets, seen.at - _SAID_WITHIN, seen.at)
        if -_TOLERANCE <= seen.at - (until - offset) <= _SAID_WITHIN
    ] or [seen.at]
    # A gap between two runs begins by the clock of the earlier one.
    begins = [since - offset for offset in _in_force(offsets, min(ends) - 600.0, seen.at)]
    begins = [begin for begin in begins if begin <= max(ends)] or [min(ends)]
    return (SaidGap(record["channel"], min(begins), max(ends)),)


def _in_force(offsets: Offsets, since: float, until: float) -> list[float]:
    """Return the offsets that held at some time between two moments."""
    ends = [moment for moment, _ in offsets[1:]] + [float("inf")]
    return [
        offset
        for (begin, offset), end in zip(offsets, ends, strict=True)
        if begin <= until and end >= since
    ]


def _covers(gap: SaidGap, status: Status) -> bool:
    return (
        gap.channel == status.channel
        and gap.since - _TOLERANCE <= status.after
        and status.before <= gap.until + _TOLERANCE
    )


def _keys(run: Run) -> Iterable[tuple[str, int]]:
    for seen in run.seen:
        if seen.record and seen.record.get("type") == "event":
            yield seen.record["event"], seen.record["data"]["id"]


def _deduplicator(runs: Sequence[Run]) -> tuple[list[str], list[str], int]:
    """Return what one run wrote twice, what came again after an orderly end, and after a kill."""
    repeated: list[str] = []
    rewritten: list[str] = []
    by_kills = 0
    owner: dict[tuple[str, int], Run] = {}
    for run in runs:
        for key in _keys(run):
            before = owner.get(key)
            if before is run:
                repeated.append(f"{key}")
            elif before is not None and before.killed:
                by_kills += 1
            elif before is not None:
                rewritten.append(f"{key}")
            owner[key] = run
    return repeated, rewritten, by_kills


def _unreadable(run: Run) -> list[bytes]:
    """Return lines that are no record, but for the last one of a run that was killed."""
    last = run.seen[-1] if run.seen else None
    return [
        seen.text[:200]
        for seen in run.seen
        if seen.record is None and not (run.killed and seen is last)
    ]
