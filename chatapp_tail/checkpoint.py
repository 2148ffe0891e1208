"""What was written to stdout so far, kept on disk, so that the next run can go on from there.

Two things are kept under a name: for each channel the moment until which all of it was written, and
the messages written, by id, as far back as the next run may read them again. Both are noted after
the write and never before it, so every message is in the output at least once; one is there twice
only when the process was killed between the two.

SQLite in WAL mode: a commit is one append and safe against a kill at any instant. Nothing is synced
at each commit, so after a loss of power it is the file system's affair what is left of both files.
"""

import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from .chatapp.events import Record
from .errors import OutputError, UsageError
from .pusher.items import Gap
from .state_directory import state_directory

if TYPE_CHECKING:
    import sqlite3

_VERSION = 1
_KEPT = 600 * 10**9
"""Nanoseconds before a channel's mark for which ids are kept; a gap is read from half of it on."""
_PRUNE_EVERY = 60.0

_SCHEMA = f"""
PRAGMA journal_mode=WAL;
PRAGMA synchronous=NORMAL;
CREATE TABLE IF NOT EXISTS mark (channel TEXT PRIMARY KEY, began INTEGER, until INTEGER);
CREATE TABLE IF NOT EXISTS written (id TEXT PRIMARY KEY, channel TEXT, at INTEGER) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS torn (line INTEGER PRIMARY KEY);
PRAGMA user_version={_VERSION};
"""


class Mark(msgspec.Struct):
    """Of a channel: tailed first at `began`; all that happened until `until` is written.

    In wall-clock nanoseconds.
    """

    began: int
    until: int


class Checkpoint:
    """The checkpoint called `name`, for this process alone; UsageError when another one has it.

    OutputError when it cannot be read or written: going on would break what it promises.
    """

    def __init__(self, name: str, directory: Path | None = None) -> None:
        self.path = (directory or _directory()) / f"{name}.sqlite"
        self._name = name
        self._held: set[tuple[str, int]] = set()
        self._prune_due = 0.0
        with self._failing("open"):
            self._lock()
            self._open()
            self.marks = {
                channel: Mark(began, until)
                for channel, began, until in self._database.execute("SELECT * FROM mark")
            }

    def _lock(self) -> None:
        from filelock import FileLock, Timeout

        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._taken = FileLock(f"{self.path}.lock", mode=0o600)
        try:
            self._taken.acquire(timeout=0)
        except Timeout as error:
            raise UsageError(
                f"another chatapp-tail runs with --resume={self._name} and writes its checkpoint;"
                " give this one a name of its own: --resume=NAME"
            ) from error

    def _open(self) -> None:
        import sqlite3

        self.path.touch(mode=0o600)
        self._database = sqlite3.connect(self.path, isolation_level=None)
        (version,) = self._database.execute("PRAGMA user_version").fetchone()
        if version > _VERSION:
            raise OutputError(f"the checkpoint {self.path} is of a newer chatapp-tail; use that")
        self._database.executescript(_SCHEMA)

    @contextmanager
    def _transaction(self) -> Iterator["sqlite3.Connection"]:
        with self._failing("write"):
            self._database.execute("BEGIN")
            yield self._database
            self._database.execute("COMMIT")

    @contextmanager
    def _failing(self, what: str) -> Iterator[None]:
        import sqlite3

        try:
            yield
        except sqlite3.DatabaseError as error:
            raise OutputError(
                f"cannot {what} the checkpoint {self.path}: {error}; without the file, --since"
                " names where to begin"
            ) from error
        except OSError as error:
            raise OutputError(
                f"cannot {what} the checkpoint {self.path}: {error.strerror}"
            ) from error

    def written(self) -> list[str]:
        """Return the ids of the messages written last."""
        with self._failing("read"):
            found = self._database.execute("SELECT id FROM written ORDER BY at")
            return [record_id for (record_id,) in found]

    @property
    def torn(self) -> bool:
        """Whether the last run was killed amid a line longer than a pipe takes at once."""
        with self._failing("read"):
            return self._database.execute("SELECT 1 FROM torn").fetchone() is not None

    def tear(self) -> None:
        """Note that some of a line is written and the rest of it is not."""
        with self._transaction() as database:
            database.execute("INSERT OR REPLACE INTO torn VALUES (1)")

    def wrote(self, records: Iterable[Record]) -> None:
        """Note what has been written; a line that was torn is whole now."""
        rows = [(each.id, each.channel, each.received) for each in records]
        with self._transaction() as database:
            database.executemany("INSERT OR REPLACE INTO written VALUES (?, ?, ?)", rows)
            database.execute("DELETE FROM torn")

    def begin(self, channel: str, at: int) -> None:
        """Note that a channel is tailed from `at` on, if it never was before."""
        if channel not in self.marks:
            self._move({channel: Mark(at, at)})

    def hold(self, gap: Gap) -> None:
        """Keep the mark of a channel from passing a gap: messages of it are still to come."""
        self._held.add((gap.channel, gap.since))

    def release(self, gap: Gap) -> None:
        """Let the mark move on: what can be had of the gap is written."""
        self._held.discard((gap.channel, gap.since))

    def cover(self, until: Mapping[str, int]) -> None:
        """Move marks: all that happened in these channels until then is written."""
        held: dict[str, int] = {}
        for channel, since in self._held:
            held[channel] = min(since, held.get(channel, since))
        marks = {
            channel: Mark(mark.began, min(at, max(held.get(channel, at), mark.until)))
            for channel, at in until.items()
            if (mark := self.marks.get(channel))
        }
        self._move({name: mark for name, mark in marks.items() if mark != self.marks[name]})
        if time.monotonic() >= self._prune_due:
            self._prune_due = time.monotonic() + _PRUNE_EVERY
            self._prune()

    def _move(self, marks: Mapping[str, Mark]) -> None:
        self.marks.update(marks)
        rows = [(channel, mark.began, mark.until) for channel, mark in marks.items()]
        with self._transaction() as database:
            database.executemany("INSERT OR REPLACE INTO mark VALUES (?, ?, ?)", rows)

    def _prune(self) -> None:
        """Forget messages that no later run will read again."""
        with self._transaction() as database:
            database.execute(
                "DELETE FROM written WHERE at <"
                " (SELECT until - ? FROM mark WHERE mark.channel = written.channel)",
                (_KEPT,),
            )

    def close(self) -> None:
        """Let another process have it."""
        self._database.close()
        self._taken.release()


def _directory() -> Path:
    directory = state_directory()
    if directory is None:
        raise OutputError(
            "there is no home directory to keep a checkpoint in: set HOME or XDG_STATE_HOME"
        )
    return directory / "resume"
