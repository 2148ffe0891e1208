"""Items through the journal: what an earlier run left comes first, behind its gaps if need be."""

from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path

import pytest

from chatapp_tail.history.checkpoint import Checkpoint
from chatapp_tail.history.journal import WHOLE
from chatapp_tail.items import ChannelEvent, Gap, Item, Ready, StopCause, Stopped, Watermarks
from chatapp_tail.spool import Spool
from chatapp_tail.tail import intake as module
from chatapp_tail.tail.intake import JournaledIntake
from chatapp_tail.threads import Waker
from tests.factories import CHANNEL, event

EVENTS: list[Item] = [event({"id": number}) for number in range(9)]
GAP = Gap(CHANNEL, 1, 2, "lost")
READY = Ready(1, [CHANNEL], [])
PROVEN = Watermarks({CHANNEL: 5})


class Run:
    """One run of a tail with a checkpoint, as far as its intake goes."""

    def __init__(self, directory: Path, limit: int = 2**30) -> None:
        self.checkpoint = Checkpoint("x", directory)
        alarm = Waker()
        self._closed = [alarm]
        self.spool = Spool(2**20, alarm)
        self.intake = JournaledIntake(self.spool, self.checkpoint, limit)

    def put(self, *items: Item) -> None:
        self.spool.put(items)

    def take(self, settle: bool = False) -> list[Item]:
        """Return all there is now, without what only keeps numbers consecutive."""
        taken: list[Item] = []
        while batch := self.intake.take():
            number, items = batch
            taken += items
            if settle:
                self.checkpoint.settle(number + len(items) - 1)
        return [item for item in taken if item != Watermarks({})]

    def close(self) -> None:
        self.checkpoint.close()
        self.spool.close()
        for waker in self._closed:
            waker.close()


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path


@pytest.fixture
def run(directory: Path) -> Iterator[Run]:
    with closing(Run(directory)) as made:
        yield made


def earlier(directory: Path, *items: Item, settled: int = 0) -> None:
    """Leave items in the journal, as a run does that is killed."""
    with closing(Run(directory)) as made:
        made.put(*items)
        made.intake.fill()
        made.checkpoint.settle(settled)


def test_items_come_in_order_with_their_numbers(run: Run) -> None:
    run.put(*EVENTS[:2], READY)
    assert run.intake.take() == (1, [*EVENTS[:2], READY])
    run.put(EVENTS[2])
    assert run.intake.take() == (4, [EVENTS[2]])
    assert run.intake.take() is None


def test_what_comes_while_older_rows_are_left_outlasts_a_kill(directory: Path) -> None:
    earlier(directory, EVENTS[0])
    with closing(Run(directory)) as run:
        run.put(EVENTS[1])
        assert run.intake.take() == (1, [EVENTS[0]])
    with closing(Run(directory)) as run:
        assert run.take() == EVENTS[:2]


def test_what_is_put_back_comes_again(run: Run) -> None:
    run.put(*EVENTS[:3])
    assert run.intake.take()
    run.put(EVENTS[3])
    run.intake.put_back(2, EVENTS[1:3])
    assert run.intake.take() == (2, EVENTS[1:3])
    assert run.take() == [EVENTS[3]]


def test_rows_beyond_the_memory_come_from_the_journal(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_MEMORY", 800)
    for item in EVENTS:
        run.put(item)
        run.intake.fill()
    assert run.take() == EVENTS


def test_a_full_journal_leaves_items_in_the_spool(directory: Path) -> None:
    with closing(Run(directory, limit=1)) as run:
        run.put(EVENTS[0])
        run.intake.fill()
        run.put(EVENTS[1])
        run.intake.fill()
        assert run.spool.events_left == 1
        assert run.intake.events_left == 2
        assert run.take(settle=True) == EVENTS[:2]


def test_events_of_an_earlier_run_come_first_and_its_statuses_do_not(directory: Path) -> None:
    earlier(directory, EVENTS[0], READY, EVENTS[1], PROVEN, EVENTS[2], settled=1)
    with closing(Run(directory)) as run:
        run.put(READY, EVENTS[3])
        assert run.intake.events_unsettled() == 3
        assert run.take(settle=True) == [EVENTS[1], EVENTS[2], READY, EVENTS[3]]
        assert run.intake.events_unsettled() == 0


def test_what_was_settled_ahead_does_not_come_again(directory: Path) -> None:
    earlier(directory, *EVENTS[:4])
    with closing(Run(directory)) as run:
        run.checkpoint.commit((), 1, [(3, WHOLE)])
    with closing(Run(directory)) as run:
        assert run.take() == [EVENTS[1], EVENTS[3]]


def test_what_stood_behind_a_gap_waits_until_this_run_is_ready(directory: Path) -> None:
    earlier(directory, EVENTS[0], GAP, EVENTS[1], EVENTS[2])
    with closing(Run(directory)) as run:
        assert run.take() == [EVENTS[0]]
        assert run.take() == []
        start = Gap(CHANNEL, 1, 9, "not running")
        run.put(start, EVENTS[3], PROVEN)
        assert run.take() == []
        assert run.intake.take_early() == [start]
        run.put(READY, EVENTS[4])
        assert run.take() == []
        assert run.intake.take_early() == [READY]
        expected: Sequence[Item] = [EVENTS[1], EVENTS[2], EVENTS[3], PROVEN, EVENTS[4]]
        assert run.take() == expected
        run.put(GAP)
        assert run.take() == [GAP], "from then on statuses keep their place"


def test_it_does_not_wait_for_ever(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    earlier(directory, GAP, EVENTS[1])
    monkeypatch.setattr(module, "_READY_TIMEOUT", 0.0)
    with closing(Run(directory)) as run:
        run.put(READY, EVENTS[2])
        assert run.take() == [EVENTS[1], READY, EVENTS[2]]


def test_the_end_keeps_its_place(directory: Path) -> None:
    earlier(directory, GAP, EVENTS[1])
    with closing(Run(directory)) as run:
        run.put(Stopped(1, StopCause.ASKED, "asked"))
        assert run.take() == []
        assert run.intake.take_early() == []


def test_a_gap_that_is_settled_is_no_barrier(directory: Path) -> None:
    earlier(directory, GAP, EVENTS[1], settled=1)
    with closing(Run(directory)) as run:
        (only,) = run.take()
        assert isinstance(only, ChannelEvent)


def test_a_gap_of_this_run_keeps_its_place_behind_events(directory: Path) -> None:
    """Else its messages would come before them."""
    earlier(directory, GAP, EVENTS[1])
    with closing(Run(directory)) as run:
        start, cut = Gap(CHANNEL, 1, 9, "not running"), Gap(CHANNEL, 10, 12, "lost")
        run.put(start, EVENTS[2], cut, READY, EVENTS[3])
        run.intake.fill()
        assert run.intake.take_early() == [start]
        assert run.take() == [EVENTS[1], EVENTS[2], cut, READY, EVENTS[3]]


def test_at_the_end_all_is_kept_whatever_the_limit(directory: Path) -> None:
    with closing(Run(directory, limit=1)) as run:
        run.put(EVENTS[0])
        run.intake.fill()
        run.put(EVENTS[1])
        run.intake.fill(at_end=True)
        assert run.spool.events_left == 0
    with closing(Run(directory)) as run:
        assert run.take() == EVENTS[:2]
