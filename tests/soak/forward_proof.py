"""What was published against what a destination got, over many runs. Pure functions.

The promise: every message, and everything else that was published while a tail was linked, is
delivered or is a dead letter. Statuses, tags and edits may be missing only where a gap that was
said covers them, and of those published on a link only what was under way when the link or the
process ended, for `UNDER_WAY` seconds at most. Something comes twice only where an answer was lost,
or where a kill came between an answer and its commit.

SIGTERM lets a run deliver what waits behind a gap before the messages of that gap, which come with
the next run, but for those of which an edit was delivered.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from .forward_load import MESSAGE, Published, Thing
from .forward_receiver import Request

UNDER_WAY = 1.0
"""Seconds before a kill, and around a cut, in which what was published may be under way."""
_CLOSING = 3.0
"""Seconds after a SIGTERM in which the server may still take the tail for subscribed."""
_TOLERANCE = 0.5


_Arrival = tuple[float, float, float | None]
"""When it came, when it had its effect, and when that was acknowledged."""


@dataclass(slots=True)
class Ending:
    """How a link ended: `kind` is "kill", "term" or "cut"; `over` is when the process was."""

    kind: str
    at: float
    over: float = 0.0


@dataclass(frozen=True, slots=True)
class SaidGap:
    """A gap that a run reported, in seconds since the epoch."""

    channel: str
    since: float
    until: float


@dataclass(frozen=True, slots=True)
class Double:
    """One delivery too many, and why."""

    thing: Thing
    first: float
    again: float
    cause: str
    acknowledged: float | None
    """Seconds from the first answer to the kill, if a kill is the cause."""


@dataclass(frozen=True, slots=True)
class Late:
    """An item that arrived first at `at`, after a later one of its chat, `behind` at `before`."""

    thing: Thing
    at: float
    behind: int
    before: float


@dataclass(slots=True)
class ForwardProof:
    """What became of everything."""

    published: Counter[str]
    unlinked: Counter[str]
    """Published while no tail was linked."""
    delivered: int
    dead: int
    messages_missing: list[Published] = field(default_factory=list)
    replaced: int = 0
    """Messages missing of which an edit was delivered at a SIGTERM."""
    lost_unlinked: Counter[str] = field(default_factory=Counter)
    lost_under_way: Counter[str] = field(default_factory=Counter)
    """By the ending that explains them."""
    exposure: list[float] = field(default_factory=list)
    """Of what was lost on a link: seconds from the publication to the ending."""
    unexplained: list[Published] = field(default_factory=list)
    unsaid: list[Published] = field(default_factory=list)
    """Lost, and not covered by a gap that was said."""
    doubles: list[Double] = field(default_factory=list)
    late: list["Late"] = field(default_factory=list)
    late_by_sigterm: int = 0
    """Those behind one that was delivered at a SIGTERM."""

    @property
    def doubles_by_cause(self) -> Counter[str]:
        return Counter(double.cause for double in self.doubles)


def prove_forward(
    published: Sequence[Published],
    requests: Sequence[Request],
    dead: Sequence[tuple[float, int]],
    endings: Sequence[Ending],
    gaps: Sequence[SaidGap],
) -> ForwardProof:
    """Compare; `dead` are moments and `seq` of dead letters."""
    proof = ForwardProof(
        published=Counter(entry.thing.kind for entry in published),
        unlinked=Counter(entry.thing.kind for entry in published if not entry.linked),
        delivered=sum(len(request.seqs) for request in requests),
        dead=len(dead),
    )
    by_seq: dict[int, list[Published]] = defaultdict(list)
    for entry in published:
        by_seq[entry.thing.seq].append(entry)
    arrivals = _arrivals(requests, dead)
    for seq, entries in by_seq.items():
        came = arrivals.get(seq, [])
        for entry in _absent(entries, len(came), endings, gaps):
            _note_absent(proof, entry, endings, gaps)
        if len(came) > len(entries):
            proof.doubles += _doubles(entries, came, endings)
    _excuse_sigterm(proof, by_seq, arrivals, endings)
    for late in _late(by_seq, requests, dead):
        if _at_sigterm(late.before, endings):
            proof.late_by_sigterm += 1
        else:
            proof.late.append(late)
    return proof


def _at_sigterm(at: float, endings: Sequence[Ending]) -> bool:
    """Return whether a run that SIGTERM ended was delivering what it had."""
    return any(
        ending.kind == "term" and ending.at <= at <= ending.over + _TOLERANCE for ending in endings
    )


def _excuse_sigterm(
    proof: ForwardProof,
    by_seq: dict[int, list[Published]],
    arrivals: dict[int, list[_Arrival]],
    endings: Sequence[Ending],
) -> None:
    """Take out the missing messages of which an edit was delivered before their gap was read."""
    edited = {
        entries[0].thing.of
        for seq, entries in by_seq.items()
        if any(_at_sigterm(at, endings) for _, at, _ in arrivals.get(seq, []))
    }
    missing = [entry for entry in proof.messages_missing if entry.thing.seq not in edited]
    proof.replaced = len(proof.messages_missing) - len(missing)
    proof.messages_missing = missing


def _arrivals(
    requests: Sequence[Request], dead: Sequence[tuple[float, int]]
) -> dict[int, list[_Arrival]]:
    found: dict[int, list[_Arrival]] = defaultdict(list)
    for request in requests:
        for seq in request.seqs:
            found[seq].append((request.came, request.at, request.answered_at))
    for at, seq in dead:
        found[seq].append((at, at, at))
    for came in found.values():
        came.sort(key=lambda arrival: arrival[1])
    return found


def _absent(
    entries: Sequence[Published],
    came: int,
    endings: Sequence[Ending],
    gaps: Sequence[SaidGap],
) -> list[Published]:
    """Return the publications that did not arrive; of repetitions those with the best reason."""

    def unexplained(entry: Published) -> tuple[bool, bool]:
        without_reason = entry.linked and _ending_after(entry, endings) is None
        return without_reason, not any(_covers(gap, entry) for gap in gaps)

    return sorted(entries, key=unexplained)[: max(0, len(entries) - came)]


def _note_absent(
    proof: ForwardProof, entry: Published, endings: Sequence[Ending], gaps: Sequence[SaidGap]
) -> None:
    kind = entry.thing.kind
    if kind == MESSAGE:
        proof.messages_missing.append(entry)
        return
    if not any(_covers(gap, entry) for gap in gaps):
        proof.unsaid.append(entry)
    if not entry.linked:
        proof.lost_unlinked[kind] += 1
    elif ending := _ending_after(entry, endings):
        proof.lost_under_way[ending.kind] += 1
        proof.exposure.append(ending.at - entry.before)
    else:
        proof.unexplained.append(entry)


def _ending_after(entry: Published, endings: Sequence[Ending]) -> Ending | None:
    """Return what a publication on a link was under way for."""
    for ending in endings:
        since = ending.at - (0.0 if ending.kind == "term" else UNDER_WAY)
        until = ending.at + (_CLOSING if ending.kind == "term" else UNDER_WAY)
        if since <= entry.after and entry.before <= until:
            return ending
    return None


def _covers(gap: SaidGap, entry: Published) -> bool:
    return (
        gap.channel == entry.thing.channel
        and gap.since - _TOLERANCE <= entry.after
        and entry.before <= gap.until + _TOLERANCE
    )


def _doubles(
    entries: Sequence[Published], came: Sequence[_Arrival], endings: Sequence[Ending]
) -> Iterable[Double]:
    """Yield what came more often than it was published; the worst explained are the extra ones."""
    extra = []
    for (read, first, acknowledged), (_, again, _) in pairwise(came):
        cause, age = _cause(read, acknowledged, again, endings)
        age = age if len(entries) == 1 else None  # the first may be another publication
        extra.append(Double(entries[0].thing, first, again, cause, age))
    if len(entries) > 1:  # which ones are repetitions by right cannot be told
        extra.sort(key=lambda double: double.cause in ("none", "term"))
    return extra[: len(came) - len(entries)]


def _cause(
    came: float, acknowledged: float | None, again: float, endings: Sequence[Ending]
) -> tuple[str, float | None]:
    if acknowledged is None:
        return "answer lost", None
    for ending in endings:
        if ending.kind != "cut" and came <= ending.at + _TOLERANCE and ending.at <= again:
            return ending.kind, ending.at - acknowledged
    return "none", None


def _late(
    by_seq: dict[int, list[Published]],
    requests: Sequence[Request],
    dead: Sequence[tuple[float, int]],
) -> Iterable[Late]:
    """Yield first deliveries behind a later one of the same chat.

    Messages, which may come from history, and everything else are looked at apart: history has
    what was published up to now, and so overtakes live events that wait for it.
    """
    first: dict[int, float] = {seq: at for at, seq in reversed(dead)}
    for request in requests:
        for seq in request.seqs:
            first[seq] = min(first.get(seq, request.at), request.at)
    newest: dict[tuple[str, bool], int] = {}
    for seq in sorted(first, key=lambda seq: (first[seq], seq)):
        entries = by_seq[seq]
        if len(entries) > 1:
            continue
        thing = entries[0].thing
        key = (thing.chat, thing.kind == MESSAGE)
        before = newest.setdefault(key, seq)
        if seq < before:
            yield Late(thing, first[seq], before, first[before])
        newest[key] = max(seq, before)


def covered_seconds(gaps: Sequence[SaidGap], channel: str) -> float:
    """Return how many seconds of a channel the said gaps cover together."""
    total, end = 0.0, 0.0
    for gap in sorted((gap for gap in gaps if gap.channel == channel), key=lambda gap: gap.since):
        total += max(0.0, gap.until - max(end, gap.since))
        end = max(end, gap.until)
    return total
