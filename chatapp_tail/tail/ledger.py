"""What was given to a destination and is not settled.

Acknowledgements may come in any order. The records and the position that are committed are those
of the settled prefix; of events settled beyond it, only the numbers are, as `ahead`, so that the
next run does not deliver them again. What stands between deliveries, such as the move of a
watermark, takes its turn behind all that was given before it.
"""

from collections import deque
from collections.abc import Callable, Sequence

from ..chatapp.records import Record
from ..sinks.delivery import Delivery

_OVERHEAD = 500
"""Approximate bytes per delivery besides its body and its records."""


class _Entry:
    """A delivery, or an action; `settled` means nothing more is waited for.

    `position` is settled with all entries before it; with this one alone if it `is_whole`, the only
    delivery of its event.
    """

    __slots__ = ("action", "is_whole", "position", "records", "settled", "size")

    def __init__(
        self,
        records: Sequence[Record],
        size: int,
        position: int,
        *,
        is_whole: bool = False,
        action: Callable[[], None] | None = None,
    ) -> None:
        self.records = records
        self.size = size
        self.position = position
        self.is_whole = is_whole
        self.action = action
        self.settled = action is not None


Commit = Callable[[list[Record], int, list[int]], None]
"""(records, position, ahead): these records are settled, and with them all items of the journal up
to the position, and single ones ahead of it."""


class Ledger:
    """Deliveries that are under way, oldest first.

    `commit` is called with what is settled, before the actions behind it.
    """

    def __init__(self, commit: Commit) -> None:
        self.size = 0
        """Bytes under way, approximately."""
        self._commit = commit
        self._order: deque[_Entry] = deque()
        """Deliveries and actions in the order in which they were given."""
        self._unsettled: dict[int, _Entry] = {}
        """Deliveries by their number."""

    def __len__(self) -> int:
        """How many deliveries are not settled."""
        return len(self._unsettled)

    def give(self, deliveries: Sequence[Delivery], position: int) -> None:
        """Note deliveries as under way; `position` in the journal is settled with the last one."""
        for delivery in deliveries:
            size = _OVERHEAD + 2 * len(delivery.body)
            last = position if delivery is deliveries[-1] else 0
            entry = _Entry(delivery.records, size, last, is_whole=len(deliveries) == 1)
            self._order.append(entry)
            self._unsettled[delivery.number] = entry
            self.size += size

    def after(self, action: Callable[[], None]) -> None:
        """Call `action` once everything given so far is settled, at once if it is."""
        if self._order:
            self._order.append(_Entry((), 0, 0, action=action))
        else:
            action()

    def settle(self, numbers: Sequence[int]) -> None:
        """Note deliveries as done, and commit what is settled from the oldest on."""
        done = [self._unsettled.pop(number) for number in numbers]
        for entry in done:
            entry.settled = True
            self.size -= entry.size
        records: list[Record] = []
        position = 0
        while self._order and self._order[0].settled:
            entry = self._order.popleft()
            records += entry.records
            position, entry.position = max(position, entry.position), 0
            if entry.action:
                self._commit_all(records, position, [])
                records, position = [], 0
                entry.action()
        ahead = [entry.position for entry in done if entry.position and entry.is_whole]
        self._commit_all(records, position, ahead)

    def _commit_all(self, records: list[Record], position: int, ahead: list[int]) -> None:
        if records or position or ahead:
            self._commit(records, position, ahead)
