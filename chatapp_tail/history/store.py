"""Messages that were fetched and not handed out yet: on disk, so that there may be any number.

An SQLite database: without a path a temporary one, which ends with the process. With a path the
next run finds what this one fetched, so that a backlog which takes longer than one run is read in
several. Everything in it could be fetched again: a file that is damaged or of another program is
replaced.
"""

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

import msgspec

from .answers import Item, Message, MessengerRef

_VERSION = 1
_CHUNK = 200
_LOCKED = 2.0
_CACHE = 16 * 1024
"""KiB of memory: enough for the index of some hundred thousand messages."""

_SCHEMA = """
CREATE TABLE IF NOT EXISTS message (
    place INTEGER PRIMARY KEY, license INTEGER, messenger TEXT, chat TEXT, key BLOB, leg INTEGER,
    time INTEGER, number INTEGER, item BLOB, UNIQUE (license, messenger, chat, key));
CREATE TABLE IF NOT EXISTS waiting (
    time INTEGER, number INTEGER, place INTEGER, PRIMARY KEY (time, number, place)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS chat (
    license INTEGER, messenger TEXT, chat TEXT, state BLOB,
    PRIMARY KEY (license, messenger, chat)) WITHOUT ROWID;
"""

_ADD = """
INSERT INTO message (license, messenger, chat, key, leg, time, number, item)
VALUES (?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (license, messenger, chat, key)
DO UPDATE SET leg = excluded.leg, item = excluded.item WHERE leg <> excluded.leg
"""

_TAKE = """
SELECT w.time, w.number, w.place, m.license, m.messenger, m.item
FROM waiting AS w CROSS JOIN message AS m
WHERE m.place = w.place AND w.time < ? ORDER BY w.time, w.number, w.place LIMIT ?
"""


class Progress(msgspec.Struct):
    """How far one chat was read.

    It is read from `since` on. Reading began at `begun`, in seconds of our clock, when the list had
    it with `last_time`, first seen at `listed`, by our clock too. `query` requests the next page;
    it is empty when the chat was read to its end. `leg` counts how often reading began.
    """

    since: int
    begun: float
    last_time: int | None
    listed: float
    query: dict[str, str]
    leg: int = 1

    def is_older(self, since: int) -> bool:
        """Return whether the chat was read to its end, and ended before a moment."""
        return not self.query and self.last_time is not None and self.last_time < since


_encode = msgspec.msgpack.encode
_decode = msgspec.msgpack.Decoder(Progress).decode


class HistoryStore:
    """Messages by chat and id, each once, taken out in the order of their time.

    Raises sqlite3.Error when the disk fails.
    """

    def __init__(self, path: Path | None = None) -> None:
        self._database = _open(path)
        self._database.execute("DELETE FROM waiting")
        self._database.commit()
        self._last_place = 0

    def begin(self, ref: MessengerRef, since: int) -> dict[str, Progress]:
        """Return how far the chats of a messenger were read, by name; drop what is older.

        Its stored messages will be handed out, even if they were before: the earlier run may have
        ended before they were written.
        """
        execute = self._database.execute
        of_line = "license = ? AND messenger = ?"
        execute(f"DELETE FROM message WHERE {of_line} AND time < ?", (*ref, since))
        execute(
            "INSERT OR IGNORE INTO waiting"
            f" SELECT time, number, place FROM message WHERE {of_line}",
            ref,
        )
        rows = execute(f"SELECT chat, state FROM chat WHERE {of_line}", ref).fetchall()
        states = {chat: state for chat, text in rows if (state := _state(text)) is not None}
        old = [chat for chat, _ in rows if chat not in states or states[chat].is_older(since)]
        for chat in old:
            execute(f"DELETE FROM chat WHERE {of_line} AND chat = ?", (*ref, chat))
            states.pop(chat, None)
        (self._last_place,) = execute("SELECT ifnull(max(place), 0) FROM message").fetchone()
        self._database.commit()
        return states

    def add(
        self, ref: MessengerRef, chat: str, items: Sequence[Item], times: Sequence[int], leg: int
    ) -> list[bool]:
        """Add a page of a chat; return which items are new to this leg.

        It is committed by `note`, together with the progress.
        """
        execute, new = self._database.execute, []
        for item, time in zip(items, times, strict=True):
            row = (*ref, chat, item.key, leg, time, item.number, item.item)
            added = execute(_ADD, row)
            new.append(added.rowcount > 0)
            # A stored message may have been handed out; a new one has the next place.
            if (place := added.lastrowid or 0) > self._last_place:
                execute("INSERT INTO waiting VALUES (?, ?, ?)", (time, item.number, place))
                self._last_place = place
        return new

    def note(self, ref: MessengerRef, chat: str, state: Progress) -> None:
        """Commit the progress of a chat, together with the page that was added last."""
        self._database.execute(
            "INSERT OR REPLACE INTO chat VALUES (?, ?, ?, ?)", (*ref, chat, _encode(state))
        )
        self._database.commit()

    def take(self, before: float) -> Iterator[Message]:
        """Hand out messages older than a moment, in order, once per opening of the store."""
        while rows := self._database.execute(_TAKE, (min(before, 2**62), _CHUNK)).fetchall():
            self._database.executemany(
                "DELETE FROM waiting WHERE time = ? AND number = ? AND place = ?",
                [row[:3] for row in rows],
            )
            self._database.commit()
            for time, number, _, license_id, messenger, item in rows:
                yield Message(time, number, MessengerRef(license_id, messenger), item)

    def close(self) -> None:
        """Close the store, which removes a temporary one."""
        self._database.close()


def _state(text: bytes) -> Progress | None:
    try:
        return _decode(text)
    except (msgspec.MsgspecError, TypeError):
        return None


def _open(path: Path | None) -> sqlite3.Connection:
    """Open a file, replacing an unusable one; a temporary one if that fails too."""
    if path is not None:
        for _ in range(2):
            try:
                return _connect(str(path))
            except (sqlite3.Error, OSError):
                remove_store(path)
    return _connect("")


def _connect(name: str) -> sqlite3.Connection:
    if name:
        Path(name).touch(mode=0o600)
    # Not bound to one thread: an abandoned generator may be closed by any.
    database = sqlite3.connect(name, timeout=_LOCKED, check_same_thread=False)
    try:
        (version,) = database.execute("PRAGMA user_version").fetchone()
        (tables,) = database.execute("SELECT count(*) FROM sqlite_master").fetchone()
        if tables and version != _VERSION:
            raise sqlite3.DatabaseError("it is of another version, or of another program")
        database.execute(f"PRAGMA journal_mode = {'WAL' if name else 'OFF'}")
        database.execute("PRAGMA synchronous = OFF")
        database.execute(f"PRAGMA cache_size = -{_CACHE}")
        database.executescript(f"{_SCHEMA} PRAGMA user_version = {_VERSION};")
        (sound,) = database.execute("PRAGMA quick_check(1)").fetchone()
        if sound != "ok":
            raise sqlite3.DatabaseError(sound)
    except BaseException:
        database.close()
        raise
    return database


def remove_store(path: Path) -> None:
    """Remove the file of a closed store, if it exists."""
    for name in (path, *(path.with_name(path.name + suffix) for suffix in ("-wal", "-shm"))):
        with suppress(OSError):
            name.unlink()
