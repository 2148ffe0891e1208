"""stdout and its readers: whole lines at once, nothing lost, and a quiet end when they are gone."""

import fcntl
import json
import os
import re
import shlex
import shutil
import socket
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest

from chatapp_tail.sandbox import Sandbox
from tests.conftest import PROGRAM, RunTail, StartProcess, StartTail
from tests.shell.conftest import (
    AT_ONCE,
    CHANNEL,
    PROMPT,
    SELECT,
    Env,
    StartShell,
    StartTailInto,
    end_of,
    is_one_line,
    message,
    needs,
    numbers_in,
    publish,
    reaching,
    read_whole,
    received,
    scaled,
    subscribed,
)

TAIL = shlex.join(["chatapp-tail", *SELECT])


# --- the reader goes away


@pytest.mark.parametrize(
    ("shell", "statuses"),
    [
        pytest.param("bash", "${PIPESTATUS[*]}"),
        pytest.param("zsh", "$pipestatus", marks=needs("zsh")),
        pytest.param("fish", "$pipestatus", marks=needs("fish")),
    ],
)
def test_head_ends_the_tail_quietly(
    shell: str, statuses: str, start_shell: StartShell, sandbox: Sandbox, env: Env
) -> None:
    script = start_shell(f'{TAIL} | head -1; echo "statuses {statuses}"', env=env, shell=shell)
    subscribed(sandbox)
    publish(sandbox, [1])
    assert script.wait(timeout=AT_ONCE) == 0
    line, rest = script.stdout.text.split("\n", 1)
    assert json.loads(line)["data"]["id"] == 1
    assert rest == "statuses 0 0\n"
    assert script.stderr.text == ""


@pytest.mark.parametrize("output", ["json", "raw", "pretty"])
def test_head_with_pipefail_is_success(
    output: str, start_shell: StartShell, sandbox: Sandbox, env: Env
) -> None:
    script = start_shell(f"set -eo pipefail; {TAIL} -o {output} | head -1; echo after", env=env)
    subscribed(sandbox)
    publish(sandbox, [1])
    assert script.wait(timeout=AT_ONCE) == 0
    assert script.stdout.all[-1] == "after"
    assert script.stderr.text == ""


def test_head_takes_its_line_out_of_a_burst(
    start_shell: StartShell, sandbox: Sandbox, env: Env
) -> None:
    script = start_shell(f'{TAIL} | head -1; echo "statuses ${{PIPESTATUS[*]}}"', env=env)
    subscribed(sandbox)
    publish_until_gone(sandbox, 1000)
    assert script.wait() == 0
    assert script.stdout.all[-1] == "statuses 0 0"
    assert script.stderr.text == ""


def test_reader_that_dies_while_nothing_happens_ends_the_tail(
    tail_into_pipe: StartTailInto, pipe: tuple[int, int]
) -> None:
    tail = tail_into_pipe()
    os.close(pipe[0])
    assert end_of(tail, timeout=AT_ONCE) == (0, "")


def test_reader_that_dies_during_the_upgrade_ends_the_tail(
    start_tail_into: StartTailInto, pipe: tuple[int, int], env: Env
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        silent.settimeout(scaled(15))
        url = f"ws://127.0.0.1:{silent.getsockname()[1]}"
        tail = start_tail_into(pipe[1], *SELECT, "--ws-url", url, env=env)
        os.close(pipe[1])
        with silent.accept()[0]:
            os.close(pipe[0])
            assert end_of(tail, timeout=AT_ONCE) == (0, "")


def test_reader_that_dies_between_retries_ends_the_tail(
    start_tail_into: StartTailInto, pipe: tuple[int, int], closed_port: int, env: Env
) -> None:
    url = f"ws://127.0.0.1:{closed_port}"
    tail = start_tail_into(pipe[1], *SELECT, "--ws-url", url, env=env)
    os.close(pipe[1])
    assert tail.stderr is not None
    assert b"trying again" in tail.stderr.readline()
    os.close(pipe[0])
    status, _ = end_of(tail, timeout=AT_ONCE)
    assert status == 0


def test_reader_that_dies_with_a_full_pipe_ends_the_tail(
    tail_into_pipe: StartTailInto, pipe: tuple[int, int], sandbox: Sandbox
) -> None:
    tail = tail_into_pipe()
    publish(sandbox, range(200), "x" * 4000)
    received(sandbox)
    os.close(pipe[0])
    assert end_of(tail, timeout=AT_ONCE) == (0, "")


# --- what the reader gets


@needs("jq")
def test_jq_reads_every_line(start_shell: StartShell, sandbox: Sandbox, env: Env) -> None:
    script = start_shell(f"{TAIL} -n 5 --json | jq -r '.data.message.text // .event'", env=env)
    subscribed(sandbox)
    for number, text in enumerate(["one", "два", '"quoted" \\ back', "👍🏽"]):
        sandbox.publish(CHANNEL, "message", message(number, text))
    sandbox.publish(CHANNEL, "chatTag", '{"payload":{"data":[{"type":"add"}]}}')
    assert script.wait() == 0
    assert script.stdout.all == ["one", "два", '"quoted" \\ back', "👍🏽", "chatTag"]
    assert script.stderr.text == ""


@needs("jq")
def test_five_made_up_events_without_an_account(start_shell: StartShell) -> None:
    script = start_shell(
        "set -o pipefail; chatapp-tail --license 1229 --messenger telegram --sandbox -n 5 --json"
        " | jq -r .event",
        env={},
    )
    assert script.wait(timeout=20) == 0
    assert len(script.stdout.all) == 5
    assert set(script.stdout.all) <= {"message", "messageStatus", "chatTag"}
    assert script.stderr.text == ""


@pytest.mark.parametrize("output", ["json", "raw", "pretty"])
def test_each_event_arrives_before_the_next_is_published(
    output: str, subscribed_tail: StartTail, sandbox: Sandbox
) -> None:
    tail = subscribed_tail("-o", output)
    for number in range(5):
        publish(sandbox, [number], f"number {number}")
        assert f"number {number}" in tail.stdout.take()


def test_event_larger_than_the_pipe_arrives_whole_at_once(
    subscribed_tail: StartTail, sandbox: Sandbox
) -> None:
    tail = subscribed_tail()
    publish(sandbox, [1], "x" * 300_000)
    assert len(json.loads(tail.stdout.take())["data"]["message"]["text"]) == 300_000


def test_burst_reaches_a_slow_reader_whole_and_in_order(
    tail_into_pipe: StartTailInto, pipe: tuple[int, int], sandbox: Sandbox
) -> None:
    tail = tail_into_pipe("--count", "20000")
    publish(sandbox, range(20_000))
    output = b""
    while data := os.read(pipe[0], 65536):
        output += data
        time.sleep(0.003)  # the slow reader
    assert numbers_in(output.decode()) == list(range(20_000))
    assert end_of(tail) == (0, "")


def test_reader_that_stalls_costs_neither_the_link_nor_an_event(
    start_tail_into: StartTailInto, pipe: tuple[int, int], tmp_path: Path
) -> None:
    spooled = tmp_path / "spooled"
    spooled.mkdir()
    with Sandbox(activity_timeout=1) as sandbox:  # so that a ping is due each second
        tail = start_tail_into(
            pipe[1],
            *(*SELECT, "--count", "5000"),
            env={**reaching(sandbox), "TMPDIR": str(spooled)},
        )
        os.close(pipe[1])
        subscribed(sandbox)
        publish(sandbox, range(5000), "x" * 10_000)
        received(sandbox)
        pings = sandbox.pings
        sandbox.wait_for(lambda s: s.pings >= pings + 3, scaled(15))
        # More than is kept in memory waits on disk, where the user wants temporary files.
        assert any(str(spooled) in target for target in open_files(tail.pid))
        assert numbers_in(read_whole(pipe[0])) == list(range(5000))
        assert end_of(tail) == (0, "")
        assert sandbox.connections == 1


def open_files(pid: int) -> list[str]:
    return [str(link.readlink()) for link in Path(f"/proc/{pid}/fd").iterdir()]


def test_end_of_the_spool_is_said_though_nobody_reads(
    start_shell: StartShell, sandbox: Sandbox, env: Env
) -> None:
    """A limit on the size of files stands for a full disk: what waits can no longer be kept."""
    tail = f'(ulimit -f 2048; exec {TAIL}); echo "status $?" >&2'
    script = start_shell(f"{{ {tail}; }} | sleep 1000", env=env)
    subscribed(sandbox)
    publish_until_gone(sandbox, 5000, "x" * 10_000)
    # Said at once, while a reader that is only slow may still take what was received.
    warning = script.stderr.wait_for("warning", timeout=5)
    assert script.stderr.wait_for("^status", timeout=20) == "status 7"
    for line in (warning, script.stderr.all[1]):
        is_one_line(line + "\n", "cannot keep", "File too large")


def publish_until_gone(sandbox: Sandbox, count: int, text: str = "hello") -> None:
    """Publish to a tail that may end before the last of it."""
    for number in range(count):
        sandbox.publish(CHANNEL, "message", message(number, text))


def test_descriptor_that_does_not_block_loses_nothing(
    tail_into_pipe: StartTailInto, pipe: tuple[int, int], sandbox: Sandbox
) -> None:
    os.set_blocking(pipe[1], False)  # as a parent that runs an event loop leaves it
    tail = tail_into_pipe("-n", "500")
    publish(sandbox, range(500), "x" * 2000)
    received(sandbox)
    assert numbers_in(read_whole(pipe[0])) == list(range(500))
    assert end_of(tail) == (0, "")


def test_loop_of_the_shell_reads_lines(start_shell: StartShell, sandbox: Sandbox, env: Env) -> None:
    loop = 'while IFS= read -r line; do printf "got %s\\n" "$line"; done'
    script = start_shell(f"{TAIL} -n 3 | {loop}", env=env)
    subscribed(sandbox)
    for number in range(3):
        publish(sandbox, [number], 'back\\slash and "quotes"')
        line = script.stdout.take()
        assert line.startswith("got ")
        assert json.loads(line.removeprefix("got "))["data"]["id"] == number
    assert script.wait() == 0


@pytest.mark.defect("U9")
def test_the_summary_counts_what_was_written(subscribed_tail: StartTail, sandbox: Sandbox) -> None:
    tail = subscribed_tail("-n", "2", "-v")
    publish(sandbox, [1])
    items = [{"id": number} for number in range(2, 5)]
    sandbox.publish(CHANNEL, "other", json.dumps({"payload": {"data": items}}))
    assert tail.wait() == 0
    assert numbers_in(tail.stdout.text) == [1, 2]
    assert ": 2 records (message 1, other 1)" in tail.stderr.all[-1]


# --- a line that a kill cut


def kill(tail: "subprocess.Popen[bytes]") -> None:
    tail.kill()
    tail.wait()


@pytest.mark.defect("A.23")
@pytest.mark.skipif(sys.platform != "linux", reason="pipes have a size on Linux only")
def test_a_status_that_a_kill_cut_is_not_written_on(
    start_tail_into: StartTailInto, run: RunTail, pipe: tuple[int, int], sandbox: Sandbox, env: Env
) -> None:
    fcntl.fcntl(pipe[1], fcntl.F_SETPIPE_SZ, 4096)
    refused = [f"--channel={number}/telegram" for number in range(3000, 3400)]
    tail = start_tail_into(pipe[1], *SELECT, *refused, "--meta", "--resume=x", env=env)
    os.close(pipe[1])
    output = b""
    while b'"state":"ready"' not in output:
        output += os.read(pipe[0], 4096)
    kill(tail)
    output += read_whole(pipe[0]).encode()
    assert not output.endswith(b"\n")
    done = run(*SELECT, "--meta", "--resume=x", "--for", "2s")
    begin, *lines = done.stdout.splitlines()
    assert begin == ""
    assert [json.loads(line)["v"] for line in lines] == [1] * len(lines)


WRITE_ONLY = (
    "setpriv --bounding-set=-dac_override,-dac_read_search -- " if os.geteuid() == 0 else ""
)
"""Goes before a command that may not read what only its permissions keep from it."""


@pytest.mark.defect("A2.9")
@pytest.mark.skipif(shutil.which("setpriv") is None, reason="setpriv is not installed")
def test_a_line_that_a_full_disk_cut_in_a_file_we_may_not_read(
    start_shell: StartShell, tmp_path: Path, sandbox: Sandbox, env: Env
) -> None:
    """As systemd opens them: `StandardOutput=append:` as root, for a service with `User=`.

    Of the limit to the size of files, the checkpoint's own has a megabyte left.
    """
    events = tmp_path / "events"
    events.write_bytes((b"x" * 1023 + b"\n") * 800)
    events.chmod(0o200)
    tail = f'exec {WRITE_ONLY}chatapp-tail {shlex.join(SELECT)} --resume=x >>"$FILE"'
    variables = {**env, "FILE": str(events)}
    first = start_shell(f"ulimit -f 1000; {tail}", env=variables)
    subscribed(sandbox)
    publish(sandbox, range(3), "x" * 80_000)
    assert first.wait() == 7
    assert not events.read_bytes().endswith(b"\n")
    second = start_shell(f"{tail} -n 1", env=variables)
    assert second.wait() == 0, second.stderr.text
    *_, torn, last = events.read_text().splitlines()
    assert json.loads(last)["v"] == 1
    with pytest.raises(ValueError, match="Unterminated"):
        json.loads(torn)


@pytest.mark.defect("A2.23i")
def test_a_file_that_ends_mid_line_is_not_written_on(
    start_shell: StartShell, greeter: Sandbox, tmp_path: Path
) -> None:
    (tmp_path / "log").write_text('{"torn')
    script = start_shell(
        TAIL + ' -n 1 >>"$FILE"', env={**reaching(greeter), "FILE": str(tmp_path / "log")}
    )
    assert script.wait() == 0
    torn, line = (tmp_path / "log").read_text().splitlines()
    assert torn == '{"torn'
    assert json.loads(line)["v"] == 1


# --- files and other descriptors


def test_file_is_complete_after_sigterm(
    start_tail_into: StartTailInto, tmp_path: Path, sandbox: Sandbox, env: Env
) -> None:
    with (tmp_path / "events").open("wb") as stdout:
        tail = start_tail_into(stdout.fileno(), *SELECT, env=env)
    subscribed(sandbox)
    publish(sandbox, range(2000))
    received(sandbox)
    tail.terminate()
    assert end_of(tail) == (-15, "")
    assert numbers_in((tmp_path / "events").read_text()) == list(range(2000))


def test_file_is_appended_to(start_shell: StartShell, greeter: Sandbox, tmp_path: Path) -> None:
    script = start_shell(
        'echo first >"$FILE"; for _ in 1 2; do ' + TAIL + ' -n 1 >>"$FILE" || exit; done',
        env={**reaching(greeter), "FILE": str(tmp_path / "log")},
    )
    assert script.wait() == 0
    first, *lines = (tmp_path / "log").read_text().splitlines()
    assert first == "first"
    assert [json.loads(line)["v"] for line in lines] == [1, 1]


def test_socket_as_stdout(start_tail_into: StartTailInto, sandbox: Sandbox, env: Env) -> None:
    ours, theirs = socket.socketpair()
    with ours, ours.makefile("r", encoding="utf-8") as lines:
        with theirs:
            tail = start_tail_into(theirs.fileno(), *SELECT, env=env)
        ours.settimeout(scaled(10))
        subscribed(sandbox)
        for number in range(3):
            publish(sandbox, [number])
            assert numbers_in(lines.readline()) == [number]
    assert end_of(tail, timeout=AT_ONCE) == (0, "")


def test_tcp_peer_that_hangs_up_ends_the_tail(
    start_tail_into: StartTailInto, sandbox: Sandbox, env: Env
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        ours = socket.create_connection(listener.getsockname())
        theirs, _ = listener.accept()
    with ours, theirs:
        tail = start_tail_into(theirs.fileno(), *SELECT, env=env)
        theirs.close()
        subscribed(sandbox)
        publish(sandbox, range(100))
        ours.settimeout(scaled(10))
        assert ours.recv(10)
    # It closed with bytes unread, which TCP tells the writer as a reset.
    assert end_of(tail) == (0, "")


def test_full_disk_is_said(start_shell: StartShell, sandbox: Sandbox, env: Env) -> None:
    script = start_shell(f"exec {TAIL} >/dev/full", env=env)
    subscribed(sandbox)
    publish(sandbox, [1])
    assert script.wait(timeout=PROMPT) == 7
    is_one_line(script.stderr.text, "stdout", "No space left on device")


@pytest.mark.parametrize(
    ("command", "word"),
    [
        ("chatapp-tail --help >/dev/full", "No space left on device"),
        ("chatapp-tail --version >/dev/full", "No space left on device"),
        ("chatapp-tail sandbox --port 0 >/dev/full", "No space left on device"),
        (f"{TAIL} >&-", "stdout is closed"),
        (f"{TAIL} <&- >&-", "stdout is closed"),
    ],
)
def test_stdout_that_takes_nothing_is_said(
    command: str, word: str, start_shell: StartShell, env: Env
) -> None:
    script = start_shell(f"exec {command}", env=env)
    assert script.wait() == 7
    is_one_line(script.stderr.text, "stdout", word)


@pytest.mark.parametrize(
    ("command", "status"),
    [
        (f"{TAIL} <&- >&- 2>&-", 7),
        ("chatapp-tail --license x 2>&-", 2),
        ("chatapp-tail --license x 2>/dev/full", 2),
    ],
)
def test_failure_keeps_its_status_when_it_cannot_be_said(
    command: str, status: int, start_shell: StartShell, env: Env
) -> None:
    script = start_shell(f"{command}; echo $?", env=env)
    assert script.wait() == 0
    assert script.stdout.text == f"{status}\n"


@pytest.mark.parametrize("redirection", ["2>&-", "<&-", "<&- 2>&-", "2>/dev/full", "2> >(true)"])
def test_other_descriptors_may_be_unusable(
    redirection: str, start_shell: StartShell, sandbox: Sandbox, env: Env
) -> None:
    script = start_shell(f"{TAIL} -v -n 1 {redirection}; echo status $?", env=env)
    subscribed(sandbox)
    publish(sandbox, [5])
    assert script.wait() == 0
    line, status = script.stdout.all
    assert numbers_in(line + "\n") == [5]
    assert status == "status 0"


@pytest.mark.defect("A2.24e")
@pytest.mark.parametrize("limit", [5, 8, 10, 12, 13])
def test_too_few_descriptors_are_said(limit: int, start_process: StartProcess, env: Env) -> None:
    command = f"ulimit -n {limit}; exec {shlex.join([*PROGRAM, *SELECT])}"
    process = start_process(["bash", "-c", command], env=env)
    assert process.wait() == 4
    is_one_line(process.stderr.text, "Too many open files", "ulimit -n")


def test_stdin_is_left_to_others(start_shell: StartShell, greeter: Sandbox) -> None:
    script = start_shell(
        "printf 'one\\ntwo\\nthree\\n' | while read -r word; do "
        + TAIL
        + ' -n 1 >/dev/null || exit; echo "$word"; done',
        env=reaching(greeter),
    )
    assert script.wait() == 0
    assert script.stdout.all == ["one", "two", "three"]


def test_help_into_a_reader_that_is_gone(
    start_tail_into: StartTailInto, pipe: tuple[int, int]
) -> None:
    os.close(pipe[0])
    tail = start_tail_into(pipe[1], "--help", env={})
    assert end_of(tail, timeout=10) == (0, "")


def test_version_is_for_scripts_too(run_tail: RunTail) -> None:
    done = run_tail("--version")
    assert done.returncode == 0
    assert done.stderr == ""
    assert done.stdout.startswith("chatapp-tail ")
    assert done.stdout.count("\n") == 1


def test_stderr_that_nobody_reads_does_not_cost_the_link(
    start_tail_into: StartTailInto, pipe: tuple[int, int]
) -> None:
    """With -vv every frame is said; a pager that is paused must not stop the pings."""
    with Sandbox(activity_timeout=1) as sandbox:
        start_tail_into(pipe[1], *SELECT, "-vv", env=reaching(sandbox))
        subscribed(sandbox)
        publish(sandbox, range(100), "x" * 4000)
        sandbox.wait_for(lambda s: s.pings >= 3, scaled(5))


@pytest.mark.defect("A2.13")
def test_stderr_that_nobody_reads_does_not_cost_an_event(
    start_tail_into: StartTailInto, pipe: tuple[int, int], sandbox: Sandbox, env: Env
) -> None:
    unread, stderr = os.pipe()
    tail = start_tail_into(pipe[1], *SELECT, "-vv", "-n", "1000", env=env, stderr=stderr)
    os.close(pipe[1])
    os.close(stderr)
    subscribed(sandbox)
    publish(sandbox, range(1000), "x" * 2000)
    assert numbers_in(read_whole(pipe[0])) == list(range(1000))
    assert tail.wait(scaled(10)) == 0
    begin = os.read(unread, 65536).decode()
    os.close(unread)
    assert all(line.startswith("chatapp-tail: ") for line in begin.splitlines()[:-1])


@pytest.mark.defect("A2.13")
def test_notices_that_stderr_had_no_room_for_come_later(
    start_tail_into: StartTailInto, pipe: tuple[int, int], sandbox: Sandbox, env: Env
) -> None:
    read_end, stderr = os.pipe()
    json_notices = ("-vv", "--log-format", "json")
    start_tail_into(pipe[1], *SELECT, *json_notices, env=env, stderr=stderr)
    os.close(stderr)
    subscribed(sandbox)
    publish(sandbox, range(1000), "x" * 2000)
    received(sandbox)
    with os.fdopen(os.dup(pipe[0]), "rb") as stdout:
        for _ in range(1000):
            stdout.readline()
    with os.fdopen(read_end, "rb") as lines:
        told = next(filter(re.compile(b"notices dropped").search, lines))
    record = json.loads(told)
    assert (record["type"], record["state"]) == ("status", "warning")
    assert re.fullmatch(r"[\d,]+ notices dropped since nobody read stderr", record["message"])


@pytest.mark.defect("A.22")
def test_stderr_that_was_full_once_is_not_given_up(
    start_tail_into: StartTailInto, pipe: tuple[int, int], sandbox: Sandbox, env: Env
) -> None:
    read_end, stderr = os.pipe()
    os.set_blocking(stderr, False)  # as a parent that runs an event loop leaves it
    with suppress(BlockingIOError):
        while True:
            os.write(stderr, b"\n" * 4096)
    start_tail_into(pipe[1], *SELECT, "-v", env=env, stderr=stderr)
    os.close(stderr)
    subscribed(sandbox)
    publish(sandbox, [1])
    assert os.read(pipe[0], 65536)  # all that comes before has been said, or was to be
    with os.fdopen(read_end, "rb") as lines:
        assert b"connecting" in next(line for line in lines if line != b"\n")
        sandbox.abort_sockets()
        next(line for line in lines if b"lost the connection" in line)
