"""--exec: what a command gets, what its exit status does, and how it ends with the tail."""

import json
import os
import signal
import time
from collections.abc import Mapping
from pathlib import Path

import pytest

from chatapp_tail.sandbox import Sandbox
from tests.conftest import RunTail, StartTail, wait_until
from tests.shell.conftest import (
    AT_ONCE,
    PROMPT,
    SELECT,
    StartTerminal,
    is_one_line,
    numbers_in,
    publish,
    received,
    scaled,
    subscribed,
)

NAMES = "$CHATAPP_EVENT $CHATAPP_LICENSE $CHATAPP_MESSENGER $CHATAPP_CHAT $CHATAPP_SOURCE"


def test_the_record_is_its_input(
    start_tail: StartTail, sandbox: Sandbox, env: Mapping[str, str]
) -> None:
    """Its output is the tail's, with nothing between."""
    tail = start_tail(*SELECT, "--exec", "cat", "-n", "3", env=env)
    subscribed(sandbox)
    publish(sandbox, range(3))
    assert tail.wait() == 0
    assert numbers_in(tail.stdout.text) == [0, 1, 2]
    assert tail.stderr.text == ""


def test_what_it_is_called(start_tail: StartTail, sandbox: Sandbox, env: Mapping[str, str]) -> None:
    command = f'echo "{NAMES}"; echo "$CHATAPP_ID $CHATAPP_HASH"; cat'
    tail = start_tail(*SELECT, "--exec", command, "-n", "1", env=env)
    subscribed(sandbox)
    publish(sandbox, [7], "what people write")
    assert tail.wait() == 0
    names, identity, line = tail.stdout.all
    record = json.loads(line)
    assert names == "message 1229 telegram private-7 live"
    assert identity == f"{record['id']} {record['hash']}"


def test_no_text_and_no_secret_in_its_environment(
    start_tail: StartTail, sandbox: Sandbox, env: Mapping[str, str]
) -> None:
    secrets = {"CHATAPP_PASSWORD": "hidden-1", "CHATAPP_TAIL_FORWARD_SECRET": "hidden-2"}
    tail = start_tail(*SELECT, "--exec", "env", "-n", "1", env={**env, **secrets})
    subscribed(sandbox)
    publish(sandbox, [7], "what people write")
    assert tail.wait() == 0
    assert "CHATAPP_ID=" in tail.stdout.text
    for hidden in (sandbox.token, "hidden", "what people write"):
        assert hidden not in tail.stdout.text


def test_on_a_terminal_stdout_is_the_commands(
    start_terminal: StartTerminal, sandbox: Sandbox, env: Mapping[str, str]
) -> None:
    argv = ("--exec", "echo it is $CHATAPP_ID", "-n", "1")
    terminal = start_terminal(*SELECT, *argv, env=env)
    terminal.wait_for(b"forwarding to exec echo")
    subscribed(sandbox)
    publish(sandbox, [7], "good morning")
    assert terminal.wait(timeout=10) == 0
    assert b"it is message:1229:telegram:private-7:7\r\n" in terminal.shown
    assert b"good morning" not in terminal.shown


def test_an_input_that_is_not_read_is_no_failure(
    start_tail: StartTail, sandbox: Sandbox, env: Mapping[str, str]
) -> None:
    tail = start_tail(*SELECT, "--exec", "true", "-n", "2", env=env)
    subscribed(sandbox)
    publish(sandbox, range(2), "x" * 100_000)
    assert tail.wait() == 0
    assert tail.stderr.text == ""


# --- exit statuses


@pytest.mark.parametrize(
    ("command", "status", "said"),
    [
        ("no-such-command hidden", 127, "a command was not found"),
        ("/etc/passwd", 126, "a command cannot be executed"),
    ],
)
def test_a_command_that_cannot_run_ends_it(
    command: str,
    status: int,
    said: str,
    start_tail: StartTail,
    sandbox: Sandbox,
    env: Mapping[str, str],
) -> None:
    tail = start_tail(*SELECT, "--exec", command, env=env)
    subscribed(sandbox)
    publish(sandbox, [1])
    assert tail.wait() == 2
    last = tail.stderr.all[-1]
    assert last.startswith(f"chatapp-tail: exec {command.split()[0]}: exit status {status}, {said}")
    assert last.endswith("; at least 1 event not delivered")
    assert "hidden" not in last


def test_status_75_has_it_run_again(
    start_tail: StartTail, sandbox: Sandbox, home: Path, env: Mapping[str, str]
) -> None:
    command = "echo $CHATAPP_ID >>runs; test -e done || { touch done; exit 75; }"
    tail = start_tail(*SELECT, "--exec", command, "-n", "2", env=env)
    subscribed(sandbox)
    publish(sandbox, range(2))
    assert tail.wait() == 0
    ids = [line.rpartition(":")[2] for line in (home / "runs").read_text().splitlines()]
    assert ids == ["0", "0", "1"], "the order of a chat is kept"
    trouble, well = tail.stderr.all
    assert "exec echo: exit status 75; " in trouble
    assert well == "chatapp-tail: exec echo: takes events again"


@pytest.mark.parametrize(
    ("command", "reason"),
    [
        ("exit 3", "exit status 3"),
        ("kill -KILL $$", "killed by SIGKILL"),
        ("sleep 60", "not done within 0.5 s"),
    ],
)
def test_what_it_refuses_is_a_dead_letter(
    command: str,
    reason: str,
    start_tail: StartTail,
    run_tail: RunTail,
    sandbox: Sandbox,
    home: Path,
    env: Mapping[str, str],
) -> None:
    argv = ("--exec", command, "--exec-timeout", "500ms", "--dead-letters", "dead.ndjson")
    tail = start_tail(*SELECT, *argv, "-n", "1", env=env)
    subscribed(sandbox)
    publish(sandbox, [7])
    assert tail.wait() == 0
    assert f"dead letter: message 1229/telegram:7: {reason}; kept in dead.ndjson" in (
        tail.stderr.text
    )
    done = run_tail("replay", "dead.ndjson", "--exec", "cat")
    assert done.returncode == 0
    assert numbers_in(done.stdout) == [7]


@pytest.mark.parametrize("argv", [("-o", "json"), ("--json",), ("-f", "{id}")], ids=str)
def test_stdout_is_not_for_records(
    argv: tuple[str, ...], run_tail: RunTail, env: Mapping[str, str]
) -> None:
    done = run_tail(*SELECT, "--exec", "true", *argv, env=env)
    assert done.returncode == 2
    is_one_line(done.stderr, "stdout belongs to the command")


# --- several at once, and the end


def test_jobs_run_side_by_side(
    start_tail: StartTail, sandbox: Sandbox, home: Path, env: Mapping[str, str]
) -> None:
    """Each waits for one of another chat; among so many events there are several chats."""
    command = "touch run.$CHATAPP_CHAT; while test $(ls run.* | wc -l) -lt 2; do sleep 0.05; done"
    with Sandbox(rate=20) as busy:
        whole = {**env, "CHATAPP_WS_URL": busy.ws_url, "CHATAPP_API_URL": busy.api_url}
        whole["CHATAPP_TOKEN"] = busy.token
        tail = start_tail(*SELECT, "-j", "2", "--exec", command, "-n", "20", env=whole)
        assert tail.wait(timeout=20) == 0


def test_a_signal_lets_it_finish(
    start_tail: StartTail, sandbox: Sandbox, home: Path, env: Mapping[str, str]
) -> None:
    tail = start_tail(*SELECT, "--exec", f"touch began; sleep {scaled(1.5):g}; cat", env=env)
    subscribed(sandbox)
    publish(sandbox, range(2))
    received(sandbox)
    wait_until((home / "began").exists, "the command")
    tail.send_signal(signal.SIGTERM)
    assert tail.wait(timeout=10) == -signal.SIGTERM
    assert numbers_in(tail.stdout.text) == [0, 1]
    assert tail.stderr.text == ""


def test_ctrl_c_on_a_terminal_does_not_reach_it(
    start_terminal: StartTerminal, sandbox: Sandbox, env: Mapping[str, str]
) -> None:
    command = "echo began; sleep 0.3; echo ended"
    terminal = start_terminal(*SELECT, "--exec", command, env=env)
    subscribed(sandbox)
    publish(sandbox, [1])
    terminal.wait_for(b"\nbegan")
    terminal.type(b"\x03")
    assert terminal.wait() == -signal.SIGINT
    assert b"ended\r\n" in terminal.shown
    assert b"1 delivered" in terminal.shown


def test_a_second_signal_ends_it_at_once(
    start_tail: StartTail, sandbox: Sandbox, home: Path, env: Mapping[str, str]
) -> None:
    tail = start_tail(*SELECT, "--exec", "echo $$ >began; exec sleep 60", env=env)
    subscribed(sandbox)
    publish(sandbox, [1])
    wait_until(lambda: (home / "began").exists() and _pid(home) > 0, "the command")
    tail.send_signal(signal.SIGTERM)
    time.sleep(0.5)
    tail.send_signal(signal.SIGTERM)
    began = time.monotonic()
    assert tail.process.wait(scaled(AT_ONCE)) == -signal.SIGTERM
    assert time.monotonic() - began < scaled(AT_ONCE)
    os.killpg(_pid(home), signal.SIGKILL)  # left alone, as by any death at once


def _pid(home: Path) -> int:
    return int((home / "began").read_text() or "0")


def test_what_runs_at_the_end_is_ended(
    start_tail: StartTail, sandbox: Sandbox, home: Path, env: Mapping[str, str]
) -> None:
    tail = start_tail(*SELECT, "--exec", "echo $$ >began; exec sleep 60", env=env)
    subscribed(sandbox)
    publish(sandbox, [1])
    wait_until(lambda: (home / "began").exists() and _pid(home) > 0, "the command")
    tail.send_signal(signal.SIGINT)
    assert tail.wait(timeout=1 + PROMPT) == -signal.SIGINT
    is_one_line(tail.stderr.text, "1 event not delivered", "exec echo took nothing for 1.0 s")
    with pytest.raises(ProcessLookupError):
        os.kill(_pid(home), 0)


def test_a_kill_has_the_next_run_do_the_rest(
    start_tail: StartTail, sandbox: Sandbox, home: Path, env: Mapping[str, str]
) -> None:
    argv = (*SELECT, "--resume=x", "--exec")
    blocking = "echo $CHATAPP_ID >>ran; case $CHATAPP_ID in *:2) sleep 10;; esac"
    tail = start_tail(*argv, blocking, env=env)
    subscribed(sandbox)
    publish(sandbox, range(5))
    received(sandbox)
    ran = home / "ran"
    wait_until(lambda: ran.exists() and ran.read_text().count("\n") == 3, "the third")
    time.sleep(scaled(0.5))  # until all is in the journal
    tail.send_signal(signal.SIGKILL)
    tail.process.wait()
    tail = start_tail(*argv, "echo $CHATAPP_ID >>ran", "-n", "3", env=env)
    assert tail.wait() == 0
    ids = [line.rpartition(":")[2] for line in ran.read_text().splitlines()]
    assert ids == ["0", "1", "2", "2", "3", "4"]
