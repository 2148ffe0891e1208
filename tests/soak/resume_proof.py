"""What was published against the joined output of many runs, most of them killed. Pure functions.

The promise: every message is there at least once; one is there twice only when the run that wrote
it first was killed before it could note that, so what is doubled are the last messages of that run;
and a line that a kill tore stands alone.
"""

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from .numbered import Message
from .shared_output import OutputLine


@dataclass(slots=True)
class Run:
    """One run; `start` and `end` are offsets in the output, `began` and `ended` monotonic.

    `known` messages were published when it began.
    """

    kind: str
    began: float
    start: int
    known: int
    end: int = 0
    ended: float = 0.0
    status: int = 0
    in_history: bool = False
    """Whether it was ended while it read history."""

    @property
    def killed(self) -> bool:
        return self.status == -9


@dataclass(frozen=True, slots=True)
class Rewritten:
    """The messages of one run that came again in a later one: `count`, the last of the run.

    From the first of them to the run's end are `size` bytes.
    """

    run: Run
    count: int
    size: int
    others: int
    """Messages between them and the end of the run that did not come again: has to be 0."""


@dataclass(frozen=True, slots=True)
class ResumeProof:
    """What became of everything."""

    published: int
    lines: int
    missing: list[Message]
    never_published: list[OutputLine]
    rewritten: list[Rewritten]
    repeated: list[OutputLine]
    """Written before by the same run."""
    torn: list[OutputLine]
    """No JSON, but the last of a killed run and alone on its line."""
    spoiled: list[OutputLine]
    """No JSON for any other reason."""
    empty: list[OutputLine]
    """Nothing but the newline that a run began with, lest it goes behind half a line."""
    late_live: list[OutputLine]
    """Live, and in the same run behind a later message of the same chat."""
    late_history: list[OutputLine]
    """The same from history, when it took longer than live events wait."""
    late_runs: list[OutputLine]
    """Behind a later message of the same chat that an earlier run wrote."""
    catching_up: list[float]
    """Seconds from each start that led to it until all that was published before had come."""


def prove(
    published: Sequence[Message], lines: Sequence[OutputLine], runs: Sequence[Run]
) -> ResumeProof:
    """Compare."""
    records = [line for line in lines if line.number is not None]
    known = {message.number for message in published}
    seen = {line.number for line in records}
    others = [line for line in lines if line.number is None]
    ends = {run.end for run in runs if run.killed}
    torn = [line for line in others if line.text and line.end - 1 in ends]
    empty = [line for line in others if not line.text and line.start in ends]
    late_live, late_history, late_runs = _late(records, runs)
    return ResumeProof(
        published=len(published),
        lines=len(lines),
        missing=[message for message in published if message.number not in seen],
        never_published=[line for line in records if line.number not in known],
        rewritten=_rewritten(records, runs),
        repeated=_repeated(records, runs),
        torn=torn,
        spoiled=[line for line in others if line not in torn and line not in empty],
        empty=empty,
        late_live=late_live,
        late_history=late_history,
        late_runs=late_runs,
        catching_up=_catching_up(published, records, runs),
    )


def all_of(proofs: Sequence[ResumeProof]) -> ResumeProof:
    """Return what several proofs found, together."""
    return ResumeProof(
        published=sum(proof.published for proof in proofs),
        lines=sum(proof.lines for proof in proofs),
        missing=[each for proof in proofs for each in proof.missing],
        never_published=[each for proof in proofs for each in proof.never_published],
        rewritten=[each for proof in proofs for each in proof.rewritten],
        repeated=[each for proof in proofs for each in proof.repeated],
        torn=[each for proof in proofs for each in proof.torn],
        spoiled=[each for proof in proofs for each in proof.spoiled],
        empty=[each for proof in proofs for each in proof.empty],
        late_live=[each for proof in proofs for each in proof.late_live],
        late_history=[each for proof in proofs for each in proof.late_history],
        late_runs=[each for proof in proofs for each in proof.late_runs],
        catching_up=[each for proof in proofs for each in proof.catching_up],
    )


def _by_run(
    records: Iterable[OutputLine], runs: Sequence[Run]
) -> Iterable[tuple[Run, list[OutputLine]]]:
    """Yield the runs that wrote something, each with what it wrote."""
    starts = [run.start for run in runs]
    found: dict[int, list[OutputLine]] = defaultdict(list)
    for line in records:
        # Of runs that begin at the same place all but the last wrote nothing.
        found[bisect_right(starts, line.start) - 1].append(line)
    for index, written in found.items():
        yield runs[index], written


def _rewritten(records: Sequence[OutputLine], runs: Sequence[Run]) -> list[Rewritten]:
    last = {line.number: line.start for line in records}
    found = []
    for run, written in _by_run(records, runs):
        again = [i for i, line in enumerate(written) if line.start < last[line.number]]
        if again:
            beyond = len(written) - again[0] - len(again)
            found.append(Rewritten(run, len(again), run.end - written[again[0]].start, beyond))
    return found


def _repeated(records: Sequence[OutputLine], runs: Sequence[Run]) -> list[OutputLine]:
    found = []
    for _, written in _by_run(records, runs):
        seen: set[int | None] = set()
        for line in written:
            if line.number in seen:
                found.append(line)
            seen.add(line.number)
    return found


def _late(
    records: Sequence[OutputLine], runs: Sequence[Run]
) -> tuple[list[OutputLine], list[OutputLine], list[OutputLine]]:
    """Return what is behind a later message of its chat; of messages written twice the first."""
    live: list[OutputLine] = []
    history: list[OutputLine] = []
    between: list[OutputLine] = []
    ever: dict[str, int] = {}
    seen: set[int | None] = set()
    for _, written in _by_run(records, runs):
        here: dict[str, int] = {}
        for line in written:
            assert line.number is not None
            if line.number in seen:
                continue
            seen.add(line.number)
            if line.number < here.get(line.chat, 0):
                (live if line.source == "live" else history).append(line)
            elif line.number < ever.get(line.chat, 0):
                between.append(line)
            here[line.chat] = max(line.number, here.get(line.chat, 0))
            ever[line.chat] = max(line.number, ever.get(line.chat, 0))
    return live, history, between


def _catching_up(
    published: Sequence[Message], records: Sequence[OutputLine], runs: Sequence[Run]
) -> list[float]:
    first: dict[int | None, float] = {}
    for line in records:
        first.setdefault(line.number, line.at)
    whole_at = [0.0]
    for message in published:
        whole_at.append(max(whole_at[-1], first.get(message.number, float("inf"))))
    return [
        whole_at[run.known] - run.began
        for before, run in pairwise(runs)
        if before.ended < whole_at[run.known] <= run.ended
    ]
