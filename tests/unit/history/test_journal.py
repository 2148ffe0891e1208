"""The journal: what is appended is there after a kill, until it is settled."""

from collections.abc import Iterator
from contextlib import closing
from math import inf
from pathlib import Path

import pytest

from chatapp_tail.chatapp.records import decode
from chatapp_tail.errors import OutputError
from chatapp_tail.history.checkpoint import Checkpoint
from chatapp_tail.history.journal import WHOLE
from chatapp_tail.items import ChannelEvent, Gap, Item, Watermarks
from tests.factories import CHANNEL, event

EVENTS: list[Item] = [event({"id": number}) for number in range(5)]
GAP = Gap(CHANNEL, 1, 2, "lost")


@pytest.fixture
def checkpoint(tmp_path: Path) -> Iterator[Checkpoint]:
    with closing(Checkpoint("x", tmp_path)) as made:
        yield made


def append(checkpoint: Checkpoint, *items: Item) -> int:
    with checkpoint.journal() as journal:
        return journal.append(items)


def left(checkpoint: Checkpoint) -> list[list[Item]]:
    with checkpoint.journal() as journal:
        return [journal.read(first) for first, _ in journal.rows()]


def reopened(checkpoint: Checkpoint) -> Checkpoint:
    checkpoint.close()
    return Checkpoint("x", checkpoint.path.parent)


def test_what_is_appended_is_there_in_the_next_run(checkpoint: Checkpoint) -> None:
    assert append(checkpoint, *EVENTS[:2]) == 1
    assert append(checkpoint, GAP, Watermarks({CHANNEL: 5}), EVENTS[2]) == 3
    with closing(reopened(checkpoint)) as again:
        assert left(again) == [EVENTS[:2], [GAP, Watermarks({CHANNEL: 5}), EVENTS[2]]]
        assert append(again, EVENTS[3]) == 6


def test_a_row_leaves_when_all_of_it_is_settled(checkpoint: Checkpoint) -> None:
    append(checkpoint, *EVENTS[:3])
    append(checkpoint, *EVENTS[3:])
    checkpoint.commit((), 2)
    assert left(checkpoint) == [EVENTS[:3], EVENTS[3:]]
    with checkpoint.journal() as journal:
        assert (journal.position, journal.events_left()) == (2, 3)
    checkpoint.settle(4)
    assert left(checkpoint) == [EVENTS[3:]]
    checkpoint.settle(5)
    assert left(checkpoint) == []
    assert checkpoint.journal_size == 0


def test_a_position_never_goes_back(checkpoint: Checkpoint) -> None:
    append(checkpoint, *EVENTS)
    checkpoint.settle(4)
    checkpoint.commit((), 0)
    checkpoint.settle(2)
    with checkpoint.journal() as journal:
        assert journal.position == 4


def test_numbers_go_on_when_everything_was_settled(checkpoint: Checkpoint) -> None:
    append(checkpoint, *EVENTS)
    checkpoint.settle(5)
    with closing(reopened(checkpoint)) as again:
        assert append(again, EVENTS[0]) == 6


def test_what_is_settled_ahead_is_known_until_its_turn(checkpoint: Checkpoint) -> None:
    append(checkpoint, *EVENTS)
    checkpoint.commit((), 1, [(3, WHOLE), (5, WHOLE)])
    with closing(reopened(checkpoint)) as again, again.journal() as journal:
        assert journal.settled_ahead(1, 5) == {3, 5}
        assert journal.events_left() == 2
        journal.settle(5)
        assert journal.settled_ahead(1, 5) == set()


def test_parts_that_are_settled_leave_their_event(checkpoint: Checkpoint) -> None:
    of_three = event({"id": 1}, {"id": 2}, {"id": 3})
    append(checkpoint, EVENTS[0], of_three, EVENTS[1])
    checkpoint.commit((), 0, [(2, 2), (3, 1), (3, WHOLE)])
    with closing(reopened(checkpoint)) as again:
        with again.journal() as journal:
            journal.drop_settled_parts()
            assert journal.settled_ahead(1, 3) == {3}
            assert journal.events_left() == 2
            journal.settle_ahead([(2, 1)])  # of those that are left
            journal.drop_settled_parts()
        ((_, item, _),) = left(again)
        assert isinstance(item, ChannelEvent)
        (only,) = decode(item).records
        assert (only.data, only.queue) == (b'{"id": 3}', "Telegram.Broadcast.Message")
        again.settle(3)
        assert again.journal_size == 0


def test_the_first_gap_that_is_not_settled(checkpoint: Checkpoint) -> None:
    def first_gap() -> float:
        with checkpoint.journal() as journal:
            return journal.first_gap()

    append(checkpoint, *EVENTS)
    assert first_gap() == inf
    append(checkpoint, EVENTS[0], GAP, EVENTS[1], GAP)
    assert first_gap() == 7
    checkpoint.settle(8)
    assert first_gap() == 9


def test_a_checkpoint_of_version_2_gets_one(tmp_path: Path) -> None:
    with closing(Checkpoint("x", tmp_path)) as made:
        made.begin(CHANNEL, 5)
        made._database.executescript(
            "DROP TABLE journal; DROP TABLE ahead; DROP TABLE position;"
            "DROP TABLE recovered; PRAGMA user_version=2"
        )
    with closing(Checkpoint("x", tmp_path)) as made:
        assert made.watermarks[CHANNEL].until == 5
        assert append(made, *EVENTS) == 1


def test_a_damaged_row_is_a_clear_error(checkpoint: Checkpoint) -> None:
    append(checkpoint, *EVENTS)
    checkpoint._database.execute("UPDATE journal SET items = x'c1'")
    with pytest.raises(OutputError, match="is damaged"):
        left(checkpoint)


def test_what_was_settled_ahead_is_counted_once(checkpoint: Checkpoint) -> None:
    append(checkpoint, *EVENTS)
    checkpoint.commit((), 0, [(2, WHOLE)])
    checkpoint.settle(3)
    with checkpoint.journal() as journal:
        assert journal.events_left() == 2
