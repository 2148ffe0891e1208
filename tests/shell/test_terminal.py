"""On a terminal: pretty and progress, and nothing a stranger wrote that acts on it."""

import os
import shlex
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from chatapp_tail.sandbox import Sandbox, pusher_error
from tests.conftest import clean_environment, wait_until
from tests.shell.conftest import (
    CHANNEL,
    PROMPT,
    SELECT,
    Env,
    StartTerminal,
    message,
    needs,
    numbers_in,
    publish,
    read_whole,
    received,
    scaled,
    subscribed,
)


def test_terminal_gets_pretty_and_progress(
    start_terminal: StartTerminal, sandbox: Sandbox, env: Env
) -> None:
    terminal = start_terminal(*SELECT, "-n", "1", env=env)
    terminal.wait_for(b"connecting to ws://127.0.0.1")
    terminal.wait_for(b"ready: 1229/telegram")
    publish(sandbox, [1], "hello there")
    assert terminal.wait() == 0
    assert b"hello there" in terminal.shown
    assert b"Anna" in terminal.shown
    assert b'{"v":1' not in terminal.shown


def test_json_is_there_for_who_asks(
    start_terminal: StartTerminal, sandbox: Sandbox, env: Env
) -> None:
    terminal = start_terminal(*SELECT, "--json", "-n", "1", env=env)
    subscribed(sandbox)
    publish(sandbox, [1])
    assert terminal.wait() == 0
    assert b'{"v":1,"type":"event"' in terminal.shown


def test_quiet_shows_records_only(
    start_terminal: StartTerminal, sandbox: Sandbox, env: Env
) -> None:
    terminal = start_terminal(*SELECT, "-q", "--json", "-n", "1", env=env)
    subscribed(sandbox)
    publish(sandbox, [1])
    assert terminal.wait() == 0
    assert terminal.shown.startswith(b'{"v":1')
    assert terminal.shown.count(b"\n") == 1


def test_piped_records_and_progress_for_the_person(
    start_terminal: StartTerminal, pipe: tuple[int, int], sandbox: Sandbox, env: Env
) -> None:
    terminal = start_terminal(*SELECT, "-n", "2", env=env, stdout=pipe[1])
    os.close(pipe[1])
    terminal.wait_for(b"ready: 1229/telegram")
    publish(sandbox, [1, 2])
    assert numbers_in(read_whole(pipe[0])) == [1, 2]
    assert terminal.wait() == 0
    assert b"hello" not in terminal.shown


# --- colour


def test_colour_on_a_terminal(start_terminal: StartTerminal, sandbox: Sandbox, env: Env) -> None:
    terminal = start_terminal(*SELECT, "-n", "1", env=env)
    subscribed(sandbox)
    publish(sandbox, [1])
    assert terminal.wait() == 0
    assert b"\x1b[" in terminal.shown
    assert b"\x1b[0m" in terminal.shown


@pytest.mark.parametrize("variables", [{"NO_COLOR": "1"}, {"TERM": "dumb"}], ids=str)
def test_no_colour_for_who_does_not_want_it(
    variables: Env, start_terminal: StartTerminal, sandbox: Sandbox, env: Env
) -> None:
    terminal = start_terminal(*SELECT, "-n", "1", env={**env, **variables})
    subscribed(sandbox)
    publish(sandbox, [1])
    assert terminal.wait() == 0
    assert b"hello" in terminal.shown
    assert b"\x1b[3" not in terminal.shown, "a colour"
    assert b"\x1b[9" not in terminal.shown, "a bright colour"
    if "TERM" in variables:
        assert b"\x1b" not in terminal.shown


# --- what strangers write

ATTACKS = [
    "\x1b]0;title\x07",
    "\x1b[2J\x1b[H",
    "\x9b2J",
    "\x1bP+q\x1b\\",
    "\rchatapp-tail: overwritten",
    "\x07\x08\x08",
    "\u202eright to left",
]
ACTS = (b"\x1b]", b"\x1b[2J", b"\x1b[H", b"\xc2\x9b", b"\x1bP", b"\x07", b"\x08", b"\xe2\x80\xae")


@pytest.mark.parametrize("attack", ATTACKS, ids=ascii)
def test_escape_sequences_in_events_are_shown_and_not_obeyed(
    attack: str, start_terminal: StartTerminal, sandbox: Sandbox, env: Env
) -> None:
    terminal = start_terminal(*SELECT, "-n", "4", env=env)
    subscribed(sandbox)
    sandbox.publish(CHANNEL, "message", message(1, f"before {attack} after"))
    sandbox.publish(CHANNEL, "message", message(2, "text", name=f"Anna{attack}"))
    sandbox.publish(CHANNEL, f"event{attack}", "{}")
    sandbox.publish(CHANNEL, "event", f"not JSON {attack}")
    assert terminal.wait() == 0
    assert b"before" in terminal.shown
    harmless(terminal.shown)


@pytest.mark.parametrize("verbosity", [[], ["-vv"]], ids=str)
def test_escape_sequences_from_the_server_are_not_obeyed(
    verbosity: list[str], start_terminal: StartTerminal, sandbox: Sandbox, env: Env
) -> None:
    everything = "".join(ATTACKS)
    terminal = start_terminal(*SELECT, *verbosity, "-n", "1", env=env)
    subscribed(sandbox)
    sandbox.send_frame(pusher_error(4301, f"server {everything} error"))
    publish(sandbox, [1])
    assert terminal.wait() == 0
    terminal.wait_for(b"server .* error")
    harmless(terminal.shown)


def test_escape_sequences_in_a_refusal_are_not_obeyed(
    start_terminal: StartTerminal, sandbox: Sandbox, env: Env
) -> None:
    body = '{"error":{"code":"Api\\u001b]0;title\\u0007\\u001b[2J","message":"no"}}'
    sandbox.faults.answer_auth(403, body)
    terminal = start_terminal(*SELECT, env=env)
    assert terminal.wait(timeout=10) == 5
    assert b"Api" in terminal.shown
    harmless(terminal.shown)


def harmless(shown: bytes) -> None:
    for act in ACTS:
        assert act not in shown
    # The terminal itself ends each line with CR LF; no other CR may come through.
    assert b"\r" not in shown.replace(b"\r\n", b"")


# --- sizes, pauses and ends


def test_resizing_changes_the_width_and_nothing_else(
    start_terminal: StartTerminal, sandbox: Sandbox, env: Env
) -> None:
    words = " ".join(["word"] * 12)
    terminal = start_terminal(*SELECT, env={**env, "NO_COLOR": "1", "TERM": "dumb"}, columns=200)
    terminal.wait_for(b"ready")
    publish(sandbox, [1], f"wide {words} end")
    terminal.wait_for(b"wide .* end\r\n")
    before = len(terminal.shown)
    for columns in (120, 3, 0, 40):
        terminal.resize(columns)
    publish(sandbox, [2], f"narrow {words} finish")
    terminal.wait_for(b"finish\r\n")
    lines = terminal.shown[before:].decode().splitlines()
    assert len(lines) > 1
    assert max(map(len, lines)) <= 40


def test_paused_terminal_gets_everything_later(
    start_terminal: StartTerminal, env: Env, sandbox: Sandbox
) -> None:
    terminal = start_terminal(*SELECT, "-q", "--json", "-n", "300", env=env)
    subscribed(sandbox)
    publish(sandbox, [0])
    terminal.wait_for(b"\n")
    terminal.type(b"\x13")  # Ctrl-S
    publish(sandbox, range(1, 300), "x" * 1000)
    received(sandbox)
    assert terminal.shown.count(b"\n") < 100
    terminal.type(b"\x11")  # Ctrl-Q
    assert terminal.wait(timeout=10) == 0
    assert numbers_in(terminal.shown.decode()) == list(range(300))


def test_ctrl_c_ends_a_paused_terminal(
    start_terminal: StartTerminal, env: Env, sandbox: Sandbox
) -> None:
    terminal = start_terminal(*SELECT, "-q", "--json", env=env)
    subscribed(sandbox)
    terminal.type(b"\x13")
    publish(sandbox, range(300), "x" * 1000)
    received(sandbox)
    terminal.type(b"\x03")
    assert terminal.wait(timeout=PROMPT) == -2


def test_lost_terminal_ends_the_tail(
    start_terminal: StartTerminal, sandbox: Sandbox, env: Env
) -> None:
    terminal = start_terminal(*SELECT, env=env)
    terminal.wait_for(b"ready")
    terminal.hang_up()
    assert terminal.process.wait(scaled(PROMPT)) in (0, -1)


# --- a real terminal, with a real shell in it


@pytest.fixture
def tmux(home: Path, tmp_path: Path, program_path: str, env: Env) -> Iterator[Callable[..., str]]:
    """Run a tmux command against a server of this test's own, with an interactive bash in it."""
    whole = {**clean_environment(home), **env, "PATH": program_path, "TERM": "xterm"}

    def run(*arguments: str) -> str:
        return subprocess.run(
            ["tmux", "-S", str(tmp_path / "tmux"), "-f", "/dev/null", *arguments],
            env=whole,
            cwd=home,
            check=True,
            capture_output=True,
            text=True,
            timeout=scaled(15),
        ).stdout

    run("new-session", "-d", "-x", "90", "-y", "24", "env PS1='> ' bash --norc --noprofile -i")
    yield run
    run("kill-server")


@needs("tmux")
def test_in_tmux(tmux: Callable[..., str], sandbox: Sandbox) -> None:
    def shows(text: str) -> None:
        wait_until(lambda: text in tmux("capture-pane", "-p"), f"{text!r} on the screen")

    tmux("send-keys", shlex.join(["chatapp-tail", *SELECT]), "Enter")
    shows("ready: 1229/telegram")
    publish(sandbox, [1], "the first message")
    shows("the first message")
    tmux("resize-window", "-x", "50", "-y", "20")
    publish(sandbox, [2], "the second message")
    shows("the second message")
    tmux("send-keys", "C-z")
    shows("Stopped")
    publish(sandbox, [3], "the third message")
    tmux("send-keys", "fg", "Enter")
    shows("the third message")
    tmux("send-keys", "C-c")
    tmux("send-keys", 'echo "status=$?"', "Enter")
    shows("status=130")
    assert "Traceback" not in tmux("capture-pane", "-p", "-S", "-200")
