"""Only the settled prefix moves the position, and what stands between deliveries takes its turn."""

import random

import pytest

from chatapp_tail.chatapp.records import Record
from chatapp_tail.history.journal import WHOLE, Ahead
from chatapp_tail.sinks.delivery import Delivery
from chatapp_tail.tail.ledger import Ledger
from tests.factories import record


class Committed:
    """What a ledger committed and called, in order."""

    def __init__(self) -> None:
        self.ledger = Ledger(self._commit)
        self.log: list[object] = []
        self.position = 0
        self.ahead: set[int] = set()
        self.parts: list[Ahead] = []

    def _commit(self, records: list[Record], position: int, ahead: list[Ahead]) -> None:
        self.log += [record.id for record in records]
        self.position = max(position, self.position)
        self.ahead |= {number for number, part in ahead if part == WHOLE}
        self.parts += [(number, part) for number, part in ahead if part != WHOLE]

    def give(self, *numbers: int, position: int = 0) -> None:
        self.ledger.give([delivery(number) for number in numbers], position)


def delivery(number: int) -> Delivery:
    return Delivery(number, "chat", [record(id=str(number))], b"body")


@pytest.fixture
def committed() -> Committed:
    return Committed()


def test_the_settled_prefix_is_committed(committed: Committed) -> None:
    for number in (1, 2, 3):
        committed.give(number, position=10 * number)
    committed.ledger.settle([2])
    assert (committed.position, committed.ahead) == (0, {20})
    committed.ledger.settle([1])
    assert committed.position == 20
    committed.ledger.settle([3])
    assert committed.position == 30
    assert (len(committed.ledger), committed.ledger.size) == (0, 0)


def test_actions_take_their_turn(committed: Committed) -> None:
    committed.ledger.after(lambda: committed.log.append("at once"))
    committed.give(1)
    committed.ledger.after(lambda: committed.log.append("after 1"))
    committed.give(2)
    committed.ledger.after(lambda: committed.log.append("after 2"))
    committed.ledger.settle([2])
    assert committed.log == ["at once", "2"]
    committed.ledger.settle([1])
    assert committed.log == ["at once", "2", "1", "after 1", "after 2"]


def test_records_are_committed_before_their_turn(committed: Committed) -> None:
    """History may have their messages: a kill would deliver them once more from there."""
    committed.give(1)
    committed.give(2)
    committed.ledger.settle([2])
    assert (committed.log, committed.ahead) == (["2"], set())
    committed.ledger.settle([1])
    assert committed.log == ["2", "1"]


def test_an_event_in_several_deliveries_is_settled_ahead_part_by_part(
    committed: Committed,
) -> None:
    committed.give(1, position=1)
    committed.give(2, 3, position=2)
    committed.ledger.settle([3])
    assert (committed.ahead, committed.parts) == (set(), [(2, 1)])
    committed.ledger.settle([2])
    assert (committed.position, committed.ahead) == (0, {2})
    committed.ledger.settle([1])
    assert committed.position == 2


def test_in_whatever_order_all_is_committed_once() -> None:
    drawn = random.Random(1)
    for _ in range(200):
        committed = Committed()
        numbers = list(range(1, drawn.randint(2, 30)))
        for number in numbers:
            committed.give(number, position=number)
        waiting = drawn.sample(numbers, len(numbers))
        while waiting:
            count = drawn.randint(1, 4)
            committed.ledger.settle(waiting[:count])
            del waiting[:count]
            assert sorted(committed.log, key=str) == sorted(map(str, {*numbers} - {*waiting}))
            assert not set(waiting) & (committed.ahead | set(range(1, committed.position + 1)))
        assert committed.position == numbers[-1]
