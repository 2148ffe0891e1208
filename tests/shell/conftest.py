"""What the tests of the command share: a sandbox to talk to, shells, terminals, odd outputs."""

import fcntl
import json
import os
import re
import select
import shutil
import signal
import struct
import subprocess
import sys
import termios
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Protocol

import pytest

from chatapp_tail.sandbox import ClientFrame, Sandbox, messenger_channel
from tests.conftest import (
    PROGRAM,
    TIMEOUT_SCALE,
    LiveProcess,
    RunTail,
    StartProcess,
    StartTail,
    clean_environment,
)

Env = Mapping[str, str]
"""Variables of a process."""

SELECT = ("--license", "1229", "--messenger", "telegram")
CHANNEL = messenger_channel(1229, "telegram")

PROMPT = 2.5
"""Seconds, before scaling, in which a tail that was told to end has ended.

It takes at most 1.5 of them where a thread is stuck in a system call; the rest is for a busy
machine. What goes wrong here takes 5 seconds and more.
"""

AT_ONCE = 1.5
"""Seconds, before scaling, where nothing at all has to be waited for."""

_TAKE_TERMINAL = """\
import fcntl, os, sys, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
os.execv(sys.argv[1], sys.argv[1:])
"""


def scaled(seconds: float) -> float:
    return seconds * TIMEOUT_SCALE


def needs(program: str) -> pytest.MarkDecorator:
    """Skip a test where a program that only root can install is missing."""
    missing = shutil.which(program) is None
    return pytest.mark.skipif(missing, reason=f"{program} is not installed")


# --- events


def message(number: int, text: str = "hello", *, name: str = "Anna") -> str:
    """The data of a `message` event with one item."""
    item = {
        "id": number,
        "fromMe": False,
        "side": "in",
        "type": "text",
        "message": {"text": text, "caption": "", "file": None},
        "fromUser": {"id": 7, "name": name},
        "chat": {"id": "private-7", "type": "private", "name": name},
    }
    meta = {"type": "message", "licenseId": 1229, "messengerType": "telegram"}
    envelope = {
        "queue": "Telegram.Broadcast.Message",
        "payload": {"data": [item], "meta": meta},
    }
    return json.dumps(envelope, ensure_ascii=False, separators=(",", ":"))


def publish(sandbox: Sandbox, numbers: Iterable[int], text: str = "hello") -> None:
    for number in numbers:
        assert sandbox.publish(CHANNEL, "message", message(number, text)) == 1


SLOW_WHERE = "length(data.x[?y=='1'] || `[]`) > `0`"
"""A filter that takes milliseconds over each event of `publish_slow`; none of them passes."""


def publish_slow(sandbox: Sandbox, count: int) -> None:
    """Publish events that `SLOW_WHERE` takes long to filter out."""
    item = json.dumps({"id": 0, "x": [{"y": "0"}] * 10_000})
    for _ in range(count):
        assert sandbox.publish(CHANNEL, "message", f'{{"payload":{{"data":[{item}]}}}}') == 1


def numbers_in(output: str) -> list[int]:
    """The ids of the messages in complete JSON lines; anything else fails."""
    assert output == "" or output.endswith("\n"), f"the last line is not complete: {output[-80:]!r}"
    return [json.loads(line)["data"]["id"] for line in output.split("\n")[:-1]]


def subscribed(sandbox: Sandbox) -> None:
    sandbox.wait_subscribed(CHANNEL, scaled(10))


def received(sandbox: Sandbox) -> None:
    """Wait until the tail has taken everything published so far from its socket.

    A server may ping; the pong is sent by whoever has read up to the ping.
    """
    before = _pongs(sandbox)
    assert sandbox.send_frame('{"event":"pusher:ping","data":{}}') == 1
    sandbox.wait_for(lambda _: _pongs(sandbox) > before, scaled(15))


def _pongs(sandbox: Sandbox) -> int:
    return sum("pusher:pong" in str(frame.content) for frame in sandbox.journal.of(ClientFrame))


def is_one_line(stderr: str, *words: str) -> None:
    """Check that stderr is one line of ours, with these words in it."""
    assert stderr.startswith("chatapp-tail: "), stderr
    assert stderr.count("\n") == 1, stderr
    assert stderr.endswith("\n"), stderr
    for word in words:
        assert word in stderr


# --- the peer and how to reach it


@pytest.fixture
def greeter() -> Iterator[Sandbox]:
    """A sandbox that publishes one event as soon as somebody subscribes."""
    with Sandbox(rate=0.01) as running:
        yield running


def reaching(sandbox: Sandbox) -> dict[str, str]:
    """The environment in which a tail reaches this sandbox."""
    env = {
        "CHATAPP_WS_URL": sandbox.ws_url,
        "CHATAPP_API_URL": sandbox.api_url,
        "CHATAPP_TOKEN": sandbox.token,
    }
    return env | ({"CHATAPP_TAIL_CA_FILE": str(sandbox.ca_file)} if sandbox.ca_file else {})


def without_token(sandbox: Sandbox) -> dict[str, str]:
    """The environment in which a tail reaches this sandbox, but for the token."""
    env = reaching(sandbox)
    del env["CHATAPP_TOKEN"]
    return env


def who(sandbox: Sandbox) -> tuple[str, ...]:
    return ("--email", sandbox.email, "--app-id", sandbox.app_id)


@pytest.fixture
def env(sandbox: Sandbox) -> dict[str, str]:
    return reaching(sandbox)


# --- ways to start it


class StartShell(Protocol):
    """Type of the fixture `start_shell`."""

    def __call__(self, script: str, *, env: Env, shell: str = "bash") -> LiveProcess: ...


@pytest.fixture
def program_path(tmp_path: Path) -> str:
    """A PATH on which `chatapp-tail` is this program; it keeps the process id of its caller."""
    directory = tmp_path / "bin"
    directory.mkdir()
    program = directory / "chatapp-tail"
    program.write_text(f'#!/bin/sh\nexec {" ".join(PROGRAM)} "$@"\n')
    program.chmod(0o755)
    return f"{directory}:{os.environ['PATH']}"


@pytest.fixture
def start_shell(start_process: StartProcess, program_path: str) -> StartShell:
    """Start a script of a shell; in it, `chatapp-tail` is this program."""

    def start(script: str, *, env: Env, shell: str = "bash") -> LiveProcess:
        return start_process([shell, "-c", script], env={**env, "PATH": program_path})

    return start


StartTailInto = Callable[..., "subprocess.Popen[bytes]"]


@pytest.fixture
def start_tail_into(home: Path) -> Iterator[StartTailInto]:
    """Start the program with a descriptor of our own as stdout: `start_tail_into(fd, …, env=…)`.

    The descriptor stays open here. stderr is a pipe, unless it is given; read it after the end.
    """
    started: list[subprocess.Popen[bytes]] = []

    def start(
        stdout: int, *args: str, env: Env, stderr: int = subprocess.PIPE
    ) -> "subprocess.Popen[bytes]":
        process = subprocess.Popen(
            [*PROGRAM, *args],
            stdin=subprocess.DEVNULL,
            stdout=stdout,
            stderr=stderr,
            env={**clean_environment(home), **env},
            cwd=home,
            start_new_session=True,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.wait()
        if process.stderr is not None:
            process.stderr.close()


@pytest.fixture
def run(run_tail: RunTail, env: Env) -> RunTail:
    """`run_tail` in the environment of the sandbox; `env` is added to it."""
    own = env

    def run(
        *args: str,
        env: Env | None = None,
        input: str | None = None,  # noqa: A002 - as `run_tail` has it
        timeout: float = 30.0,
    ) -> "subprocess.CompletedProcess[str]":
        return run_tail(*args, env={**own, **(env or {})}, input=input, timeout=timeout)

    return run


@pytest.fixture
def start(start_tail: StartTail, env: Env) -> StartTail:
    """`start_tail` in the environment of the sandbox; `env` is added to it."""
    own = env

    def start(*args: str, env: Env | None = None, stdin: bool = False) -> LiveProcess:
        return start_tail(*args, env={**own, **(env or {})}, stdin=stdin)

    return start


@pytest.fixture
def subscribed_tail(start: StartTail, sandbox: Sandbox) -> StartTail:
    """Start a tail of a line of the sandbox; returns once it is subscribed."""

    def start_and_wait(*args: str, env: Env | None = None, stdin: bool = False) -> LiveProcess:
        tail = start(*SELECT, *args, env=env, stdin=stdin)
        subscribed(sandbox)
        return tail

    return start_and_wait


@pytest.fixture
def tail_into_pipe(
    start_tail_into: StartTailInto, pipe: tuple[int, int], sandbox: Sandbox, env: Env
) -> StartTailInto:
    """The same into `pipe`, of which only the end to read from stays open here."""

    def start(*args: str) -> "subprocess.Popen[bytes]":
        tail = start_tail_into(pipe[1], *SELECT, *args, env=env)
        os.close(pipe[1])
        subscribed(sandbox)
        return tail

    return start


def end_of(process: "subprocess.Popen[bytes]", *, timeout: float = PROMPT) -> tuple[int, str]:
    """Wait for the end of a process; return its status and what it said."""
    status = process.wait(scaled(timeout))
    assert process.stderr is not None
    return status, process.stderr.read().decode()


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    """The read end and the write end of a pipe; what a test closes itself is left alone."""
    read_end, write_end = os.pipe()
    yield read_end, write_end
    for descriptor in (read_end, write_end):
        with suppress(OSError):
            os.close(descriptor)


def read_whole(descriptor: int) -> str:
    """Read to the end of a pipe."""
    with open(descriptor, "rb", closefd=False) as stream:
        return stream.read().decode()


# --- terminals


class Terminal:
    """A process with a controlling terminal, and the person who looks at it and types."""

    def __init__(
        self,
        argv: Sequence[str],
        *,
        env: Env,
        cwd: Path,
        stdout: int | None = None,
        columns: int = 100,
    ) -> None:
        self._master, slave = os.openpty()
        self.resize(columns)
        self.process = subprocess.Popen(
            [sys.executable, "-c", _TAKE_TERMINAL, *argv],
            stdin=slave,
            stdout=slave if stdout is None else stdout,
            stderr=slave,
            env={**env},
            cwd=cwd,
            start_new_session=True,
        )
        os.close(slave)
        self._shown = b""
        self._changed = threading.Condition()
        self._leaving = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)
        self._thread.start()

    def _look(self) -> None:
        while not self._leaving.is_set():
            if not select.select([self._master], [], [], 0.02)[0]:
                continue
            try:
                data = os.read(self._master, 65536)
            except OSError:  # EIO: nobody has the terminal open any more
                return
            with self._changed:
                self._shown += data
                self._changed.notify_all()

    @property
    def shown(self) -> bytes:
        """Every byte that reached the terminal so far."""
        with self._changed:
            return self._shown

    def wait_for(self, pattern: bytes, *, timeout: float = 15.0) -> None:
        with self._changed:
            found = self._changed.wait_for(lambda: re.search(pattern, self._shown), scaled(timeout))
            assert found, f"{pattern!r} was not shown within {timeout} s:\n{self._shown!r}"

    def type(self, keys: bytes) -> None:
        os.write(self._master, keys)

    def resize(self, columns: int) -> None:
        fcntl.ioctl(self._master, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))

    def wait(self, *, timeout: float = PROMPT) -> int:
        """Wait for the end of the process and for everything it showed."""
        status = self.process.wait(scaled(timeout))
        self._thread.join(scaled(5))
        return status

    def hang_up(self) -> None:
        """Close the terminal, as a lost ssh connection does."""
        self._leaving.set()
        self._thread.join()
        os.close(self._master)
        self._master = -1

    def close(self) -> None:
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        if self._master >= 0:
            self.hang_up()


class StartTerminal(Protocol):
    """Type of the fixture `start_terminal`."""

    def __call__(
        self, *args: str, env: Env, stdout: int | None = None, columns: int = 100
    ) -> Terminal: ...


@pytest.fixture
def start_terminal(home: Path) -> Iterator[StartTerminal]:
    """Start the program on a terminal: stdin, stderr and, unless given, stdout."""
    started: list[Terminal] = []

    def start(*args: str, env: Env, stdout: int | None = None, columns: int = 100) -> Terminal:
        whole = {**clean_environment(home), "TERM": "xterm-256color", **env}
        terminal = Terminal([*PROGRAM, *args], env=whole, cwd=home, stdout=stdout, columns=columns)
        started.append(terminal)
        return terminal

    yield start
    for terminal in started:
        terminal.close()
        print(f"the terminal showed: {terminal.shown!r}")
