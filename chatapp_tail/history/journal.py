"""The journal of `--resume`, in the checkpoint: what came off the socket until it is delivered.

Delivered is one way of being settled; others are written, filtered out and refused for good.

Everything is here before it is offered to an output, and leaves in the transaction that notes it as
settled. So what a kill or an outage of the output interrupts is delivered by the next run, with
statuses and tags, which history does not have.

Items are numbered; a row holds those that came together. `position` is the number up to which all
is settled, `ahead` has what was settled beyond it: items, and parts of events.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec.structs import replace

from ..chatapp.records import decode
from ..formats.webhook import webhook_body
from ..items import ChannelEvent, Gap, Item

if TYPE_CHECKING:
    import sqlite3

TABLES = """
CREATE TABLE journal (
    first INTEGER PRIMARY KEY, last INTEGER, events INTEGER, has_gap INTEGER, items BLOB);
CREATE TABLE ahead (number INTEGER, part INTEGER, PRIMARY KEY (number, part)) WITHOUT ROWID;
CREATE TABLE position (id INTEGER PRIMARY KEY, number INTEGER);
CREATE TABLE recovered (id TEXT PRIMARY KEY, content INTEGER) WITHOUT ROWID;
"""

WHOLE = 0
"""Stands for all parts of an event."""
Ahead = tuple[int, int]
"""(the number of an item, the part of it, which counts from 1, or WHOLE)."""

_encode = msgspec.msgpack.encode
_decode = msgspec.msgpack.Decoder(list[Item]).decode


class Journal:
    """The rows of a journal; the caller opens transactions and handles the errors of SQLite.

    `next_number` is what the next item appended will have, `size` are the bytes of all rows.
    """

    def __init__(self, database: "sqlite3.Connection") -> None:
        self._execute = database.execute
        self.position: int
        self.size: int
        (self.position,) = self._row("SELECT coalesce(max(number), 0) FROM position")
        last, self.size = self._row(
            "SELECT coalesce(max(last), 0), coalesce(sum(length(items)), 0) FROM journal"
        )
        self.next_number: int = max(self.position, last) + 1
        self._first_row_ends = self._oldest_last()

    def _row(self, statement: str) -> Any:
        return self._execute(statement).fetchone()

    def _oldest_last(self) -> int:
        row = self._row("SELECT last FROM journal ORDER BY first LIMIT 1")
        return int(row[0]) if row else self.next_number

    def rows(self) -> list[tuple[int, int]]:
        """Return the number with which each row begins and how many events it has, in order."""
        return self._execute("SELECT first, events FROM journal ORDER BY first").fetchall()

    def first_gap(self) -> float:
        """Return the number of the first gap that is not settled; infinity if there is none."""
        for first, items in self._execute(
            "SELECT first, items FROM journal WHERE has_gap ORDER BY first"
        ):
            for number, item in enumerate(_decode(items), first):
                if number > self.position and isinstance(item, Gap):
                    return float(number)
        return float("inf")

    def append(self, items: Sequence[Item]) -> int:
        """Keep items; return the number of the first one."""
        first = self.next_number
        data = _encode(items)
        events = sum([type(item) is ChannelEvent for item in items])
        has_gap = any(isinstance(item, Gap) for item in items)
        self.next_number += len(items)
        row = (first, self.next_number - 1, events, has_gap, data)
        self._execute("INSERT INTO journal VALUES (?, ?, ?, ?, ?)", row)
        self.size += len(data)
        return first

    def read(self, first: int) -> list[Item]:
        """Return the items of a row."""
        (items,) = self._execute("SELECT items FROM journal WHERE first = ?", (first,)).fetchone()
        return _decode(items)

    def events_left(self) -> int:
        """Return how many events are not settled."""
        (events,) = self._row("SELECT coalesce(sum(events), 0) FROM journal")
        statement = "SELECT count(*) FROM ahead WHERE part = 0 AND number > ?"
        (ahead,) = self._execute(statement, (self.position,)).fetchone()
        row = self._row("SELECT first, items FROM journal ORDER BY first LIMIT 1")
        settled = row and _decode(row[1])[: max(0, self.position + 1 - row[0])]
        return int(events) - int(ahead) - sum(type(item) is ChannelEvent for item in settled or ())

    def settled_ahead(self, first: int, last: int) -> set[int]:
        """Return the numbers from `first` to `last` that were settled before their turn."""
        statement = "SELECT number FROM ahead WHERE part = 0 AND number BETWEEN ? AND ?"
        return {number for (number,) in self._execute(statement, (first, last))}

    def settle(self, number: int) -> None:
        """Note that all items up to `number` are settled; rows that are settled whole leave."""
        if number <= self.position:
            return
        self.position = number
        self._execute("INSERT OR REPLACE INTO position VALUES (1, ?)", (number,))
        if number < self._first_row_ends:
            return
        (gone,) = self._execute(
            "SELECT coalesce(sum(length(items)), 0) FROM journal WHERE last <= ?", (number,)
        ).fetchone()
        self.size -= gone
        self._execute("DELETE FROM journal WHERE last <= ?", (number,))
        self._execute("DELETE FROM ahead WHERE number <= ?", (number,))
        self._first_row_ends = self._oldest_last()

    def settle_ahead(self, ahead: Sequence[Ahead]) -> None:
        """Note items, or parts of them, that are settled while older ones are not."""
        for number_and_part in ahead:
            self._execute("INSERT OR IGNORE INTO ahead VALUES (?, ?)", number_and_part)

    def drop_settled_parts(self) -> None:
        """Take out of events what was settled of them; the parts that are left count from 1."""
        whole = "SELECT number FROM ahead WHERE part = 0"
        parts: dict[int, set[int]] = {}
        for number, part in self._execute(f"SELECT * FROM ahead WHERE number NOT IN ({whole})"):
            parts.setdefault(number, set()).add(part)
        for number, settled in parts.items():
            self._drop_parts(number, settled)
        self._execute("DELETE FROM ahead WHERE part > 0")

    def _drop_parts(self, number: int, settled: set[int]) -> None:
        statement = "SELECT first, items FROM journal WHERE ? BETWEEN first AND last"
        if row := self._execute(statement, (number,)).fetchone():
            first, items = row[0], _decode(row[1])
            items[number - first] = _without(items[number - first], settled)
            data = _encode(items)
            self._execute("UPDATE journal SET items = ? WHERE first = ?", (data, first))
            self.size += len(data) - len(row[1])


def _without(item: Item, parts: set[int]) -> Item:
    """Return an event without these parts."""
    if not isinstance(item, ChannelEvent):
        return item
    decoded = decode(item)
    left = [record for record in decoded.records if record.part not in parts]
    if not left:
        return item
    queue = msgspec.json.encode(left[0].queue)
    data = b'{"queue":%b,"payload":%b}' % (queue, webhook_body(decoded, left))
    return replace(item, data=data)
