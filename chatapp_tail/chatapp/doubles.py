"""Drops the second of two: a message that came live and stands in history comes out once.

Only messages can come from history. What the server sends live twice is shown twice: an edited
message has the id it had before, and honest repeats are the server's to make.
"""

from collections import OrderedDict
from collections.abc import Iterable

from .events import Record, Source

MOST = 30_000
LONGEST = 24 * 3600 * 10**9
"""How many ids are remembered, and for how many nanoseconds, counted to the newest one.

They have to reach from the end of a gap to the overlap before it, so an age of minutes would not
do. An id that is forgotten too early makes a double, never a loss.
"""

TWIN_WITHIN = 600 * 10**9
"""Nanoseconds after a message came from history in which it may come live for the first time."""


class Doubles:
    """Remembers the messages shown of late; `shown` are ids of an earlier run, `now` counts them.

    `now` is in nanoseconds, as is the `received` of records.
    """

    def __init__(self, shown: Iterable[str] = (), *, now: int = 0) -> None:
        self._shown: OrderedDict[str, int] = OrderedDict.fromkeys(shown, now)
        self._only_in_history: set[str] = set()
        self._most = max(MOST, len(self._shown))

    def without(self, records: Iterable[Record]) -> list[Record]:
        """Return the records that are to be shown; they count as shown from now on."""
        return [each for each in records if each.event != "message" or self._is_new(each)]

    def _is_new(self, record: Record) -> bool:
        if record.source is Source.LIVE and record.id in self._only_in_history:
            # Its live twin, unless it comes late: then the server says it once more, edited.
            self._only_in_history.remove(record.id)
            if record.received - self._shown[record.id] < TWIN_WITHIN:
                return False
        if record.source is not Source.LIVE:
            if record.id in self._shown:
                return False
            self._only_in_history.add(record.id)
        self._shown[record.id] = record.received
        self._shown.move_to_end(record.id)
        self._forget(record.received - LONGEST)
        return True

    def _forget(self, before: int) -> None:
        while len(self._shown) > self._most or next(iter(self._shown.values())) < before:
            oldest, _ = self._shown.popitem(last=False)
            self._only_in_history.discard(oldest)
