"""What was given to a destination and is not settled: only the settled prefix moves the position.

Acknowledgements may come in any order. Records are committed as they are settled, and so are the
numbers of events that are settled before their turn, as `ahead`, so that the next run does not
deliver them again. What stands between deliveries, such as the move of a watermark, takes its turn
behind all that was given before it.
"""

from collections import deque
from collections.abc import Callable, Sequence

from ..chatapp.records import Record
from ..history.journal import WHOLE, Ahead
from ..sinks.delivery import Delivery

_OVERHEAD = 500
"""Approximate bytes per delivery besides its body and its records."""


class _Entry:
    """An event, or an action; `left` of its deliveries are not settled.

    All items of the journal up to `position` are settled with it and all entries before it, the one
    at `position` with it alone, and a part of that with each delivery; 0 for none.
    """

    __slots__ = ("action", "left", "position")

    def __init__(
        self, left: int, position: int = 0, action: Callable[[], None] | None = None
    ) -> None:
        self.left = left
        self.position = position
        self.action = action


Commit = Callable[[list[Record], int, list[Ahead]], None]
"""(records, position, ahead): these records are settled, in whatever order, and all items of the
journal up to the position, and single ones or parts of them ahead of it."""


class Ledger:
    """Deliveries that are under way, oldest first.

    `commit` is called with what is settled, before the actions behind it. Records do not wait for
    their turn: history may have their messages, and a later run must know that they are delivered.
    """

    def __init__(self, commit: Commit) -> None:
        self.size = 0
        """Bytes under way, approximately."""
        self._commit = commit
        self._order: deque[_Entry] = deque()
        """Events and actions in the order in which they were given."""
        self._unsettled: dict[int, tuple[_Entry, Delivery]] = {}
        """Deliveries by their number, each with its event."""

    def __len__(self) -> int:
        """How many deliveries are not settled."""
        return len(self._unsettled)

    def give(self, deliveries: Sequence[Delivery], position: int) -> None:
        """Note the deliveries of one event, whose place in the journal is `position`."""
        entry = _Entry(len(deliveries), position)
        self._order.append(entry)
        for delivery in deliveries:
            self._unsettled[delivery.number] = entry, delivery
            self.size += _size(delivery)

    def after(self, action: Callable[[], None]) -> None:
        """Call `action` once everything given so far is settled, at once if it is."""
        if self._order:
            self._order.append(_Entry(0, action=action))
        else:
            action()

    def settle(self, numbers: Sequence[int]) -> None:
        """Note deliveries as done, and commit them, and what is settled from the oldest on."""
        done = [self._unsettled.pop(number) for number in numbers]
        records: list[Record] = []
        for entry, delivery in done:
            entry.left -= 1
            self.size -= _size(delivery)
            records += delivery.records
        position = 0
        while self._order and not self._order[0].left:
            entry = self._order.popleft()
            position, entry.position = max(position, entry.position), 0
            if entry.action:
                self._commit_all(records, position, [])
                records, position = [], 0
                entry.action()
        ahead = [part for entry, delivery in done for part in _ahead(entry, delivery)]
        self._commit_all(records, position, ahead)

    def _commit_all(self, records: list[Record], position: int, ahead: list[Ahead]) -> None:
        if records or position or ahead:
            self._commit(records, position, ahead)


def _ahead(entry: _Entry, delivery: Delivery) -> list[Ahead]:
    """Return what is settled with a delivery, unless all before it is settled as well."""
    if not entry.position:
        return []
    if not entry.left:
        return [(entry.position, WHOLE)]
    return [(entry.position, record.part) for record in delivery.records]


def _size(delivery: Delivery) -> int:
    return _OVERHEAD + 2 * len(delivery.body)
