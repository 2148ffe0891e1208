"""The proof of the joined output: it must see every kind of broken promise."""

from collections.abc import Sequence
from dataclasses import dataclass

import pytest

from .numbered import Message
from .resume_proof import ResumeProof, Run, prove
from .shared_output import OutputLine

KILLED, TERMINATED = -9, -15
WIDTH = 10
"""Bytes of each line in these tests."""


@dataclass(frozen=True, slots=True)
class Torn:
    """What a kill left of a line: half of it, and the newline that the next run put behind it."""


@dataclass(frozen=True, slots=True)
class Empty:
    """A newline that mended nothing."""


Written = int | str | Torn | Empty
"""A live message by its number, one from history by its number as text, or a line that is none."""


def proof_of(published: int, *runs: Sequence[Written], last: int = TERMINATED) -> ResumeProof:
    """Prove what these runs wrote, of one chat; all but the last were killed."""
    lines: list[OutputLine] = []
    found: list[Run] = []
    offset, moment = 0, 1.0
    for written in runs:
        begins = found[-1].end if found else 0
        run = Run("test", moment, begins, published if found else 0)
        for each in written:
            moment += 1.0
            end = offset + (1 if isinstance(each, Empty) else WIDTH)
            lines.append(_line(each, offset, end, moment))
            offset = end
        # The newline behind half a line is the next run's.
        run.end = offset - bool(written and isinstance(written[-1], Torn))
        run.ended = moment = moment + 1.0
        run.status = KILLED
        found.append(run)
    found[-1].status = last
    return prove([Message(i + 1, "chat", 0) for i in range(published)], lines, found)


def _line(written: Written, start: int, end: int, at: float) -> OutputLine:
    if isinstance(written, Torn):
        return OutputLine(start, end, at, text='{"v":1,')
    if isinstance(written, Empty):
        return OutputLine(start, end, at)
    source = "live" if isinstance(written, int) else "backfill"
    return OutputLine(start, end, at, int(written), "chat", 0, source)


def test_all_is_well() -> None:
    proof = proof_of(4, [1, 2], ["3", 4])
    assert (proof.published, proof.lines) == (4, 4)
    assert not proof.missing + proof.never_published + proof.repeated
    assert not proof.rewritten
    assert not proof.torn + proof.spoiled + proof.empty
    assert not proof.late_live + proof.late_history + proof.late_runs


def test_what_nobody_wrote_is_missing_and_what_nobody_published_is_seen() -> None:
    proof = proof_of(3, [1], ["2", 4])
    assert [message.number for message in proof.missing] == [3]
    assert [line.number for line in proof.never_published] == [4]


def test_the_last_messages_of_a_killed_run_may_come_again() -> None:
    proof = proof_of(4, [1, 2, 3], ["2", "3", 4])
    (rewritten,) = proof.rewritten
    assert (rewritten.count, rewritten.others, rewritten.size) == (2, 0, 2 * WIDTH)
    assert rewritten.run.killed
    assert not proof.repeated


def test_other_messages_of_it_may_not() -> None:
    (rewritten,) = proof_of(4, [1, 2, 3], ["2", 4]).rewritten
    assert (rewritten.count, rewritten.others) == (1, 1)


def test_what_comes_three_times_counts_for_both_runs_before() -> None:
    proof = proof_of(2, [1, 2], ["2"], ["2"])
    assert [each.count for each in proof.rewritten] == [1, 1]


def test_a_run_may_not_write_a_message_twice() -> None:
    proof = proof_of(2, [1, 2, 2])
    assert [line.number for line in proof.repeated] == [2]


def test_a_run_that_wrote_nothing_is_not_taken_for_the_next_one() -> None:
    proof = proof_of(2, [1, 2], [], ["2"])
    (rewritten,) = proof.rewritten
    assert rewritten.run.start == 0


NO_RECORDS: dict[str, tuple[list[list[Written]], dict[str, int]]] = {
    "half a line ends a killed run": ([[1, Torn()], ["2"]], {"torn": 1, "spoiled": 0}),
    "half a line anywhere else": ([[Torn(), 1], ["2"]], {"spoiled": 1}),
    "half a line ends a run that was not killed": ([[1, Torn()]], {"spoiled": 1}),
    "an empty line begins a run after a kill": ([[1], [Empty(), "2"]], {"empty": 1}),
    "an empty line anywhere else": ([[1], ["2", Empty()]], {"spoiled": 1}),
}


@pytest.mark.parametrize(("runs", "found"), NO_RECORDS.values(), ids=NO_RECORDS)
def test_lines_that_are_no_records(runs: list[list[Written]], found: dict[str, int]) -> None:
    proof = proof_of(len(runs), *runs)
    assert {name: len(getattr(proof, name)) for name in found} == found


def test_what_is_late_is_told_apart() -> None:
    proof = proof_of(7, [2, 1], [4, "3"], [7], ["5"])
    assert [line.number for line in proof.late_live] == [1]
    assert [line.number for line in proof.late_history] == [3]
    assert [line.number for line in proof.late_runs] == [5]


def test_catching_up_lasts_from_the_start_until_all_that_was_known_has_come() -> None:
    (seconds,) = proof_of(3, [1], ["2", "3"]).catching_up
    assert seconds == 2.0
