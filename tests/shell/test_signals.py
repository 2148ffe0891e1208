"""Ctrl-C and kill: it ends soon, by the signal itself, and what was received is written."""

import os
import re
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from chatapp_tail.sandbox import Sandbox
from tests.conftest import PROGRAM, LiveProcess, StartProcess, StartTail, wait_until
from tests.shell.conftest import (
    AT_ONCE,
    CHANNEL,
    PROMPT,
    SELECT,
    SLOW_WHERE,
    Env,
    StartShell,
    StartTailInto,
    StartTerminal,
    end_of,
    is_one_line,
    numbers_in,
    publish,
    publish_slow,
    read_whole,
    received,
    scaled,
    subscribed,
)

PATIENCE = {signal.SIGINT: 1.0, signal.SIGTERM: 10.0}
"""Seconds for which a reader that takes nothing is waited for."""

each_signal = pytest.mark.parametrize(
    "signum", [signal.SIGINT, signal.SIGTERM], ids=lambda signum: signum.name
)


# --- where it may be when the signal comes


@each_signal
def test_idle(signum: signal.Signals, subscribed_tail: StartTail) -> None:
    tail = subscribed_tail()
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
@pytest.mark.parametrize("server", ["--ws-url=ws", "--ws-url=wss", "--api-url=http"])
def test_while_a_server_never_answers(
    signum: signal.Signals, server: str, start: StartTail
) -> None:
    with never_answering() as (port, accept):
        tail = start(*SELECT, f"{server}://127.0.0.1:{port}")
        accept()
        tail.send_signal(signum)
        assert tail.wait(timeout=PROMPT) == -signum
    assert (tail.stdout.text, tail.stderr.text) == ("", "")


@each_signal
def test_while_the_connect_gets_no_answer(signum: signal.Signals, start: StartTail) -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=0) as full:
        address = full.getsockname()
        with socket.create_connection(address):  # the one that the backlog has room for
            tail = start(*SELECT, "-v", "--ws-url", "ws://{}:{}".format(*address))
            tail.stderr.wait_for("connecting")
            tail.send_signal(signum)
            assert tail.wait(timeout=PROMPT) == -signum
    assert [line for line in tail.stderr.all[1:] if "0 records" not in line] == []


@each_signal
def test_between_retries(signum: signal.Signals, start: StartTail, closed_port: int) -> None:
    tail = start(*SELECT, "--ws-url", f"ws://127.0.0.1:{closed_port}")
    tail.stderr.wait_for("trying again")
    tail.send_signal(signum)
    assert tail.wait(timeout=PROMPT) == -signum
    assert "Traceback" not in tail.stderr.text


@pytest.mark.defect("U4")
@each_signal
def test_while_nobody_reads_stdout(
    signum: signal.Signals, tail_into_pipe: StartTailInto, pipe: tuple[int, int], sandbox: Sandbox
) -> None:
    tail = tail_into_pipe()
    publish(sandbox, range(200), "x" * 4000)
    received(sandbox)
    tail.send_signal(signum)
    patience = PATIENCE[signum]
    status, said = end_of(tail, timeout=patience + PROMPT)
    whole, _, _ = read_whole(pipe[0]).rpartition("\n")  # the last may be cut: the pipe was full
    ids = numbers_in(whole + "\n")
    assert ids == list(range(len(ids)))
    assert ids
    assert status == -signum
    left = f"{200 - len(ids)} events not written"
    is_one_line(said, left, f"took nothing for {patience:.{0 if patience > 9 else 1}f} s")


def interrupting_finder(module: str, signum: int = signal.SIGINT) -> str:
    """A sitecustomize that sends the process a signal at the moment it imports `module`."""
    return f"""\
import os, sys
class Interrupt:
    def find_spec(self, name, path=None, target=None):
        if name == {module!r}:
            sys.meta_path.remove(self)
            os.kill(os.getpid(), {int(signum)})
sys.meta_path.insert(0, Interrupt())
"""


@pytest.mark.parametrize(
    "module",
    [
        pytest.param("enum", marks=pytest.mark.defect("A2.24a")),
        pytest.param("typing", marks=pytest.mark.defect("A2.24a")),
        "click",
        "chatapp_tail.cli.command",
        "chatapp_tail.cli.run",
        "websocket",
        "http.client",
    ],
)
def test_while_it_starts(module: str, start: StartTail, tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(interrupting_finder(module))
    tail = start(*SELECT, env={"PYTHONPATH": str(tmp_path)})
    assert tail.wait() == -signal.SIGINT
    assert (tail.stdout.text, tail.stderr.text) == ("", "")


@pytest.mark.defect("A.25")
@pytest.mark.parametrize("module", ["click", "chatapp_tail.cli.run"])
def test_a_request_while_it_starts_is_answered_once_it_tails(
    module: str, start: StartTail, tmp_path: Path
) -> None:
    (tmp_path / "sitecustomize.py").write_text(interrupting_finder(module, signal.SIGUSR1))
    tail = start(*SELECT, env={"PYTHONPATH": str(tmp_path)})
    tail.stderr.wait_for("0 records")
    tail.send_signal(signal.SIGTERM)
    assert tail.wait() == -signal.SIGTERM


@pytest.mark.defect("A.25")
def test_a_request_while_the_api_never_answers_does_no_harm(start: StartTail) -> None:
    with never_answering() as (port, accept):
        tail = start("--all", "--api-url", f"http://127.0.0.1:{port}")
        accept()
        for signum in (signal.SIGUSR1, signal.SIGUSR1, signal.SIGTERM):
            tail.send_signal(signum)
        assert tail.wait(timeout=PROMPT) == -signal.SIGTERM


# --- while what comes is filtered out


@pytest.mark.defect("A.18")
def test_a_request_is_answered_amid_a_filtered_flood(
    subscribed_tail: StartTail, sandbox: Sandbox
) -> None:
    tail = subscribed_tail("-w", SLOW_WHERE)
    publish_slow(sandbox, 120)
    for count in range(1, 200):
        tail.send_signal(signal.SIGUSR1)
        tail.stderr.wait_for("0 records", count=count, timeout=2)
        if "filtered out" in tail.stderr.text:  # the first answers may precede the first event
            break
    filtered = [int(number) for number in re.findall(r"(\d+) filtered out", tail.stderr.text)]
    assert filtered
    assert max(filtered) < 120, "the flood was over before it was asked"


@pytest.mark.defect("A.18")
def test_the_time_is_over_amid_a_filtered_flood(
    subscribed_tail: StartTail, sandbox: Sandbox
) -> None:
    tail = subscribed_tail("-v", "-w", SLOW_WHERE, "--for", "2s")
    publish_slow(sandbox, 120)
    sandbox.wait_for(lambda s: s.subscribers(CHANNEL) == 0, scaled(4))
    assert tail.process.poll() is None, "the flood was over before the time"
    assert tail.wait(timeout=30) == 0
    assert "120 filtered out" in tail.stderr.text, "what was received is looked at"


@pytest.mark.defect("A.12", "A.19")
@each_signal
def test_what_is_filtered_out_is_progress(
    signum: signal.Signals, subscribed_tail: StartTail, sandbox: Sandbox
) -> None:
    """No byte is written for longer than a reader that stalls is waited for."""
    tail = subscribed_tail("-w", f"{SLOW_WHERE} || data.id == `5`")
    publish_slow(sandbox, 120)
    publish(sandbox, [5])
    received(sandbox)
    tail.send_signal(signum)
    began = time.monotonic()
    assert tail.wait(timeout=30) == -signum
    assert time.monotonic() - began > 2.0, "the flood was too short to show anything"
    assert numbers_in(tail.stdout.text) == [5]
    assert tail.stderr.text == ""


# --- what was received is written


@pytest.mark.defect("A.12", "A2.8")
@pytest.mark.parametrize(("count", "pause"), [(300, 3), (1500, 0)], ids=["pauses", "was late"])
def test_a_reader_gets_everything_and_its_last_line_whole(
    count: int, pause: int, tail_into_pipe: StartTailInto, pipe: tuple[int, int], sandbox: Sandbox
) -> None:
    tail = tail_into_pipe()
    publish(sandbox, range(count), "x" * 4000)
    received(sandbox)
    tail.terminate()
    time.sleep(pause)
    assert numbers_in(read_whole(pipe[0])) == list(range(count))
    assert end_of(tail) == (-signal.SIGTERM, "")


@each_signal
def test_received_records_are_written_first(
    signum: signal.Signals, subscribed_tail: StartTail, sandbox: Sandbox
) -> None:
    tail = subscribed_tail()
    publish(sandbox, range(3000))
    received(sandbox)
    tail.send_signal(signum)
    assert tail.wait() == -signum
    assert numbers_in(tail.stdout.text) == list(range(3000))


# --- the second signal


def test_second_signal_ends_it_at_once(
    start_tail_into: StartTailInto, pipe: tuple[int, int], sandbox: Sandbox, env: Env
) -> None:
    tail = start_tail_into(pipe[1], *SELECT, env=env)
    subscribed(sandbox)
    publish(sandbox, range(200), "x" * 4000)
    received(sandbox)
    tail.send_signal(signal.SIGTERM)
    sandbox.wait_for(lambda s: s.subscribers(CHANNEL) == 0, scaled(5))
    time.sleep(0.2)  # two at once would be the same one
    tail.send_signal(signal.SIGINT)
    assert end_of(tail, timeout=AT_ONCE) == (-signal.SIGINT, "")


def test_a_signal_that_is_sent_twice_is_one(
    tail_into_pipe: StartTailInto, pipe: tuple[int, int], sandbox: Sandbox
) -> None:
    """As timeout(1) does: to its child, and to the group that it is in."""
    tail = tail_into_pipe()
    publish(sandbox, range(200), "x" * 4000)
    received(sandbox)
    for _ in range(5):
        tail.send_signal(signal.SIGTERM)
        time.sleep(0.005)
    assert numbers_in(read_whole(pipe[0])) == list(range(200))
    assert end_of(tail) == (-signal.SIGTERM, "")


@pytest.mark.defect("A.29e")
def test_the_handler_starts_no_thread(start_process: StartProcess) -> None:
    """It may have interrupted the start of another one, which holds a lock."""
    script = """\
import os, signal, threading
from chatapp_tail.cli.signals import KilledBySignal, interrupted_by_signals
class Task:
    turns = 0
    def interrupt(self, patience):
        print("interrupted", patience)
def refuse(thread):
    raise AssertionError("a thread was started")
try:
    with interrupted_by_signals(Task(), lambda: None):
        threading.Thread.start = refuse
        os.kill(os.getpid(), signal.SIGINT)
except KilledBySignal as death:
    print("died by", death.signum)
"""
    process = start_process([sys.executable, "-c", script])
    assert process.wait() == 0
    assert process.stdout.all == ["interrupted 1.0", "died by 2"]


def test_a_call_that_hangs_is_not_waited_for(
    subscribed_tail: StartTail, home: Path, sandbox: Sandbox
) -> None:
    """Another program that has the checkpoint stands for any call that does not come back."""
    tail = subscribed_tail("--resume=x")
    (database,) = home.rglob("x.sqlite")
    other = sqlite3.connect(database, isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    publish(sandbox, range(3))
    received(sandbox)
    tail.send_signal(signal.SIGINT)
    # It cannot even take the default action of a signal back.
    assert tail.wait(timeout=PROMPT) in (-signal.SIGINT, 128 + signal.SIGINT)
    other.close()
    is_one_line(tail.stderr.text, "not written", "hangs")


# --- as process 1, which gets no signal that it has no handler for


def _own_pid_namespace() -> str:
    """Why a process cannot be the first of a namespace here, if so."""
    if shutil.which("unshare") is None:
        return "unshare is not installed"
    done = subprocess.run(["unshare", "--pid", "--fork", "true"], capture_output=True, check=False)
    return done.stderr.decode().strip()


WHY_NOT_FIRST = _own_pid_namespace()
first_process = pytest.mark.skipif(bool(WHY_NOT_FIRST), reason=WHY_NOT_FIRST or "it can be")
StartFirst = Callable[..., tuple[LiveProcess, int]]


@pytest.fixture
def start_first(start_process: StartProcess) -> StartFirst:
    """Start the program as process 1 of a namespace; return what started it, and its id here."""

    def start(*args: str, env: Env) -> tuple[LiveProcess, int]:
        unshare = ["unshare", "--pid", "--fork", "--mount-proc", *PROGRAM, *args]
        process = start_process(unshare, env=env)
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
        wait_until(lambda: bool(children.read_text()), "process 1")
        return process, int(children.read_text())

    return start


@first_process
@pytest.mark.defect("A.1", "A2.12")
@each_signal
def test_as_process_1(
    signum: signal.Signals, start_first: StartFirst, sandbox: Sandbox, env: Env
) -> None:
    tail, pid = start_first(*SELECT, env=env)
    subscribed(sandbox)
    publish(sandbox, range(3))
    received(sandbox)
    os.kill(pid, signum)
    assert tail.wait(timeout=AT_ONCE) == 128 + signum
    assert numbers_in(tail.stdout.text) == [0, 1, 2]
    assert tail.stderr.text == ""


@first_process
@pytest.mark.defect("A.1", "A2.12")
@each_signal
def test_as_process_1_before_it_tails(
    signum: signal.Signals, start_first: StartFirst, env: Env
) -> None:
    with never_answering() as (port, accept):
        tail, pid = start_first("--all", "--api-url", f"http://127.0.0.1:{port}", env=env)
        accept()
        os.kill(pid, signum)
        assert tail.wait(timeout=AT_ONCE) == 128 + signum


@first_process
@pytest.mark.defect("A.1", "A2.12")
def test_as_process_1_the_second_signal_ends_it_at_once(
    start_first: StartFirst, sandbox: Sandbox, env: Env
) -> None:
    tail, pid = start_first(*SELECT, "-w", SLOW_WHERE, env=env)
    subscribed(sandbox)
    publish_slow(sandbox, 120)
    received(sandbox)
    os.kill(pid, signal.SIGTERM)
    sandbox.wait_for(lambda s: s.subscribers(CHANNEL) == 0, scaled(5))
    time.sleep(0.2)  # two at once would be the same one
    os.kill(pid, signal.SIGINT)
    assert tail.wait(timeout=AT_ONCE) == 128 + signal.SIGINT


@first_process
@pytest.mark.defect("A.1")
def test_another_command_as_process_1(start_first: StartFirst) -> None:
    process, pid = start_first("sandbox", "--port", "0", env={})
    process.stdout.wait_for("CHATAPP_WS_URL")
    os.kill(pid, signal.SIGTERM)
    assert process.wait() == 128 + signal.SIGTERM


# --- what its parent sees


@each_signal
def test_shell_shows_the_signal(
    signum: signal.Signals, start_shell: StartShell, sandbox: Sandbox, env: Env
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
    start_shell: StartShell, sandbox: Sandbox, env: Env
) -> None:
    """A shell goes on after a child that exits on Ctrl-C, and stops after one that dies of it."""
    script = start_shell(f"while :; do chatapp-tail {' '.join(SELECT)}; echo again; done", env=env)
    subscribed(sandbox)
    os.killpg(script.pid, signal.SIGINT)
    assert script.wait(timeout=PROMPT) == -signal.SIGINT
    assert (script.stdout.text, script.stderr.text) == ("", "")


def ignores(pid: int, signum: int) -> bool:
    """Whether proc(5) says so."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    bits = next(int(line.split()[1], 16) for line in lines if line.startswith("SigIgn:"))
    return bool(bits >> (signum - 1) & 1)


@pytest.mark.parametrize("name", ["HUP", "INT"])
def test_signal_ignored_by_the_parent_stays_ignored(
    name: str, start_shell: StartShell, sandbox: Sandbox, env: Env
) -> None:
    """`nohup` ignores SIGHUP, and a script ignores SIGINT for what it starts with `&`."""
    tail = start_shell(f"trap '' {name}; exec chatapp-tail {' '.join(SELECT)}", env=env)
    subscribed(sandbox)
    assert ignores(tail.pid, getattr(signal, f"SIG{name}"))
    tail.send_signal(getattr(signal, f"SIG{name}"))
    publish(sandbox, [1])
    assert numbers_in(tail.stdout.take() + "\n") == [1]


def test_stopped_and_continued(subscribed_tail: StartTail, sandbox: Sandbox) -> None:
    tail = subscribed_tail("-n", "10")
    tail.send_signal(signal.SIGSTOP)
    wait_until(lambda: is_stopped(tail), "the process to be stopped")
    publish(sandbox, range(10))
    tail.send_signal(signal.SIGCONT)
    assert tail.wait() == 0
    assert numbers_in(tail.stdout.text) == list(range(10))
    assert tail.stderr.text == ""


def is_stopped(tail: LiveProcess) -> bool:
    return "State:\tT" in Path(f"/proc/{tail.pid}/status").read_text()


def test_ctrl_c_on_a_terminal(start_terminal: StartTerminal, sandbox: Sandbox, env: Env) -> None:
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
    start_process: StartProcess, sandbox: Sandbox, env: Env
) -> None:
    tail = start_process([sys.executable, "-O", *PROGRAM[1:], *SELECT], env=env)
    subscribed(sandbox)
    tail.send_signal(signal.SIGTERM)
    assert tail.wait(timeout=PROMPT) == -signal.SIGTERM
    assert tail.stderr.text == ""
