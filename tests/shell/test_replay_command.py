"""`replay`: what it says of lines that cannot be read, and with which status it ends."""

import bz2
import gzip
import json
from pathlib import Path
from subprocess import TimeoutExpired

import pytest

from tests.conftest import RunTail, StartTail
from tests.shell.conftest import is_one_line, message

FRAME = message(1)
STATUS = '{"v":1,"type":"status","state":"connecting","at":"2026-11-22T08:39:00Z","url":"ws://x"}'


def saved(tmp_path: Path, *lines: str, name: str = "saved.ndjson") -> str:
    file = tmp_path / name
    file.write_text("".join(f"{line}\n" for line in lines))
    return str(file)


@pytest.mark.parametrize(
    "lines", [(FRAME,), (FRAME, "broken"), (STATUS,), (STATUS, "{"), (), ("",)]
)
def test_what_holds_a_record_or_nothing_is_fine(
    lines: tuple[str, ...], run_tail: RunTail, tmp_path: Path
) -> None:
    assert run_tail("replay", saved(tmp_path, *lines)).returncode == 0


@pytest.mark.defect("U5")
@pytest.mark.parametrize("count", [1, 3])
def test_files_in_which_nothing_can_be_read(count: int, run_tail: RunTail, tmp_path: Path) -> None:
    file = saved(tmp_path, *["root:x:0:0"] * count)
    done = run_tail("replay", file, saved(tmp_path, name="empty"))
    assert (done.returncode, done.stdout) == (2, "")
    *lines, last = done.stderr.splitlines(keepends=True)
    assert len(lines) == count
    assert all(line.startswith(f"chatapp-tail: {file}:") for line in lines)
    is_one_line(last, "saved by chatapp-tail", "-o json", "-o raw")


@pytest.mark.defect("U5")
def test_notices_of_a_file_are_few_and_the_rest_is_counted(
    run_tail: RunTail, tmp_path: Path
) -> None:
    one = saved(tmp_path, *["broken"] * 4317, FRAME, name="one")
    two = saved(tmp_path, *["broken"] * 6, name="two")
    three = saved(tmp_path, *["broken"] * 5, FRAME, name="three")
    done = run_tail("replay", one, two, three, "--json")
    assert done.returncode == 0
    assert len(done.stdout.splitlines()) == 2
    lines = done.stderr.splitlines()
    assert len(lines) == 6 + 6 + 5
    assert lines[5] == f"chatapp-tail: {one}: … and 4,312 more lines could not be read"
    assert lines[11] == f"chatapp-tail: {two}: … and 1 more line could not be read"


@pytest.mark.defect("U5")
def test_binary_data_is_few_lines_and_bzip2_is_named(run_tail: RunTail, tmp_path: Path) -> None:
    packed = tmp_path / "saved.bz2"
    packed.write_bytes(bz2.compress(FRAME.encode()))
    done = run_tail("replay", str(packed))
    assert (done.returncode, done.stdout) == (2, "")
    is_one_line(done.stderr, "bzip2 -dc", "| chatapp-tail replay -")
    noise = tmp_path / "noise"
    noise.write_bytes(b"\xff\xfe\n" * 100)
    done = run_tail("replay", str(noise))
    assert (done.returncode, done.stderr.count("\n")) == (2, 7)
    assert "codec" not in done.stderr


@pytest.mark.defect("U5")
def test_compressed_data_of_which_nothing_is_left(run_tail: RunTail, tmp_path: Path) -> None:
    file = tmp_path / "saved.gz"
    file.write_bytes(gzip.compress(FRAME.encode())[:12])
    done = run_tail("replay", str(file))
    assert (done.returncode, done.stdout) == (2, "")


@pytest.mark.defect("A2.24b")
@pytest.mark.parametrize("speed", ["1", "1e-300"])
def test_centuries_between_two_records(
    speed: str, start_tail: StartTail, run_tail: RunTail, tmp_path: Path
) -> None:
    once = json.loads(run_tail("replay", "-", "--json", input=FRAME).stdout)
    records = [json.dumps({**once, "received": f"{year}-01-01T00:00:00Z"}) for year in (1601, 9999)]
    replay = start_tail("replay", saved(tmp_path, *records), "--json", "--speed", speed)
    replay.stdout.wait_for("1601-01-01")
    with pytest.raises(TimeoutExpired):
        replay.process.wait(0.5)
    replay.process.terminate()
    assert replay.wait() == -15
    assert replay.stderr.text == ""
