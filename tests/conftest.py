"""Fixtures of every test: the program as a real process, ports, and deadlines that scale.

Import the types from here (`from tests.conftest import LiveProcess, RunTail, StartTail`).
"""

import os
import re
import shlex
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, Protocol

import pytest

from chatapp_tail.sandbox import Sandbox

TIMEOUT_SCALE = float(os.environ.get("CHATAPP_TAIL_TEST_TIMEOUT_SCALE", "1.0"))
"""Every deadline of a test is multiplied by this: a slow machine raises it."""

TEST_TIMEOUT = 60.0
"""Seconds a test without its own `timeout` mark may take, before scaling."""

PROGRAM = (sys.executable, "-m", "chatapp_tail")

# No proxy of the developer stands before what tests listen on.
for _name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"):
    os.environ.pop(_name, None)
    os.environ.pop(_name.lower(), None)

# A suite in the background of a script is told to ignore SIGINT; what it starts would inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give every test a safety timeout, so that a hang is a failure and not a stuck run."""
    for item in items:
        mark = item.get_closest_marker("timeout")
        if mark is None:
            item.add_marker(pytest.mark.timeout(TEST_TIMEOUT * TIMEOUT_SCALE))
        elif mark.args:
            scaled = pytest.mark.timeout(mark.args[0] * TIMEOUT_SCALE, **mark.kwargs)
            item.add_marker(scaled, append=False)


def clean_environment(home: Path) -> dict[str, str]:
    """The environment of a subprocess: nothing of the developer's own but PATH.

    Above all no CHATAPP_ variable, no proxy, and no PYTHONUNBUFFERED: with it a program that
    forgets to flush its output would pass.
    """
    return {
        "PATH": os.environ.get("PATH", os.defpath),
        "HOME": str(home),
        "LANG": "C.UTF-8",
        "TZ": "UTC",
    }


class Lines:
    """The lines of one output stream, collected by a thread and awaited by the test.

    Bytes that are not UTF-8 survive as surrogates, and no newline is translated, so equal text
    means equal bytes.
    """

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream
        self._lines: list[str] = []
        self._taken = 0
        self._ended = False
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        for line in self._stream:
            with self._changed:
                self._lines.append(line.decode("utf-8", "surrogateescape"))
                self._changed.notify_all()
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    @property
    def text(self) -> str:
        """Everything read so far."""
        with self._changed:
            return "".join(self._lines)

    @property
    def all(self) -> list[str]:
        """The lines read so far, each without its newline."""
        with self._changed:
            return [line.removesuffix("\n") for line in self._lines]

    def wait_for(self, pattern: str, *, count: int = 1, timeout: float = 10.0) -> str:
        """Wait until `count` lines match the regular expression; return the last of them."""

        def found() -> list[str]:
            return [line for line in self._lines if re.search(pattern, line)]

        with self._changed:
            self._wait(lambda: len(found()) >= count, f"{count} lines with {pattern!r}", timeout)
            return found()[count - 1].removesuffix("\n")

    def take(self, *, timeout: float = 10.0) -> str:
        """Wait for the next line that was not taken yet."""
        with self._changed:
            self._wait(lambda: len(self._lines) > self._taken, "one more line", timeout)
            self._taken += 1
            return self._lines[self._taken - 1].removesuffix("\n")

    def wait_end(self, *, timeout: float = 10.0) -> None:
        """Wait until every writer has closed the stream."""
        with self._changed:
            done = self._changed.wait_for(lambda: self._ended, timeout * TIMEOUT_SCALE)
            assert done, f"still open after {timeout} s:\n{''.join(self._lines)}"

    def _wait(self, happened: Callable[[], bool], what: str, timeout: float) -> None:
        self._changed.wait_for(lambda: happened() or self._ended, timeout * TIMEOUT_SCALE)
        if not happened():
            why = "the stream ended" if self._ended else f"{timeout} s passed"
            raise AssertionError(f"waited for {what}, but {why}:\n{''.join(self._lines)}")

    def close(self) -> None:
        """Join the thread and close the pipe; only after the writers are dead."""
        self._thread.join(10.0)
        if not self._thread.is_alive():
            self._stream.close()


class LiveProcess:
    """A running process, the leader of its own process group; use as a context manager.

    Leaving the block kills and reaps it, and what it started, whatever happened inside.
    """

    def __init__(
        self, argv: Sequence[str], *, env: Mapping[str, str], cwd: Path, stdin: bool = False
    ) -> None:
        self.argv = list(argv)
        self.process = subprocess.Popen(
            self.argv,
            stdin=subprocess.PIPE if stdin else subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=dict(env),
            cwd=cwd,
            start_new_session=True,
        )
        assert self.process.stdout is not None
        assert self.process.stderr is not None
        self.stdout = Lines(self.process.stdout)
        self.stderr = Lines(self.process.stderr)

    @property
    def pid(self) -> int:
        """Process id, also the id of its process group."""
        return self.process.pid

    def wait(self, *, timeout: float = 10.0) -> int:
        """Wait for the end of the process and of its output; the exit status, negative a signal.

        The output is complete afterwards, because both streams were read to their ends.
        """
        try:
            status = self.process.wait(timeout * TIMEOUT_SCALE)
        except subprocess.TimeoutExpired:
            raise AssertionError(
                f"still running after {timeout} s\nstdout:\n{self.stdout.text}\n"
                f"stderr:\n{self.stderr.text}"
            ) from None
        self.stdout.wait_end()
        self.stderr.wait_end()
        return status

    def send_signal(self, number: int) -> None:
        """Send a signal to the process only, not to its group."""
        self.process.send_signal(number)

    def __enter__(self) -> "LiveProcess":
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(ProcessLookupError):  # the whole group has ended by itself
            os.killpg(self.pid, signal.SIGKILL)
        self.process.wait()
        if self.process.stdin is not None:
            with suppress(BrokenPipeError):  # input that a dead process did not read
                self.process.stdin.close()
        self.stdout.close()
        self.stderr.close()


class RunTail(Protocol):
    """Type of the fixture `run_tail`."""

    def __call__(
        self,
        *args: str,
        env: Mapping[str, str] | None = None,
        input: str | None = None,  # noqa: A002 - the name subprocess.run gives it
        timeout: float = 30.0,
    ) -> subprocess.CompletedProcess[str]: ...


class StartTail(Protocol):
    """Type of the fixture `start_tail`."""

    def __call__(
        self, *args: str, env: Mapping[str, str] | None = None, stdin: bool = False
    ) -> LiveProcess: ...


class StartProcess(Protocol):
    """Type of the fixture `start_process`."""

    def __call__(
        self, argv: Sequence[str], *, env: Mapping[str, str] | None = None, stdin: bool = False
    ) -> LiveProcess: ...


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """An empty HOME for the processes of this test."""
    path = tmp_path / "home"
    path.mkdir()
    return path


@pytest.fixture
def run_tail(home: Path) -> RunTail:
    """Run the program to its end: `run_tail("--version").stdout`.

    `env` is added to a clean environment. Output is text without newline translation.
    """

    def run(
        *args: str,
        env: Mapping[str, str] | None = None,
        input: str | None = None,  # noqa: A002 - the name subprocess.run gives it
        timeout: float = 30.0,
    ) -> subprocess.CompletedProcess[str]:
        argv = [*PROGRAM, *args]
        done = subprocess.run(
            argv,
            input=(input or "").encode("utf-8", "surrogateescape"),
            capture_output=True,
            env={**clean_environment(home), **(env or {})},
            cwd=home,
            timeout=timeout * TIMEOUT_SCALE,
            check=False,
        )
        out, err = (s.decode("utf-8", "surrogateescape") for s in (done.stdout, done.stderr))
        return subprocess.CompletedProcess(argv, done.returncode, out, err)

    return run


@pytest.fixture
def start_process(home: Path) -> Iterator[StartProcess]:
    """Start any program in a clean environment; all of them are killed and reaped at the end."""
    started: list[LiveProcess] = []

    def start(
        argv: Sequence[str], *, env: Mapping[str, str] | None = None, stdin: bool = False
    ) -> LiveProcess:
        whole = {**clean_environment(home), **(env or {})}
        started.append(LiveProcess(argv, env=whole, cwd=home, stdin=stdin))
        return started[-1]

    yield start
    for process in started:
        process.__exit__()
        # pytest shows this only when the test has failed.
        print(f"$ {shlex.join(process.argv)}  # {process.process.returncode}")
        print(f"{process.stdout.text}--- stderr\n{process.stderr.text}")


@pytest.fixture
def start_tail(start_process: StartProcess) -> StartTail:
    """Start the program and go on: `tail = start_tail(…); tail.stderr.wait_for("ready")`."""

    def start(*args: str, env: Mapping[str, str] | None = None, stdin: bool = False) -> LiveProcess:
        return start_process([*PROGRAM, *args], env=env, stdin=stdin)

    return start


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    """ChatApp's service as the package embeds it, with an account of its own."""
    with Sandbox() as running:
        yield running


@pytest.fixture
def free_port() -> int:
    """A TCP port of 127.0.0.1 that was free a moment ago; prefer to listen on port 0."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@pytest.fixture
def closed_port() -> Iterator[int]:
    """A TCP port of 127.0.0.1 that refuses connections, and that nobody else can get."""
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))  # bound, but never listening
        port: int = holder.getsockname()[1]
        yield port


def wait_until(happened: Callable[[], bool], what: str, *, timeout: float = 10.0) -> None:
    """Ask until it is so; only for what offers no event to wait for, as a foreign server."""
    deadline = time.monotonic() + timeout * TIMEOUT_SCALE
    while not happened():
        assert time.monotonic() < deadline, f"waited {timeout} s for {what}"
        time.sleep(0.01)
