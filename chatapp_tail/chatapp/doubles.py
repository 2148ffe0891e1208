"""Drops the second of two: a message that came live and stands in history comes out once.

Only messages can come from history. What the server sends live twice is shown twice: an edited
message has the id it had before, and honest repeats are the server's to make.
"""

from collections.abc import Iterable

from .events import Record, Source

MOST = 30_000
LONGEST = 24 * 3600 * 10**9
"""How many ids are remembered, and for how many nanoseconds, counted to the newest one.

They have to reach from the end of a gap to the overlap before it, so an age of minutes would not
do. An id that is forgotten too early makes a double, never a loss.
"""

TWIN_WITHIN = 30 * 10**9
"""Nanoseconds after a message came from history in which it may come live for the first time, and
look another way; after that only with the same bytes."""

_NOW_AND_THEN = 3600 * 10**9
_LIVE = Source.LIVE


class Doubles:
    """Remembers the messages shown of late; `shown` are ids of an earlier run, `now` counts them.

    `now` is in nanoseconds, as is the `received` of records.
    """

    def __init__(self, shown: Iterable[str] = (), *, now: int = 0) -> None:
        # Oldest first; moving one to the end is removing and adding it.
        self._shown = dict.fromkeys(shown, now)
        self._only_in_history: dict[str, int] = {}
        self._most = MOST + len(self._shown)
        self._forget_at = now

    def without(self, records: list[Record]) -> list[Record]:
        """Return the records that are to be shown; they count as shown from now on."""
        if len(records) == 1:  # nearly always, and a comprehension is a call
            return records if records[0].event != "message" or self._is_new(records[0]) else []
        return [each for each in records if each.event != "message" or self._is_new(each)]

    def _is_new(self, record: Record) -> bool:
        shown, name, received = self._shown, record.id, record.received
        if name in shown:
            if self._is_double(record):
                return False
            del shown[name]
        if record.source is not _LIVE:
            self._only_in_history[name] = hash(record.data)
        shown[name] = received
        if len(shown) > self._most or received > self._forget_at:
            self._forget(received - LONGEST)
        return True

    def _is_double(self, record: Record) -> bool:
        """Return whether an id that was shown was so by the other way, and still counts."""
        age = record.received - self._shown[record.id]
        if age > LONGEST:
            self._only_in_history.pop(record.id, None)
            return False
        if record.source is not _LIVE:
            return True
        if record.id not in self._only_in_history:
            return False
        # Its live twin, unless it comes late and differs: then the server says it anew, edited.
        said = self._only_in_history.pop(record.id)
        return age < TWIN_WITHIN or said == hash(record.data)

    def _forget(self, before: int) -> None:
        """Forget what is too old, and of too many the oldest: some at once, since it takes time."""
        shown = self._shown
        self._forget_at = before + LONGEST + _NOW_AND_THEN
        excess = len(shown) - self._most
        if excess > 0:
            excess += self._most // 100
        oldest = []
        for number, (name, received) in enumerate(shown.items()):
            if number >= excess and received >= before:
                break
            oldest.append(name)
        for name in oldest:
            del shown[name]
            self._only_in_history.pop(name, None)
