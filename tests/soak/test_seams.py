"""The faults at the seams in their short form; `python -m tests.soak.seams` is the long one."""

from typing import Any, cast

import pytest

from .numbered import Message, Status
from .seams import Plan, soak, table, violations
from .seams_proof import prove_seams, said_gaps
from .seams_runs import Run, Seen

SECONDS = 25.0
SEED = 5
KINDS = ("clock-back", "auth-pages", "history-401", "refusal-burst", "slow-term", "process-1")


@pytest.mark.timeout(240)
def test_nothing_is_lost_at_the_seams() -> None:
    result = soak(Plan(SECONDS, SEED, KINDS))
    print(table(result))
    assert not violations(result), result.runs.stderr
    assert result.faults.total() >= 3


def test_a_gap_is_taken_by_every_clock_that_can_have_been_in_force() -> None:
    moments = {"from": "1970-01-01T00:10:00Z", "to": "1970-01-01T00:11:00Z"}
    gap = Seen(665.0, {"type": "gap", "channel": "c", "missing": None, **moments}, b"")
    (found,) = said_gaps(gap, [(0.0, 0.0)])
    assert (found.since, found.until) == (600.0, 660.0)
    (found,) = said_gaps(gap, [(0.0, 0.0), (650.0, -400.0)])
    assert (found.since, found.until) == (600.0, 660.0)
    (found,) = said_gaps(Seen(265.0, gap.record, b""), [(0.0, 0.0), (250.0, 400.0)])
    assert (found.since, found.until) == (200.0, 260.0)


def event(kind: str, number: int) -> Seen:
    return Seen(0.0, {"type": "event", "event": kind, "data": {"id": number}}, b"")


def run(*seen: Seen, killed: bool = False) -> Run:
    return Run(cast("Any", None), False, list(seen), killed=killed)


def test_what_is_absent_is_found() -> None:
    messages = [Message(number, "a", 1) for number in (1, 2)]
    statuses = [Status(number, "c", 1.0, 1.0) for number in (1, 2)]
    runs = [run(event("message", 1), event("messageStatus", 2))]
    proof = prove_seams(messages, statuses, runs, [(0.0, 0.0)])
    assert [message.number for message in proof.missing] == [2]
    assert [status.number for status in proof.statuses_missing] == [1]


def test_only_a_kill_excuses_a_double() -> None:
    first, again = event("message", 1), event("message", 1)
    assert prove_seams([], [], [run(first, again)], [(0.0, 0.0)]).repeated
    assert prove_seams([], [], [run(first), run(again)], [(0.0, 0.0)]).rewritten
    proof = prove_seams([], [], [run(first, killed=True), run(again)], [(0.0, 0.0)])
    assert (proof.repeated, proof.rewritten, proof.doubled_by_kills) == ([], [], 1)
