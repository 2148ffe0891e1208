"""The checkpoint of `--resume`: what was written to stdout, so that the next run continues there.

It has a name and holds two things: for each channel the moment until which everything was written,
and the ids of the messages written, as far back as the next run may read them again. Both are
committed after the write and never before it, so every message is in the output at least once; it
is there twice only when the process was killed between the two. How many lines share a commit is
decided by who writes them, `tail.line_writer`.

SQLite in WAL mode: a commit is one append and safe against SIGKILL at any instant. No commit is
followed by fsync, so after a loss of power both files depend on the file system.
"""

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec.structs import replace

from ..chatapp.records import Record, Source
from ..errors import OutputError, UsageError
from ..files import state_directory
from ..items import Gap
from .dedup import content_hash
from .journal import TABLES as JOURNAL_TABLES
from .journal import Ahead, Journal
from .message_times import MessageTimes

if TYPE_CHECKING:
    import sqlite3

_VERSION = 3
_RETENTION = 900 * 10**9
"""Nanoseconds before a channel's watermark, and before its last message, for which ids are kept;
history is read from five minutes before the watermark, or from a gap somewhat earlier."""
_ALWAYS_KEPT = 20_000
"""Ids that are kept whatever their age."""
_DAY = 86_400 * 10**9
_PRUNE_EVERY = 60.0
_LOCK_TIMEOUT = 30.0
"""Seconds to wait while another program has the database locked."""
_BUSY_TIMEOUT = 0.25
_WAL_PAGES = 4000
"""Pages of 4 KiB in the write-ahead log before they are copied to the database; what the journal
kept for a moment only is then mostly gone."""

_ADVICE = "without the file, --since names where to begin"

_TABLES = """
CREATE TABLE mark (
    channel TEXT PRIMARY KEY, began INTEGER, until INTEGER, newest INTEGER, floor INTEGER);
CREATE TABLE written (id TEXT PRIMARY KEY, channel TEXT, at INTEGER) WITHOUT ROWID;
CREATE TABLE torn (line INTEGER PRIMARY KEY);
"""
_FROM_VERSION_1 = """
ALTER TABLE mark ADD COLUMN newest INTEGER;
ALTER TABLE mark ADD COLUMN floor INTEGER;
"""
_MIGRATIONS = {0: _TABLES + JOURNAL_TABLES, 1: _FROM_VERSION_1 + JOURNAL_TABLES, 2: JOURNAL_TABLES}
"""Version of a file -> the statements that make it one of this version."""


class Watermark(msgspec.Struct, frozen=True):
    """A channel was tailed first at `began`; everything that happened until `until` is written.

    In wall-clock nanoseconds. `newest` is the time of the newest message by then, and `floor` the
    begin, both in seconds by the service's clock, None while unknown.
    """

    began: int
    until: int
    newest: int | None = None
    floor: int | None = None


class Checkpoint:
    """The checkpoint called `name`, locked by this process; UsageError when another one has it.

    OutputError when it cannot be read or written: without it, messages could be lost.
    """

    def __init__(self, name: str, directory: Path | None = None) -> None:
        self.path = (directory or _directory()) / f"{name}.sqlite"
        self._name = name
        self._pins: list[tuple[str, int]] = []
        """(channel, begin) of open gaps: no watermark passes them."""
        self._given_up: dict[str, int] = {}
        """Channel -> begin of a gap that was given up; it pins the watermark as well."""
        self._proven: dict[str, int] = {}
        """Channel -> the moment until which everything is written, gaps aside."""
        self._prune_due = 0.0
        """When to prune next (monotonic)."""
        with self._failing("open"):
            self._lock()
            self._open()
            watermarks = self._read_watermarks()
            self.partial_line = bool(self._query("SELECT 1 FROM torn"))
            """Whether a line is written in part: the last run was killed within a long one."""
            self._journal = Journal(self._database)
        now = time.time_ns()
        self.watermarks = {
            channel: _clamp_to_now(watermark, now) for channel, watermark in watermarks.items()
        }
        # A watermark in the future was replaced by an earlier one.
        self.set_back = any(watermark.until > now for watermark in watermarks.values())
        self._save(
            name for name, watermark in watermarks.items() if watermark != self.watermarks[name]
        )
        self.times = MessageTimes(
            {
                name: watermark.newest
                for name, watermark in self.watermarks.items()
                if watermark.newest is not None
            },
            {
                name: watermark.floor
                for name, watermark in self.watermarks.items()
                if watermark.floor is not None
            },
        )

    def _lock(self) -> None:
        from filelock import FileLock, Timeout

        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._file_lock = FileLock(f"{self.path}.lock", mode=0o600)
        try:
            self._file_lock.acquire(timeout=0)
        except Timeout as error:
            raise UsageError(
                f"another chatapp-tail runs with --resume={self._name} and writes its checkpoint;"
                " give this one a name of its own: --resume=NAME"
            ) from error

    def _open(self) -> None:
        import sqlite3

        self.path.touch(mode=0o600)
        self._database = sqlite3.connect(self.path, timeout=_BUSY_TIMEOUT, isolation_level=None)
        with self._transaction("open"):
            ((version,),) = self._query("PRAGMA user_version")
            if version > _VERSION:
                raise OutputError(
                    f"the checkpoint {self.path} is of a newer chatapp-tail; use that"
                )
            if version < _VERSION:
                self._make_tables(version)
        self._query("PRAGMA journal_mode=WAL")
        self._query("PRAGMA synchronous=NORMAL")
        self._query(f"PRAGMA wal_autocheckpoint={_WAL_PAGES}")

    def _make_tables(self, version: int) -> None:
        if version == 0 and self._query("SELECT 1 FROM sqlite_master"):
            raise OutputError(f"{self.path} is a database of another program; move it away")
        for statement in _MIGRATIONS[version].split(";"):
            self._database.execute(statement)
        self._database.execute(f"PRAGMA user_version={_VERSION}")

    def _read_watermarks(self) -> dict[str, Watermark]:
        rows = self._query("SELECT channel, began, until, newest, floor FROM mark")
        names = Watermark.__struct_fields__
        try:
            members = {channel: dict(zip(names, row, strict=True)) for channel, *row in rows}
            return msgspec.convert(members, dict[str, Watermark])
        except msgspec.ValidationError as error:
            raise self._damaged(error) from error

    def _query(self, statement: str, values: tuple[object, ...] = ()) -> list[Any]:
        """Return the rows, waiting for a lock of another program."""
        import sqlite3

        deadline = time.monotonic() + _LOCK_TIMEOUT
        while True:
            try:
                return self._database.execute(statement, values).fetchall()
            except sqlite3.OperationalError as error:
                if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() >= deadline:
                    raise

    @contextmanager
    def _transaction(self, what: str = "write") -> Iterator["sqlite3.Connection"]:
        with self._failing(what):
            self._query("BEGIN IMMEDIATE")
            yield self._database
            self._database.execute("COMMIT")

    @contextmanager
    def _failing(self, what: str) -> Iterator[None]:
        import sqlite3

        try:
            yield
        except sqlite3.Error as error:
            if getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_BUSY:
                raise OutputError(
                    f"cannot {what} the checkpoint {self.path}: another program has had it locked"
                    f" for {_LOCK_TIMEOUT:.0f} s"
                ) from error
            raise OutputError(
                f"cannot {what} the checkpoint {self.path}: {error}; {_ADVICE}"
            ) from error
        except OSError as error:
            raise OutputError(
                f"cannot {what} the checkpoint {self.path}: {error.strerror}"
            ) from error
        except msgspec.MsgspecError as error:
            raise self._damaged(error) from error

    def _damaged(self, error: Exception) -> OutputError:
        return OutputError(f"the checkpoint {self.path} is damaged: {error}; {_ADVICE}")

    @property
    def journal_size(self) -> int:
        """Bytes in the journal."""
        return self._journal.size

    def settle(self, position: int) -> None:
        """Record that all items of the journal up to `position` are settled."""
        if position > self._journal.position:
            with self._transaction():
                self._journal.settle(position)

    @contextmanager
    def journal(self, what: str = "write") -> Iterator[Journal]:
        """Give the journal within a transaction; what it changes is committed at the end."""
        with self._transaction(what):
            yield self._journal

    @property
    def history_store(self) -> Path:
        """The path at which fetched history is kept for the next run until it is written."""
        return Path(f"{self.path}-history")

    def written(self) -> list[str]:
        """Return the ids of the messages written last."""
        with self._failing("read"):
            rows = self._query("SELECT id FROM written ORDER BY at")
            return msgspec.convert([record_id for (record_id,) in rows], list[str])

    def recovered(self) -> dict[str, int]:
        """Return id and content hash of messages from history whose live copies may be journaled.

        None where the journal is empty.
        """
        with self._transaction("read") as database:
            if not self._journal.size:
                database.execute("DELETE FROM recovered")
            return dict(self._query("SELECT * FROM recovered WHERE content NOT NULL"))

    def mark_partial(self) -> None:
        """Record that a line is partially written."""
        with self._transaction() as database:
            database.execute("INSERT OR REPLACE INTO torn VALUES (1)")
        self.partial_line = True

    def commit(
        self, records: Iterable[Record], position: int = 0, ahead: Sequence[Ahead] = ()
    ) -> None:
        """Record what has been written; no line is partial any more.

        All items of the journal up to `position` are settled with it, and those of `ahead`.
        """
        records = list(records)
        rows = [(record.id, record.channel, record.received) for record in records]
        recovered = [
            (record.id, content_hash(record.data))
            for record in records
            if record.source is Source.BACKFILL
        ]
        with self._transaction() as database:
            database.executemany("INSERT OR REPLACE INTO written VALUES (?, ?, ?)", rows)
            database.executemany("INSERT OR REPLACE INTO recovered VALUES (?, ?)", recovered)
            if self.partial_line:
                database.execute("DELETE FROM torn")
            self._journal.settle(position)
            self._journal.settle_ahead(ahead)
        self.partial_line = False

    def begin(self, channel: str, at: int) -> None:
        """Record that a channel is tailed from `at` on, unless it was before."""
        if channel not in self.watermarks:
            self.watermarks[channel] = Watermark(at, at)
            self._save([channel])

    def pin(self, gap: Gap) -> None:
        """Keep the watermark of a channel from passing a gap whose messages are still to come."""
        self._pins.append((gap.channel, gap.begin))
        watermark = self.watermarks.get(gap.channel)
        if watermark and gap.begin < watermark.until:
            began = min(watermark.began, gap.begin)
            self.watermarks[gap.channel] = replace(watermark, began=began, until=gap.begin)
            self._save([gap.channel])

    def unpin(self, gap: Gap) -> None:
        """Let the watermark pass a gap whose messages are written.

        A gap that was given up still pins it, until a later gap of the channel is read from the
        same begin; if there is none in this run, the next run reads it again.
        """
        pin = (gap.channel, gap.begin)
        if pin in self._pins:
            self._pins.remove(pin)
        if gap.given_up:
            begin = self._given_up.get(gap.channel, gap.begin)
            self._given_up[gap.channel] = min(begin, gap.begin)
        else:
            self._given_up.pop(gap.channel, None)
        self._advance([gap.channel])

    def advance(self, until: Mapping[str, int]) -> None:
        """Advance watermarks: everything that happened in these channels until then is written.

        A pinned watermark follows when its gap is released.
        """
        self._proven.update(until)
        self._advance(until)
        if time.monotonic() >= self._prune_due:
            self._prune_due = time.monotonic() + _PRUNE_EVERY
            self._prune()

    def _advance(self, channels: Iterable[str]) -> None:
        moved = []
        for channel in channels:
            watermark, proved = self.watermarks.get(channel), self._proven.get(channel)
            if watermark is None or proved is None:
                continue
            pins = [begin for name, begin in self._pins if name == channel]
            pins += [self._given_up[channel]] if channel in self._given_up else []
            self.watermarks[channel] = replace(watermark, until=min([proved, *pins]))
            if self._with_times(channel) != watermark:
                moved.append(channel)
        self._save(moved)

    def _with_times(self, channel: str) -> Watermark:
        """Update a watermark from the messages' times; `newest` only while no gap is open."""
        watermark = self.watermarks[channel]
        held = channel in self._given_up or any(name == channel for name, _ in self._pins)
        newest = watermark.newest if held else self.times.newest.get(channel)
        watermark = replace(watermark, newest=newest, floor=self.times.begins.get(channel))
        self.watermarks[channel] = watermark
        return watermark

    def _save(self, channels: Iterable[str]) -> None:
        rows = [
            (channel, *msgspec.structs.astuple(self.watermarks[channel])) for channel in channels
        ]
        if rows:
            with self._transaction() as database:
                database.executemany("INSERT OR REPLACE INTO mark VALUES (?, ?, ?, ?, ?)", rows)

    def _prune(self) -> None:
        """Delete the ids of messages that no later run will read again.

        A later run may begin at the last message, by the service's clock, however old it is. Where
        our clock is set forward and back, ages say little, so some ids are kept whatever their age.
        """
        ((count,),) = self._query("SELECT count(*) FROM written")
        if count <= _ALWAYS_KEPT:
            return
        with self._transaction() as database:
            ages = self._query("SELECT channel, min(at), max(at) FROM written GROUP BY channel")
            for channel, oldest, newest in ages:
                watermark = self.watermarks.get(channel)
                if watermark and oldest < (before := min(watermark.until, newest) - _RETENTION):
                    values = (channel, before)
                    database.execute("DELETE FROM written WHERE channel = ? AND at < ?", values)
            database.execute("DELETE FROM recovered WHERE id NOT IN (SELECT id FROM written)")

    def close(self) -> None:
        """Save the watermarks and release the lock."""
        try:
            before = dict(self.watermarks)
            self._save(
                name for name, watermark in before.items() if self._with_times(name) != watermark
            )
        finally:
            self._database.close()
            self._file_lock.release()


def _clamp_to_now(watermark: Watermark, now: int) -> Watermark:
    """Return a watermark that is not in the future, where a clock that was set back may leave it.

    Then the present clock does not tell until when everything is written. The best known moment
    is the newest message's, by the service's clock; else the begin; else a day ago.
    """
    until = watermark.until
    if until > now:
        newest = None if watermark.newest is None else watermark.newest * 10**9
        known = [
            moment for moment in (newest, watermark.began) if moment is not None and moment <= now
        ]
        until = known[0] if known else now - _DAY
    return replace(watermark, began=min(watermark.began, until), until=until)


def _directory() -> Path:
    directory = state_directory()
    if directory is None:
        raise OutputError(
            "there is no home directory to keep a checkpoint in: set HOME or XDG_STATE_HOME"
        )
    return directory / "resume"
