"""Ctrl-C and kill: it ends soon, by the signal itself, and what was received is written."""

import os
import signal
import socket
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest

from chatapp_tail.sandbox import Sandbox
from tests.conftest import PROGRAM, LiveProcess, StartProcess, StartTail, wait_until
from tests.shell.conftest import (
    AT_ONCE,
    PROMPT,
    SELECT,
    StartShell,
    StartTailInto,
    StartTerminal,
    end_of,
    numbers_in,
    publish,
    read_whole,
    received,
    scaled,
    subscribed,
)

each_signal = pytest.mark.parametrize(
    "signum", [signal.SIGINT, signal.SIGTERM], ids=lambda signum: signum.name
)


# --- where it may be when the signal comes


@each_signal
def test_idle(
    signum: signal.Signals, start_tail: StartTail, sandbox: Sandbox, env: Mapping[str, str]
) -> None:
    tail = start_tail(*SELECT, env=env)
    subscribed(sandbox)
    tail.send_signal(signum)
    assert tail.wait(timeout=AT_ONCE) == -signum
    assert (tail.stdout.text, tail.stderr.text) == ("", "")


@contextmanager
def never_answering() -> Iterator[tuple[int, Callable[[], None]]]:
    """Yield a port that accepts and never answers, and a wait for somebody to come."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(scaled(15))
        accepted: list[socket.socket] = []
        yield listener.getsockname()[1], lambda: accepted.append(listener.accept()[0])
        for each in accepted:
            each.close()


@each_signal
@pytest.mark.parametrize("scheme", ["ws", "wss"])
def test_while_the_server_never_answers(
    signum: signal.Signals, scheme: str, start_tail: StartTail, env: Mapping[str, str]
) -> None:
    with never_answering() as (port, accept):
        tail = start_tail(*SELECT, "--ws-url", f"{scheme}://127.0.0.1:{port}", env=env)
        accept()
        tail.send_signal(signum)
        assert tail.wait(timeout=PROMPT) == -signum
    assert (tail.stdout.text, tail.stderr.text) == ("", "")


@each_signal
def test_while_the_connect_gets_no_answer(
    signum: signal.Signals, start_tail: StartTail, env: Mapping[str, str]
) -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=0) as full:
        address = full.getsockname()
        with socket.create_connection(address):  # the one that the backlog has room for
            tail = start_tail(*SELECT, "-v", "--ws-url", "ws://{}:{}".format(*address), env=env)
            tail.stderr.wait_for("connecting")
            tail.send_signal(signum)
            assert tail.wait(timeout=PROMPT) == -signum
    assert [line for line in tail.stderr.all[1:] if "0 records" not in line] == []


@each_signal
def test_between_retries(
    signum: signal.Signals, start_tail: StartTail, closed_port: int, env: Mapping[str, str]
) -> None:
    tail = start_tail(*SELECT, "--ws-url", f"ws://127.0.0.1:{closed_port}", env=env)
    tail.stderr.wait_for("trying again")
    tail.send_signal(signum)
    assert tail.wait(timeout=PROMPT) == -signum
    assert "Traceback" not in tail.stderr.text


@each_signal
def test_while_the_api_never_answers(
    signum: signal.Signals, start_tail: StartTail, env: Mapping[str, str]
) -> None:
    with never_answering() as (port, accept):
        tail = start_tail(*SELECT, "--api-url", f"http://127.0.0.1:{port}", env=env)
        accept()
        tail.send_signal(signum)
        assert tail.wait(timeout=PROMPT) == -signum
    assert (tail.stdout.text, tail.stderr.text) == ("", "")


@each_signal
def test_while_nobody_reads_stdout(
    signum: signal.Signals,
    start_tail_into: StartTailInto,
    pipe: tuple[int, int],
    sandbox: Sandbox,
    env: Mapping[str, str],
) -> None:
    tail = start_tail_into(pipe[1], *SELECT, env=env)
    os.close(pipe[1])
    subscribed(sandbox)
    publish(sandbox, range(200), "x" * 4000)
    received(sandbox)
    tail.send_signal(signum)
    assert end_of(tail, timeout=PROMPT) == (-signum, "")
    whole, _, _ = read_whole(pipe[0]).rpartition("\n")  # the last may be cut: the pipe was full
    ids = numbers_in(whole + "\n")
    assert ids == list(range(len(ids)))
    assert ids


def interrupting_finder(module: str) -> str:
    """A sitecustomize that interrupts the process at the moment it imports `module`."""
    return f"""\
import os, signal, sys
class Interrupt:
    def find_spec(self, name, path=None, target=None):
        if name == {module!r}:
            sys.meta_path.remove(self)
            os.kill(os.getpid(), signal.SIGINT)
sys.meta_path.insert(0, Interrupt())
"""


@pytest.mark.parametrize(
    "module",
    [
        "click",
        "chatapp_tail.cli.command",
        "chatapp_tail.cli.run",
        "websocket",
        "http.client",
    ],
)
def test_while_it_starts(
    module: str, start_tail: StartTail, tmp_path: Path, env: Mapping[str, str]
) -> None:
    (tmp_path / "sitecustomize.py").write_text(interrupting_finder(module))
    tail = start_tail(*SELECT, env={**env, "PYTHONPATH": str(tmp_path)})
    assert tail.wait() == -signal.SIGINT
    assert (tail.stdout.text, tail.stderr.text) == ("", "")


# --- what was received is written


@each_signal
def test_received_records_are_written_first(
    signum: signal.Signals, start_tail: StartTail, sandbox: Sandbox, env: Mapping[str, str]
) -> None:
    tail = start_tail(*SELECT, env=env)
    subscribed(sandbox)
    publish(sandbox, range(3000))
    received(sandbox)
    tail.send_signal(signum)
    assert tail.wait() == -signum
    assert numbers_in(tail.stdout.text) == list(range(3000))


def test_reader_that_was_late_gets_everything_after_the_signal(
    start_tail_into: StartTailInto,
    pipe: tuple[int, int],
    sandbox: Sandbox,
    env: Mapping[str, str],
) -> None:
    tail = start_tail_into(pipe[1], *SELECT, env=env)
    os.close(pipe[1])
    subscribed(sandbox)
    publish(sandbox, range(1500), "x" * 4000)
    received(sandbox)
    tail.terminate()
    assert numbers_in(read_whole(pipe[0])) == list(range(1500))
    assert end_of(tail) == (-signal.SIGTERM, "")


# --- the second signal


def handles(pid: int, signum: int) -> bool:
    return _in_mask("SigCgt", pid, signum)


def ignores(pid: int, signum: int) -> bool:
    return _in_mask("SigIgn", pid, signum)


def _in_mask(mask: str, pid: int, signum: int) -> bool:
    """Read a signal mask of proc(5)."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    bits = next(int(line.split()[1], 16) for line in lines if line.startswith(f"{mask}:"))
    return bool(bits >> (signum - 1) & 1)


def test_second_signal_ends_it_at_once(
    start_tail_into: StartTailInto,
    pipe: tuple[int, int],
    sandbox: Sandbox,
    env: Mapping[str, str],
) -> None:
    tail = start_tail_into(pipe[1], *SELECT, env=env)
    subscribed(sandbox)
    publish(sandbox, range(200), "x" * 4000)
    received(sandbox)
    tail.send_signal(signal.SIGINT)
    wait_until(lambda: not handles(tail.pid, signal.SIGTERM), "the first signal to be taken")
    tail.send_signal(signal.SIGTERM)
    # Had the second signal done nothing, it would have died by the first one.
    assert end_of(tail) == (-signal.SIGTERM, "")


# --- what its parent sees


@each_signal
def test_shell_shows_the_signal(
    signum: signal.Signals, start_shell: StartShell, sandbox: Sandbox, env: Mapping[str, str]
) -> None:
    script = start_shell(
        f"sh -c 'echo $$; exec chatapp-tail {' '.join(SELECT)}' 2>&1; echo \"status $?\"", env=env
    )
    pid = int(script.stdout.take())
    subscribed(sandbox)
    os.kill(pid, signum)
    assert script.stdout.wait_for("^status ") == f"status {128 + signum}"
    assert script.wait() == 0


def test_interrupt_ends_the_loop_around_it_too(
    start_shell: StartShell, sandbox: Sandbox, env: Mapping[str, str]
) -> None:
    """A shell goes on after a child that exits on Ctrl-C, and stops after one that dies of it."""
    script = start_shell(f"while :; do chatapp-tail {' '.join(SELECT)}; echo again; done", env=env)
    subscribed(sandbox)
    os.killpg(script.pid, signal.SIGINT)
    assert script.wait(timeout=PROMPT) == -signal.SIGINT
    assert (script.stdout.text, script.stderr.text) == ("", "")


@pytest.mark.parametrize("name", ["HUP", "INT"])
def test_signal_ignored_by_the_parent_stays_ignored(
    name: str, start_shell: StartShell, sandbox: Sandbox, env: Mapping[str, str]
) -> None:
    """`nohup` ignores SIGHUP, and a script ignores SIGINT for what it starts with `&`."""
    tail = start_shell(f"trap '' {name}; exec chatapp-tail {' '.join(SELECT)}", env=env)
    subscribed(sandbox)
    assert ignores(tail.pid, getattr(signal, f"SIG{name}"))
    tail.send_signal(getattr(signal, f"SIG{name}"))
    publish(sandbox, [1])
    assert numbers_in(tail.stdout.take() + "\n") == [1]


def test_stopped_and_continued(
    start_tail: StartTail, sandbox: Sandbox, env: Mapping[str, str]
) -> None:
    tail = start_tail(*SELECT, "-n", "10", env=env)
    subscribed(sandbox)
    tail.send_signal(signal.SIGSTOP)
    wait_until(lambda: is_stopped(tail), "the process to be stopped")
    publish(sandbox, range(10))
    tail.send_signal(signal.SIGCONT)
    assert tail.wait() == 0
    assert numbers_in(tail.stdout.text) == list(range(10))
    assert tail.stderr.text == ""


def is_stopped(tail: LiveProcess) -> bool:
    return "State:\tT" in Path(f"/proc/{tail.pid}/status").read_text()


def test_ctrl_c_on_a_terminal(
    start_terminal: StartTerminal, sandbox: Sandbox, env: Mapping[str, str]
) -> None:
    terminal = start_terminal(*SELECT, env=env)
    terminal.wait_for(b"ready")
    publish(sandbox, [1], "the last words")
    received(sandbox)
    terminal.type(b"\x03")
    assert terminal.wait() == -signal.SIGINT
    assert b"the last words" in terminal.shown
    assert b"Traceback" not in terminal.shown
    assert b"Aborted" not in terminal.shown


def test_optimised_python_ends_the_same_way(
    start_process: StartProcess, sandbox: Sandbox, env: Mapping[str, str]
) -> None:
    tail = start_process([sys.executable, "-O", *PROGRAM[1:], *SELECT], env=env)
    subscribed(sandbox)
    tail.send_signal(signal.SIGTERM)
    assert tail.wait(timeout=PROMPT) == -signal.SIGTERM
    assert tail.stderr.text == ""
