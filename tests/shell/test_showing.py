"""What is shown, and how: filters, formats, limits, summary, replay and schema by the command."""

import csv
import gzip
import io
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import jsonschema
import pytest

from chatapp_tail.sandbox import Sandbox
from tests.conftest import RunTail, StartTail
from tests.shell.conftest import CHANNEL, SELECT, Env, StartShell, reaching, scaled, subscribed

MESSAGES = (
    '{"id":1,"fromMe":false,"type":"text","message":{"text":"Good morning"},'
    '"chat":{"id":"CA","name":"Anna"}}',
    '{"id":2,"fromMe":true,"type":"text","message":{"text":"=1+1"},'
    '"chat":{"id":"CA","name":"Anna"}}',
    '{"id":3,"fromMe":false,"type":"text","message":{"text":"Is it OPEN?"},'
    '"chat":{"id":"CB","name":"Ben"}}',
)
BATCH = f'{{"queue":"Q","payload":{{"data":[{",".join(MESSAGES)}],"meta":{{}}}}}}'


Shown = Callable[..., list[str]]


@pytest.fixture
def shown(subscribed_tail: StartTail, sandbox: Sandbox) -> Shown:
    """What a tail with so many lines and these options prints of the batch."""

    def show(count: int, *options: str) -> list[str]:
        tail = subscribed_tail("-n", str(count), *options)
        sandbox.publish(CHANNEL, "message", BATCH)
        assert tail.wait() == 0, tail.stderr.text
        assert tail.stderr.text == ""
        return tail.stdout.all

    return show


@pytest.mark.parametrize(
    ("options", "numbers"),
    [
        (["--incoming"], [1, 3]),
        (["--outgoing"], [2]),
        (["--chat", "anna"], [1, 2]),
        (["--chat", "Anna", "--chat", "Ben"], [1, 2, 3]),
        (["-g", "open|morning"], [1, 3]),
        (["-g", "Open|Morning", "-g", "OPEN"], [3]),
        (["--grep-not", "open"], [1, 2]),
        (["--grep-not", "Open", "--grep-not", "morning", "--incoming"], [3]),
        (["-g", "o", "--grep-not", "good"], [3]),
        (["-w", "data.id > `1`", "--incoming"], [3]),
    ],
)
def test_only_what_is_wanted_is_shown(shown: Shown, options: list[str], numbers: list[int]) -> None:
    lines = shown(len(numbers), "--json", *options)
    assert [json.loads(line)["data"]["id"] for line in lines] == numbers


def test_a_template_is_a_line_a_record(shown: Shown) -> None:
    lines = shown(3, "-f", "{id} {direction} {chat}: {text:.7}")
    assert lines == [
        "message:1229:telegram:CA:1 in Anna: Good mo",
        "message:1229:telegram:CA:2 out Anna: =1+1",
        "message:1229:telegram:CB:3 in Ben: Is it O",
    ]


def test_the_hash_is_the_same_in_every_format(shown: Shown, run_tail: RunTail) -> None:
    saved = "\n".join(shown(3, "--json"))
    hashes = [json.loads(line)["hash"] for line in saved.splitlines()]
    assert len({*hashes}) == 3

    def replayed(*options: str) -> list[str]:
        return run_tail("replay", "-", *options, input=saved).stdout.splitlines()

    assert replayed("-f", "{hash}") == hashes
    assert [row["hash"] for row in csv.DictReader(replayed("-o", "csv"))] == hashes
    assert [json.loads(line)["hash"] for line in replayed("--json")] == hashes
    assert len(replayed("--json", "-w", f"hash == '{hashes[1]}'")) == 1


def test_csv_has_one_header_and_no_formula(shown: Shown) -> None:
    lines = shown(3, "-o", "csv")
    assert lines[0].startswith("received,sent,event,id,channel,license,messenger,direction,")
    assert len(lines) == 4
    assert ",'=1+1," in lines[2]


@pytest.mark.defect("A.24")
@pytest.mark.defect("U11")
@pytest.mark.parametrize("resume", [[], ["--resume=table"]], ids=["", "resume"])
def test_csv_that_is_appended_is_one_table(
    resume: list[str], start_shell: StartShell, sandbox: Sandbox, env: Env, tmp_path: Path
) -> None:
    """Three runs, the second of which was killed while it wrote a cell in quotes."""
    file = tmp_path / "table.csv"
    for number in range(3):
        command = f"chatapp-tail {' '.join([*SELECT, *resume])} -o csv -n 3 >>{file}"
        shell = start_shell(command, env=env)
        subscribed(sandbox)
        batch = re.sub(r'"id":(\d)', rf'"id":{number + 1}\1', BATCH)
        sandbox.publish(CHANNEL, "message", batch)
        assert shell.wait() == 0, shell.stderr.text
        sandbox.wait_for(lambda s: s.open_sockets == 0, scaled(10))
        if number == 1:
            os.truncate(file, file.stat().st_size - 30)
    rows = list(csv.reader(io.StringIO(file.read_bytes().decode(), newline=""), strict=True))
    heading, *others = (row for row in rows if row)
    ids = [row[heading.index("id")] for row in others if "received" not in row]
    assert len(ids) == len(others), "there is one heading"
    assert [each.rpartition(":")[2] for each in ids] == [
        *("11", "12", "13", "21", "22", "23", "31", "32", "33")
    ]
    assert all(row[heading.index("text")] for row in others if len(row) == len(heading))


def test_csv_after_a_file_that_may_not_be_read(
    start_shell: StartShell, greeter: Sandbox, tmp_path: Path
) -> None:
    file = tmp_path / "table.csv"
    file.write_bytes(b"something\r\n")
    file.chmod(0o200)
    run = f"chatapp-tail {' '.join(SELECT)} -o csv -n 1"
    shell = start_shell(f"{run} >>{file}; {run} >{tmp_path / 'new'}", env=reaching(greeter))
    assert shell.wait() == 0
    file.chmod(0o600)
    begun, *rows = file.read_bytes().split(b"\r\n")
    assert begun == b"something"
    assert rows[0].startswith(b"received,") == (os.geteuid() == 0), "root reads it all the same"
    assert (tmp_path / "new").read_text().startswith("received,sent,")


@pytest.mark.parametrize(
    ("options", "word"),
    [
        (["-w", "event =="], "--where"),
        (["-g", "("], "--grep:"),
        (["--grep-not", "("], "--grep-not:"),
        (["-f", "{txt}"], "did you mean text?"),
    ],
)
def test_what_cannot_be_compiled_is_pointed_at(
    run_tail: RunTail, options: list[str], word: str
) -> None:
    done = run_tail(*SELECT, *options, env={"CHATAPP_TOKEN": "made-up"})
    assert (done.returncode, done.stdout) == (2, "")
    assert word in done.stderr
    assert done.stderr.rstrip().endswith("^")


@pytest.mark.parametrize(("count", "status"), [([], 0), (["-n", "5"], 124)])
def test_idle_ends_it(
    subscribed_tail: StartTail, sandbox: Sandbox, count: list[str], status: int
) -> None:
    tail = subscribed_tail("--json", "--idle", "1s", *count)
    sandbox.publish(CHANNEL, "message", BATCH)
    assert tail.wait() == status
    assert len(tail.stdout.all) == 3


def test_a_summary_is_said_when_asked_and_at_the_end(
    subscribed_tail: StartTail, sandbox: Sandbox
) -> None:
    tail = subscribed_tail("--json", "-v", "--incoming")
    sandbox.publish(CHANNEL, "message", BATCH)
    tail.stdout.take()
    tail.stdout.take()
    for number, signum in enumerate((signal.SIGUSR1, signal.SIGTERM), 1):
        tail.send_signal(signum)
        said = tail.stderr.wait_for("records", count=number)
        assert "2 records (message 2); 1 filtered out" in said
    assert tail.wait() == -signal.SIGTERM


def test_what_was_saved_is_shown_again_byte_for_byte(
    shown: Shown, run_tail: RunTail, tmp_path: Path
) -> None:
    lines = shown(3, "--json")
    saved = tmp_path / "saved.gz"
    saved.write_bytes(gzip.compress(("\n".join([*lines, "broken"]) + "\n").encode()))
    again = run_tail("replay", str(saved), "--json")
    assert again.returncode == 0
    assert again.stdout.replace('"source":"replay"', '"source":"live"').splitlines() == lines
    assert f"{saved}:4:" in again.stderr


def test_the_schema_holds_for_what_is_printed(shown: Shown, run_tail: RunTail) -> None:
    validator = jsonschema.Draft202012Validator(json.loads(run_tail("schema").stdout))
    lines = shown(3, "--meta")
    assert len(lines) > 3
    for line in lines:
        validator.validate(json.loads(line))


def test_replay_into_a_reader_that_leaves(run_tail: RunTail, tmp_path: Path) -> None:
    saved = tmp_path / "saved.ndjson"
    saved.write_text(f"{BATCH}\n" * 50_000)
    program = f"{run_program()} replay {saved} -o raw | head -1"
    done = subprocess.run(
        ["bash", "-o", "pipefail", "-c", program], capture_output=True, check=False, timeout=60
    )
    assert (done.returncode, done.stderr) == (0, b"")


def run_program() -> str:
    """The command as a shell runs it."""
    return f"{sys.executable} -m chatapp_tail"
