"""The checkpoint: what it keeps, for whom, and what is left of it after a kill or damage."""

import os
import signal
import sqlite3
import stat
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import pytest
from msgspec.structs import replace

from chatapp_tail.chatapp.records import Record, Source
from chatapp_tail.errors import ExitStatus, OutputError, UsageError
from chatapp_tail.history import checkpoint as module
from chatapp_tail.history.checkpoint import Checkpoint, Watermark
from chatapp_tail.history.dedup import content_hash
from tests.conftest import LiveProcess, StartProcess
from tests.factories import gap, record

SECOND = 10**9
T = 1_700_000_000 * SECOND
KEPT = 900 * SECOND


def opened(directory: Path, name: str = "default") -> Checkpoint:
    return Checkpoint(name, directory)


def message(name: str, at: int = T, channel: str | None = "a") -> Record:
    return record(id=name, received=at, channel=channel)


GAP = gap("a", T)


@pytest.fixture
def checkpoint(tmp_path: Path) -> Iterator[Checkpoint]:
    with closing(opened(tmp_path)) as made:
        yield made


@pytest.fixture
def tailed(checkpoint: Checkpoint) -> Checkpoint:
    """A checkpoint whose channel `a` began at T."""
    checkpoint.begin("a", T)
    return checkpoint


def reopened(checkpoint: Checkpoint) -> Checkpoint:
    checkpoint.close()
    return opened(checkpoint.path.parent)


def next_mark(checkpoint: Checkpoint) -> Watermark:
    """Close it; return the mark of `a` that the next run finds."""
    with closing(reopened(checkpoint)) as again:
        return again.watermarks["a"]


@contextmanager
def fails(*said: object) -> Iterator[None]:
    """Expect a failure of the output that says all of this on one line."""
    with pytest.raises(OutputError) as raised:
        yield
    assert raised.value.exit_status is ExitStatus.OUTPUT_FAILED
    assert [part for part in said if str(part) not in str(raised.value)] == []
    assert "\n" not in str(raised.value)


# --- marks


def test_a_new_one_knows_nothing(checkpoint: Checkpoint) -> None:
    assert checkpoint.watermarks == {}
    assert checkpoint.written() == []
    assert not checkpoint.partial_line


def test_marks_are_there_again(tailed: Checkpoint) -> None:
    tailed.begin("b", T + 1)
    tailed.advance({"a": T + 5})
    with closing(reopened(tailed)) as again:
        assert again.watermarks == {"a": Watermark(T, T + 5), "b": Watermark(T + 1, T + 1)}


def test_a_channel_begins_once(tailed: Checkpoint) -> None:
    tailed.advance({"a": T + 9})
    tailed.begin("a", T + 20)
    with closing(reopened(tailed)) as again:
        again.begin("a", T + 30)
        assert again.watermarks == {"a": Watermark(T, T + 9)}


def test_a_mark_goes_back_with_a_clock_that_ran_ahead(tailed: Checkpoint) -> None:
    """Else nothing would be read of the time until the clock is there again."""
    tailed.advance({"a": T + 9})
    tailed.advance({"a": T + 3})
    assert tailed.watermarks["a"].until == T + 3
    assert next_mark(tailed).until == T + 3


def test_what_never_began_is_not_covered(tailed: Checkpoint) -> None:
    tailed.advance({"a": T + 1, "b": T + 1})
    tailed.advance({})
    assert tailed.watermarks == {"a": Watermark(T, T + 1)}


def test_a_mark_is_held_while_messages_of_a_gap_are_to_come(tailed: Checkpoint) -> None:
    tailed.begin("b", T)
    tailed.pin(GAP)
    tailed.advance({"a": T + 5, "b": T + 5})
    assert tailed.watermarks == {"a": Watermark(T, T), "b": Watermark(T, T + 5)}
    tailed.unpin(GAP)
    assert tailed.watermarks == {"a": Watermark(T, T + 5), "b": Watermark(T, T + 5)}
    tailed.advance({"a": T + 6, "b": T + 6})
    assert tailed.watermarks == {"a": Watermark(T, T + 6), "b": Watermark(T, T + 6)}


@pytest.mark.defect("A2.7")
@pytest.mark.parametrize("second", [T + 2, T], ids=["later", "from the same moment on"])
def test_a_mark_is_held_until_all_gaps_of_its_channel_are_filled(
    tailed: Checkpoint, second: int
) -> None:
    tailed.pin(GAP)
    tailed.pin(gap("a", second))
    tailed.advance({"a": T + 5})
    assert tailed.watermarks["a"].until == T
    tailed.unpin(GAP)
    assert tailed.watermarks["a"].until == second
    tailed.unpin(gap("a", second))
    assert tailed.watermarks["a"].until == T + 5


@pytest.mark.defect("A2.19a")
def test_what_a_gap_held_back_is_made_up_for_when_it_is_released(tailed: Checkpoint) -> None:
    """A short run may end before more is proved."""
    tailed.pin(GAP)
    tailed.advance({"a": T + 5})
    tailed.advance({"b": T + 9})
    tailed.unpin(GAP)
    assert next_mark(tailed).until == T + 5


GIVEN_UP = gap("a", T + 1, missing="HTTP 401", given_up=True)


@pytest.mark.defect("A2.23b")
@pytest.mark.parametrize("held", [True, False], ids=["reached", "read with an earlier one"])
def test_a_gap_that_was_given_up_is_left_to_the_next_run(tailed: Checkpoint, held: bool) -> None:
    tailed.advance({"a": T + 1})
    if held:
        tailed.pin(gap("a", T + 1))
    tailed.unpin(GIVEN_UP)
    tailed.commit([message("a", T + 1)])
    tailed.advance({"a": T + 10 * KEPT})
    with closing(reopened(tailed)) as again:
        assert again.watermarks["a"] == Watermark(T, T + 1)
        assert again.written() == ["a"], "it may be read again"


@pytest.mark.defect("A2.23b")
def test_a_later_gap_that_is_read_makes_up_for_one_that_was_given_up(tailed: Checkpoint) -> None:
    later = gap("a", T + 11)
    tailed.unpin(GIVEN_UP)
    tailed.pin(later)
    tailed.advance({"a": T + 20})
    assert tailed.watermarks["a"].until == T + 1
    tailed.unpin(later)
    assert tailed.watermarks["a"].until == T + 20


def test_a_mark_goes_back_to_where_history_has_to_be_read_from(tailed: Checkpoint) -> None:
    tailed.advance({"a": T + 9})
    tailed.pin(gap("a", T + 9, read_from=T + 3))
    assert next_mark(tailed) == Watermark(T, T + 3)


def test_a_line_that_was_found_late_begins_with_its_gap(tailed: Checkpoint) -> None:
    tailed.pin(gap("a", T - 300))
    assert next_mark(tailed) == Watermark(T - 300, T - 300)


def test_a_gap_is_released_as_it_comes_back(tailed: Checkpoint) -> None:
    tailed.pin(GAP)
    tailed.unpin(gap("a", T, recovered=3, missing=None))
    tailed.advance({"a": T + 5})
    assert tailed.watermarks["a"].until == T + 5


def test_a_gap_that_was_never_held_can_be_released(checkpoint: Checkpoint) -> None:
    checkpoint.unpin(GAP)
    checkpoint.begin("a", T)
    checkpoint.advance({"a": T + 5})
    assert checkpoint.watermarks["a"].until == T + 5


def test_a_hold_does_not_outlast_the_process(tailed: Checkpoint) -> None:
    """The mark is still where the gap began; the next run reads it again."""
    tailed.pin(GAP)
    tailed.advance({"a": T + 5})
    with closing(reopened(tailed)) as again:
        assert again.watermarks["a"].until == T
        again.advance({"a": T + 9})
        assert again.watermarks["a"].until == T + 9


# --- the service's clock


def test_what_the_messages_times_tell_is_kept(tailed: Checkpoint) -> None:
    tailed.times.newest["a"] = 1_700_000_000
    tailed.times.begins["a"] = 1_699_999_999
    tailed.advance({"a": T + 5})
    tailed.times.newest["a"] += 1
    with closing(reopened(tailed)) as again:
        assert again.watermarks == {"a": Watermark(T, T + 5, 1_700_000_001, 1_699_999_999)}
        assert again.times.newest == {"a": 1_700_000_001}
        assert again.times.begins == {"a": 1_699_999_999}


def test_the_newest_message_is_kept_as_of_the_mark(tailed: Checkpoint) -> None:
    """Those before it may still be to come from history."""
    tailed.times.newest["a"] = 5
    tailed.advance({"a": T + 1})
    tailed.pin(gap("a", T + 1))
    tailed.times.newest["a"] = 9
    tailed.advance({"a": T + 2})
    assert next_mark(tailed).newest == 5


NOW = T + 1000 * SECOND


@pytest.mark.defect("A.10", "A2.2c")
@pytest.mark.parametrize(
    ("mark", "fixed"),
    [
        (Watermark(T, NOW), Watermark(T, NOW)),
        (Watermark(T, NOW + 1, T // SECOND + 5), Watermark(T, T + 5 * SECOND, T // SECOND + 5)),
        (Watermark(T, NOW + 1), Watermark(T, T)),
        (Watermark(T, NOW + 1, NOW // SECOND + 1), Watermark(T, T, NOW // SECOND + 1)),
        (Watermark(NOW + 1, NOW + 2), Watermark(NOW - 86_400 * SECOND, NOW - 86_400 * SECOND)),
        (Watermark(NOW + 1, NOW + 2, T // SECOND), Watermark(T, T, T // SECOND)),
        (Watermark(NOW, NOW - 5), Watermark(NOW - 5, NOW - 5)),
    ],
    ids=[
        "in order",
        "the newest message",
        "the begin where there was none",
        "the begin where that is in the future too",
        "a day where nothing is known",
        "a begin in the future",
        "a begin after the mark",
    ],
)
def test_a_clock_that_was_set_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mark: Watermark, fixed: Watermark
) -> None:
    with closing(opened(tmp_path)) as made:
        made.watermarks["a"] = mark
        made._save(["a"])
        if mark.newest is not None:
            made.times.newest["a"] = mark.newest
    monkeypatch.setattr(time, "time_ns", lambda: NOW)
    with closing(opened(tmp_path)) as again:
        assert again.watermarks == {"a": fixed}
        assert again.set_back == (mark.until > NOW)
        again.commit([message("new", NOW)])
        with closing(reopened(again)) as third:
            assert third.watermarks == {"a": fixed}
            assert not third.set_back


# --- what was written


def test_ids_are_there_again_oldest_first(checkpoint: Checkpoint) -> None:
    checkpoint.commit([message("c", T + 3), message("a", T + 1)])
    checkpoint.commit([message("b", T + 2)])
    with closing(reopened(checkpoint)) as again:
        assert again.written() == ["a", "b", "c"]


def test_what_came_from_history_is_known_while_the_journal_may_have_its_live_copy(
    checkpoint: Checkpoint,
) -> None:
    with checkpoint.journal() as journal:
        journal.append([gap()])
    checkpoint.commit([message("a"), replace(message("b"), source=Source.BACKFILL)])
    with closing(reopened(checkpoint)) as again:
        assert again.recovered() == {"b": content_hash(message("b").data)}
        again.settle(1)
        assert again.recovered() == {}


def test_what_is_written_twice_is_as_old_as_the_last_time(checkpoint: Checkpoint) -> None:
    checkpoint.commit([message("a", T), message("b", T + 1)])
    checkpoint.commit([message("a", T + 2)])
    assert checkpoint.written() == ["b", "a"]


@pytest.mark.parametrize("name", ["message:1:x:wamid.A==", "é\u2028'\"; --", "\x00", ""])
def test_ids_of_any_kind(checkpoint: Checkpoint, name: str) -> None:
    checkpoint.commit([message(name), message("none", channel=None)])
    with closing(reopened(checkpoint)) as again:
        assert sorted(again.written()) == sorted([name, "none"])


def test_nothing_written_is_noted_too(checkpoint: Checkpoint) -> None:
    checkpoint.commit([])
    checkpoint.commit(iter(()))
    assert checkpoint.written() == []


@pytest.fixture
def kept_by_age_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_ALWAYS_KEPT", 0)


@pytest.mark.usefixtures("kept_by_age_alone")
def test_what_no_run_will_read_again_is_forgotten(checkpoint: Checkpoint) -> None:
    checkpoint.begin("a", T)
    checkpoint.begin("b", T)
    checkpoint.commit([message("old", T), message("young", T + 1), message("b's", T, "b")])
    checkpoint.commit([message("last", T + KEPT + 1), message("ahead", T + 2 * KEPT, "b")])
    checkpoint.advance({"a": T + 3 * KEPT})
    assert checkpoint.written() == ["b's", "young", "last", "ahead"]


def test_some_are_kept_whatever_the_clock_says(tailed: Checkpoint) -> None:
    tailed.commit([message("before the clock was set forward", T)])
    tailed.commit([message("behind it", T + 100 * KEPT)])
    tailed.advance({"a": T + 100 * KEPT})
    assert len(tailed.written()) == 2


@pytest.mark.usefixtures("kept_by_age_alone")
def test_the_last_messages_of_a_quiet_channel_are_kept(tailed: Checkpoint) -> None:
    """History may be read from the newest one on."""
    tailed.commit([message("first", T), message("last", T + 1)])
    tailed.advance({"a": T + 1000 * KEPT})
    assert tailed.written() == ["first", "last"]


@pytest.mark.usefixtures("kept_by_age_alone")
def test_it_is_looked_for_now_and_then(tailed: Checkpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    tailed.commit([message("old", T), message("new", T + 10 * KEPT)])
    tailed.advance({"a": T + 1})
    tailed.advance({"a": T + 10 * KEPT})
    assert tailed.written() == ["old", "new"]
    monkeypatch.setattr(tailed, "_prune_due", 0.0)
    tailed.advance({"a": T + 10 * KEPT})
    assert tailed.written() == ["new"]


def test_all_is_kept_that_a_held_gap_may_read_again(tailed: Checkpoint) -> None:
    tailed.pin(GAP)
    tailed.commit([message(str(minute), T + minute * 60 * SECOND) for minute in range(100)])
    tailed.advance({"a": T + 10 * KEPT})
    assert len(tailed.written()) == 100


# --- a torn line


def test_a_torn_line_is_remembered_until_more_is_written(checkpoint: Checkpoint) -> None:
    checkpoint.mark_partial()
    checkpoint.mark_partial()
    assert checkpoint.partial_line
    with closing(reopened(checkpoint)) as again:
        assert again.partial_line
        again.commit([])
        assert not again.partial_line
        with closing(reopened(again)) as third:
            assert not third.partial_line


# --- the file


def test_names_are_kept_apart(tmp_path: Path) -> None:
    with closing(opened(tmp_path, "one")) as one, closing(opened(tmp_path, "other")) as other:
        one.begin("a", T)
        assert other.watermarks == {}
        assert one.path != other.path


def test_where_it_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    with closing(Checkpoint("crm")) as made:
        assert made.path == tmp_path / "state/chatapp-tail/resume/crm.sqlite"


def test_nobody_else_may_read_it(tmp_path: Path) -> None:
    """All files of a checkpoint have mode 0600."""
    before = os.umask(0)
    try:
        with closing(opened(tmp_path / "resume")) as made:
            made.begin("a", T)
            modes = {
                each.name: stat.S_IMODE(each.stat().st_mode) for each in made.path.parent.iterdir()
            }
            assert modes
            assert set(modes.values()) == {0o600}, modes
            assert stat.S_IMODE(made.path.parent.stat().st_mode) == 0o700
    finally:
        os.umask(before)


# --- who has it


OPEN = """
import sys
from pathlib import Path
from chatapp_tail.history.dedup import content_hash
from chatapp_tail.history.checkpoint import Checkpoint
from chatapp_tail.errors import ChatAppTailError
try:
    checkpoint = Checkpoint(sys.argv[2], Path(sys.argv[1]))
except ChatAppTailError as error:
    sys.exit(f"{type(error).__name__}: {error}")
print("opened", flush=True)
sys.stdin.read()
"""

WRITE = """
import sys
from pathlib import Path
from chatapp_tail.chatapp.records import Record, Source
from chatapp_tail.history.dedup import content_hash
from chatapp_tail.history.checkpoint import Checkpoint
checkpoint = Checkpoint("default", Path(sys.argv[1]))
checkpoint.begin("a", 1)
number = 0
while True:
    number += 1
    names = [f"{number}.{each}" for each in range(50)]
    checkpoint.commit(
        Record("message", name, "a", 1, "x", number, Source.LIVE, None, 1, 1, b"{}")
        for name in names
    )
    checkpoint.advance({"a": number})
    print(number, flush=True)
"""

Start = Callable[..., LiveProcess]


@pytest.fixture
def start(start_process: StartProcess) -> Start:
    def start(code: str, *args: str) -> LiveProcess:
        path = os.pathsep.join(filter(None, sys.path))
        return start_process(
            [sys.executable, "-c", code, *args], env={"PYTHONPATH": path}, stdin=True
        )

    return start


def test_another_process_with_the_same_name_is_refused(start: Start, tmp_path: Path) -> None:
    with closing(opened(tmp_path)) as ours:
        ours.begin("a", T)
        other = start(OPEN, str(tmp_path), "default")
        assert other.wait() == 1
        assert other.stderr.text.startswith("UsageError: another chatapp-tail")
        assert "--resume=default" in other.stderr.text
        assert "--resume=NAME" in other.stderr.text
        ours.begin("b", T)
        with closing(opened(tmp_path, "mine")):
            pass
    after = start(OPEN, str(tmp_path), "default")
    after.stdout.wait_for("opened")
    with pytest.raises(UsageError) as raised:
        opened(tmp_path)
    assert raised.value.exit_status is ExitStatus.USAGE


def test_a_second_one_in_this_process_is_refused_too(checkpoint: Checkpoint) -> None:
    with pytest.raises(UsageError):
        opened(checkpoint.path.parent)
    checkpoint.begin("a", T)
    assert checkpoint.watermarks == {"a": Watermark(T, T)}


def test_one_that_could_not_be_opened_keeps_nobody_out(tmp_path: Path) -> None:
    """A failed open releases the lock."""
    (tmp_path / "default.sqlite").write_bytes(b"no database" * 100)
    with suppress(OutputError):
        opened(tmp_path)
    (tmp_path / "default.sqlite").unlink()
    with closing(opened(tmp_path)) as made:
        assert made.watermarks == {}


@pytest.mark.parametrize("lines", [1, 40])
def test_killed_amid_writing_it_holds_all_that_was_noted(
    start: Start, tmp_path: Path, lines: int
) -> None:
    """SIGKILL loses nothing that was committed."""
    writer = start(WRITE, str(tmp_path))
    writer.stdout.wait_for("[0-9]", count=lines)
    writer.send_signal(signal.SIGKILL)
    assert writer.wait() == -signal.SIGKILL
    last = int(writer.stdout.all[-1])
    with closing(opened(tmp_path)) as again:
        found = again.written()
        assert {f"{n}.{each}" for n in range(1, last + 1) for each in range(50)} <= set(found)
        assert len(found) % 50 == 0, "of what is noted at once, all or nothing"
        assert len(found) // 50 in (last, last + 1)
        assert again.watermarks["a"].until in (last, last + 1)
        again.commit([message("more")])
        again.advance({"a": T})


# --- damage

DAMAGE: dict[str, Callable[[bytes], bytes]] = {
    "text": lambda _: b"no database, but long enough to have a header" * 100,
    "zeros": lambda whole: bytes(len(whole)),
    "half a header": lambda whole: whole[:50],
    "a page too few": lambda whole: whole[:4096],
    "cut": lambda whole: whole[: len(whole) // 2 + 100],
    "rows of garbage": lambda whole: whole[:4096] + b"\xa5" * (len(whole) - 4096),
    "a schema of garbage": lambda whole: whole[:100] + b"\xa5" * (len(whole) - 100),
}


def filled(directory: Path) -> Path:
    with closing(opened(directory)) as made:
        for number in range(200):
            made.begin(f"channel {number}", T)
        made.commit(message(f"id {number}") for number in range(2000))
        return made.path


def all_of_it(directory: Path) -> tuple[dict[str, Watermark], list[str], bool]:
    with closing(opened(directory)) as made:
        return made.watermarks, made.written(), made.partial_line


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE.keys())
def test_a_damaged_file_is_said_to_be_and_is_left_as_it_is(
    tmp_path: Path, damage: Callable[[bytes], bytes]
) -> None:
    """A damaged database is an OutputError, and the file is not changed."""
    path = filled(tmp_path)
    broken = damage(path.read_bytes())
    path.write_bytes(broken)
    with fails(path, "--since"):
        all_of_it(tmp_path)
    assert path.read_bytes() == broken


def test_a_file_that_is_damaged_meanwhile_fails_as_output_does(tmp_path: Path) -> None:
    """Another failure than ours would be shown as a bug."""
    path = filled(tmp_path)
    with closing(opened(tmp_path)) as made:
        path.write_bytes(DAMAGE["text"](path.read_bytes()))
        try:
            made.written()
            made.commit([message(f"more {number}") for number in range(3000)])
            made.advance({"channel 1": T + 1})
        except OutputError as error:
            assert "checkpoint" in str(error)  # noqa: PT017


def test_an_empty_file_is_a_new_one(tmp_path: Path) -> None:
    (tmp_path / "default.sqlite").touch()
    with closing(opened(tmp_path)) as made:
        made.begin("a", T)


VERSION_1 = """
PRAGMA journal_mode=WAL;
CREATE TABLE mark (channel TEXT PRIMARY KEY, began INTEGER, until INTEGER);
CREATE TABLE written (id TEXT PRIMARY KEY, channel TEXT, at INTEGER) WITHOUT ROWID;
CREATE TABLE torn (line INTEGER PRIMARY KEY);
INSERT INTO mark VALUES ('a', 1, 2);
INSERT INTO written VALUES ('x', 'a', 2);
PRAGMA user_version=1;
"""


def database_of(directory: Path, script: str) -> Path:
    path = directory / "default.sqlite"
    with closing(sqlite3.connect(path)) as database:
        database.executescript(script)
    return path


def test_a_file_of_version_1_is_taken_over(tmp_path: Path) -> None:
    database_of(tmp_path, VERSION_1)
    for _ in range(2):
        with closing(opened(tmp_path)) as made:
            assert made.watermarks == {"a": Watermark(1, 2)}
            assert made.written() == ["x"]
    with closing(opened(tmp_path)) as made:
        made.times.newest["a"] = 7
        made.advance({"a": 5})
        assert made.watermarks == {"a": Watermark(1, 5, 7)}


ODD_ROWS = [
    "INSERT INTO mark VALUES ('b', NULL, 2)",
    "INSERT INTO mark VALUES ('b', 1, 'soon')",
    "INSERT INTO mark VALUES (NULL, 1, 2)",
    "INSERT INTO mark VALUES ('b', 1, 2.5)",
    "INSERT INTO written VALUES (x'ff', 'a', 2)",
    "DROP TABLE written",
    "DROP TABLE mark",
    "ALTER TABLE mark DROP COLUMN until",
]


@pytest.mark.defect("A2.23f")
@pytest.mark.parametrize("damage", ODD_ROWS)
def test_odd_rows_are_damage_that_is_said(tmp_path: Path, damage: str) -> None:
    """Rows of the wrong type are reported as damage."""
    path = database_of(tmp_path, VERSION_1 + damage)
    with fails(path, "--since"):
        all_of_it(tmp_path)


NOT_OURS = {
    "newer chatapp-tail": f"{VERSION_1} PRAGMA user_version={module._VERSION + 1}; DROP TABLE mark",
    "of another program": "CREATE TABLE mark (place TEXT); INSERT INTO mark VALUES ('x')",
}


@pytest.mark.defect("A2.23f")
@pytest.mark.parametrize(("said", "script"), NOT_OURS.items(), ids=NOT_OURS)
def test_a_file_that_is_not_ours_is_left_alone(tmp_path: Path, said: str, script: str) -> None:
    path = database_of(tmp_path, script)
    before = path.read_bytes()
    with fails(said):
        opened(tmp_path)
    assert path.read_bytes() == before


@pytest.mark.defect("A2.23f")
def test_another_program_that_has_it_locked_is_waited_for(tmp_path: Path) -> None:
    with (
        closing(opened(tmp_path)) as made,
        closing(sqlite3.connect(made.path, check_same_thread=False)) as other,
    ):
        other.execute("BEGIN IMMEDIATE")
        release = threading.Timer(6.0, other.rollback)
        release.start()
        made.begin("a", T)
        release.join()
    with closing(opened(tmp_path)) as again:
        assert again.watermarks == {"a": Watermark(T, T)}


def test_a_lock_that_stays_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A database that another program keeps locked is an OutputError."""
    monkeypatch.setattr(module, "_LOCK_TIMEOUT", 0.3)
    path = filled(tmp_path)
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        with closing(opened(tmp_path)) as made:
            other.execute("BEGIN IMMEDIATE")
            with fails("cannot write the", "another program"):
                made.begin("new", T)
        with fails("cannot open the", "another program"):
            opened(tmp_path)


@pytest.mark.parametrize("directory", ["resume", "resume/below"])
def test_a_file_in_place_of_the_directory(tmp_path: Path, directory: str) -> None:
    (tmp_path / "resume").touch()
    with fails(tmp_path / directory / "default.sqlite"):
        opened(tmp_path / directory)


@pytest.mark.parametrize("name", ["default.sqlite", "default.sqlite.lock"])
def test_a_directory_in_place_of_a_file(tmp_path: Path, name: str) -> None:
    (tmp_path / name).mkdir()
    with fails("cannot open the checkpoint"):
        opened(tmp_path)


def test_a_full_disk_is_told(tailed: Checkpoint) -> None:
    tailed._database.execute("PRAGMA max_page_count=1")
    many = [message(f"{number}" + "x" * 100) for number in range(10_000)]
    with fails("cannot write the checkpoint"):
        tailed.commit(many)
    assert tailed.watermarks == {"a": Watermark(T, T)}
