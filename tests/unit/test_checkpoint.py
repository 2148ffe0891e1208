"""The checkpoint: what it keeps, for whom, and what is left of it after a kill or damage."""

import os
import signal
import sqlite3
import stat
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path

import pytest

from chatapp_tail import checkpoint as module
from chatapp_tail.chatapp.events import Record, Source
from chatapp_tail.checkpoint import Checkpoint, Mark
from chatapp_tail.errors import ExitStatus, OutputError, UsageError
from chatapp_tail.pusher.items import Gap

from ..conftest import LiveProcess, StartProcess

SECOND = 10**9
T = 1_700_000_000 * SECOND
KEPT = 600 * SECOND


def opened(directory: Path, name: str = "default") -> Checkpoint:
    return Checkpoint(name, directory)


def record(name: str, at: int = T, channel: str | None = "a") -> Record:
    return Record("message", name, channel, 1, "x", at, Source.LIVE, None, 1, 1, b"{}")


def gap(channel: str = "a", since: int = 1) -> Gap:
    return Gap(channel, since, since + 5, "lost")


@pytest.fixture
def checkpoint(tmp_path: Path) -> Iterator[Checkpoint]:
    with closing(opened(tmp_path)) as made:
        yield made


def reopened(checkpoint: Checkpoint) -> Checkpoint:
    checkpoint.close()
    return opened(checkpoint.path.parent)


# --- marks


def test_a_new_one_knows_nothing(checkpoint: Checkpoint) -> None:
    assert checkpoint.marks == {}
    assert checkpoint.written() == []
    assert not checkpoint.torn


def test_marks_are_there_again(checkpoint: Checkpoint) -> None:
    checkpoint.begin("a", T)
    checkpoint.begin("b", T + 1)
    checkpoint.cover({"a": T + 5})
    with closing(reopened(checkpoint)) as again:
        assert again.marks == {"a": Mark(T, T + 5), "b": Mark(T + 1, T + 1)}


def test_a_channel_begins_once(checkpoint: Checkpoint) -> None:
    checkpoint.begin("a", T)
    checkpoint.cover({"a": T + 9})
    checkpoint.begin("a", T + 20)
    with closing(reopened(checkpoint)) as again:
        again.begin("a", T + 30)
        assert again.marks == {"a": Mark(T, T + 9)}


def test_a_mark_goes_back_with_a_clock_that_ran_ahead(checkpoint: Checkpoint) -> None:
    """Else nothing would be read of the time until the clock is there again."""
    checkpoint.begin("a", T)
    checkpoint.cover({"a": T + 9})
    checkpoint.cover({"a": T + 3})
    assert checkpoint.marks["a"].until == T + 3
    with closing(reopened(checkpoint)) as again:
        assert again.marks["a"].until == T + 3


def test_what_never_began_is_not_covered(checkpoint: Checkpoint) -> None:
    checkpoint.begin("a", T)
    checkpoint.cover({"a": T + 1, "b": T + 1})
    checkpoint.cover({})
    assert checkpoint.marks == {"a": Mark(T, T + 1)}


def test_a_mark_is_held_while_messages_of_a_gap_are_to_come(checkpoint: Checkpoint) -> None:
    checkpoint.begin("a", T)
    checkpoint.begin("b", T)
    checkpoint.hold(gap("a"))
    checkpoint.cover({"a": T + 5, "b": T + 5})
    assert checkpoint.marks == {"a": Mark(T, T), "b": Mark(T, T + 5)}
    checkpoint.release(gap("a"))
    checkpoint.cover({"a": T + 6, "b": T + 6})
    assert checkpoint.marks == {"a": Mark(T, T + 6), "b": Mark(T, T + 6)}


def test_a_mark_is_held_until_all_gaps_of_its_channel_are_filled(checkpoint: Checkpoint) -> None:
    checkpoint.begin("a", T)
    checkpoint.hold(gap("a", 1))
    checkpoint.hold(gap("a", 2))
    checkpoint.release(gap("a", 1))
    checkpoint.cover({"a": T + 5})
    assert checkpoint.marks["a"].until == T
    checkpoint.release(gap("a", 2))
    checkpoint.cover({"a": T + 6})
    assert checkpoint.marks["a"].until == T + 6


def test_a_gap_is_released_as_it_comes_back(checkpoint: Checkpoint) -> None:
    checkpoint.begin("a", T)
    checkpoint.hold(gap())
    checkpoint.release(Gap("a", 1, 6, "lost", recovered=3, missing=None))
    checkpoint.cover({"a": T + 5})
    assert checkpoint.marks["a"].until == T + 5


def test_a_gap_that_was_never_held_can_be_released(checkpoint: Checkpoint) -> None:
    checkpoint.release(gap())
    checkpoint.begin("a", T)
    checkpoint.cover({"a": T + 5})
    assert checkpoint.marks["a"].until == T + 5


def test_a_hold_does_not_outlast_the_process(checkpoint: Checkpoint) -> None:
    """The mark is still where the gap began; the next run reads it again."""
    checkpoint.begin("a", T)
    checkpoint.hold(gap())
    checkpoint.cover({"a": T + 5})
    with closing(reopened(checkpoint)) as again:
        assert again.marks["a"].until == T
        again.cover({"a": T + 9})
        assert again.marks["a"].until == T + 9


# --- what was written


def test_ids_are_there_again_oldest_first(checkpoint: Checkpoint) -> None:
    checkpoint.wrote([record("c", T + 3), record("a", T + 1)])
    checkpoint.wrote([record("b", T + 2)])
    with closing(reopened(checkpoint)) as again:
        assert again.written() == ["a", "b", "c"]


def test_what_is_written_twice_is_as_old_as_the_last_time(checkpoint: Checkpoint) -> None:
    checkpoint.wrote([record("a", T), record("b", T + 1)])
    checkpoint.wrote([record("a", T + 2)])
    assert checkpoint.written() == ["b", "a"]


@pytest.mark.parametrize("name", ["message:1:x:wamid.A==", "é\u2028'\"; --", "\x00", ""])
def test_ids_of_any_kind(checkpoint: Checkpoint, name: str) -> None:
    checkpoint.wrote([record(name), record("none", channel=None)])
    with closing(reopened(checkpoint)) as again:
        assert sorted(again.written()) == sorted([name, "none"])


def test_nothing_written_is_noted_too(checkpoint: Checkpoint) -> None:
    checkpoint.wrote([])
    checkpoint.wrote(iter(()))
    assert checkpoint.written() == []


def test_what_no_run_will_read_again_is_forgotten(checkpoint: Checkpoint) -> None:
    checkpoint.begin("a", T)
    checkpoint.begin("b", T)
    checkpoint.wrote([record("old", T), record("young", T + 1), record("b's", T, "b")])
    checkpoint.cover({"a": T + KEPT + 1})
    assert checkpoint.written() == ["b's", "young"]


def test_it_is_looked_for_now_and_then(
    checkpoint: Checkpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkpoint.begin("a", T)
    checkpoint.wrote([record("old", T)])
    checkpoint.cover({"a": T + 1})
    checkpoint.cover({"a": T + 10 * KEPT})
    assert checkpoint.written() == ["old"]
    monkeypatch.setattr(checkpoint, "_prune_due", 0.0)
    checkpoint.cover({"a": T + 10 * KEPT})
    assert checkpoint.written() == []


def test_all_is_kept_that_a_held_gap_may_read_again(checkpoint: Checkpoint) -> None:
    checkpoint.begin("a", T)
    checkpoint.hold(gap())
    checkpoint.wrote([record(str(minute), T + minute * 60 * SECOND) for minute in range(100)])
    checkpoint.cover({"a": T + 10 * KEPT})
    assert len(checkpoint.written()) == 100


# --- a torn line


def test_a_torn_line_is_remembered_until_more_is_written(checkpoint: Checkpoint) -> None:
    checkpoint.tear()
    checkpoint.tear()
    assert checkpoint.torn
    with closing(reopened(checkpoint)) as again:
        assert again.torn
        again.wrote([])
        assert not again.torn
        with closing(reopened(again)) as third:
            assert not third.torn


# --- the file


def test_names_are_kept_apart(tmp_path: Path) -> None:
    with closing(opened(tmp_path, "one")) as one, closing(opened(tmp_path, "other")) as other:
        one.begin("a", T)
        assert other.marks == {}
        assert one.path != other.path


def test_where_it_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    with closing(Checkpoint("crm")) as made:
        assert made.path == tmp_path / "state/chatapp-tail/resume/crm.sqlite"


def test_nobody_else_may_read_it(tmp_path: Path) -> None:
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
from chatapp_tail.checkpoint import Checkpoint
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
from chatapp_tail.chatapp.events import Record, Source
from chatapp_tail.checkpoint import Checkpoint
checkpoint = Checkpoint("default", Path(sys.argv[1]))
checkpoint.begin("a", 1)
number = 0
while True:
    number += 1
    names = [f"{number}.{each}" for each in range(50)]
    checkpoint.wrote(
        Record("message", name, "a", 1, "x", number, Source.LIVE, None, 1, 1, b"{}")
        for name in names
    )
    checkpoint.cover({"a": number})
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
    assert checkpoint.marks == {"a": Mark(T, T)}


def test_one_that_could_not_be_opened_keeps_nobody_out(tmp_path: Path) -> None:
    (tmp_path / "default.sqlite").write_bytes(b"no database" * 100)
    with suppress(OutputError):
        opened(tmp_path)
    (tmp_path / "default.sqlite").unlink()
    with closing(opened(tmp_path)) as made:
        assert made.marks == {}


@pytest.mark.parametrize("lines", [1, 40])
def test_killed_amid_writing_it_holds_all_that_was_noted(
    start: Start, tmp_path: Path, lines: int
) -> None:
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
        assert again.marks["a"].until in (last, last + 1)
        again.wrote([record("more")])
        again.cover({"a": T})


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
        made.wrote(record(f"id {number}") for number in range(2000))
        return made.path


def all_of_it(directory: Path) -> tuple[dict[str, Mark], list[str], bool]:
    with closing(opened(directory)) as made:
        return made.marks, made.written(), made.torn


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE.keys())
def test_a_damaged_file_is_said_to_be_and_is_left_as_it_is(
    tmp_path: Path, damage: Callable[[bytes], bytes]
) -> None:
    path = filled(tmp_path)
    broken = damage(path.read_bytes())
    path.write_bytes(broken)
    with pytest.raises(OutputError) as raised:
        all_of_it(tmp_path)
    assert str(path) in str(raised.value)
    assert "--since" in str(raised.value)
    assert path.read_bytes() == broken


def test_a_file_that_is_damaged_meanwhile_fails_as_output_does(tmp_path: Path) -> None:
    """Another failure than ours would be shown as a bug."""
    path = filled(tmp_path)
    with closing(opened(tmp_path)) as made:
        path.write_bytes(DAMAGE["text"](path.read_bytes()))
        try:
            made.written()
            made.wrote([record(f"more {number}") for number in range(3000)])
            made.cover({"channel 1": T + 1})
        except OutputError as error:
            assert "checkpoint" in str(error)  # noqa: PT017


def test_an_empty_file_is_a_new_one(tmp_path: Path) -> None:
    (tmp_path / "default.sqlite").touch()
    with closing(opened(tmp_path)) as made:
        made.begin("a", T)


def test_a_file_of_a_newer_version_is_left_alone(tmp_path: Path) -> None:
    path = filled(tmp_path)
    with closing(sqlite3.connect(path)) as database:
        database.execute(f"PRAGMA user_version={module._VERSION + 1}")
        database.execute("DROP TABLE mark")
    before = path.read_bytes()
    with pytest.raises(OutputError, match="newer chatapp-tail") as raised:
        opened(tmp_path)
    assert raised.value.exit_status is ExitStatus.OUTPUT_FAILED
    assert path.read_bytes() == before


def test_a_file_in_place_of_the_directory(tmp_path: Path) -> None:
    (tmp_path / "resume").touch()
    for directory in (tmp_path / "resume", tmp_path / "resume/below"):
        with pytest.raises(OutputError) as raised:
            opened(directory)
        assert str(directory / "default.sqlite") in str(raised.value)


@pytest.mark.parametrize("name", ["default.sqlite", "default.sqlite.lock"])
def test_a_directory_in_place_of_a_file(tmp_path: Path, name: str) -> None:
    (tmp_path / name).mkdir()
    with pytest.raises(OutputError, match="cannot open the checkpoint"):
        opened(tmp_path)


def test_a_full_disk_is_told(checkpoint: Checkpoint) -> None:
    checkpoint.begin("a", T)
    checkpoint._database.execute("PRAGMA max_page_count=1")
    many = [record(f"{number}" + "x" * 100) for number in range(10_000)]
    with pytest.raises(OutputError, match="cannot write the checkpoint"):
        checkpoint.wrote(many)
    assert checkpoint.marks == {"a": Mark(T, T)}
