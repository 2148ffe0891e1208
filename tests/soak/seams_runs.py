"""Runs of the tail with one `--resume` name: some as process 1, some with a stderr nobody reads."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Self

from chatapp_tail.sandbox import Sandbox
from tests.conftest import PROGRAM, TIMEOUT_SCALE, clean_environment

from .journal import ROOT, SHORT
from .numbered import Line
from .stepped_clock import Offset

_SIP = 4096
_ENDS_WITHIN = 30.0
_TERMINATED = (-signal.SIGTERM, 128 + signal.SIGTERM)


@dataclass(frozen=True, slots=True)
class Seen:
    """One line of stdout, when it was read (seconds since the epoch), None for no JSON."""

    at: float
    record: dict[str, Any] | None
    text: bytes


@dataclass(slots=True)
class Run:
    """One process; `killed` by SIGKILL, `slow` while its stdout is read in sips."""

    process: subprocess.Popen[bytes]
    as_process_1: bool
    seen: list[Seen] = field(default_factory=list)
    slow: bool = False
    killed: bool = False
    ended_after: float = 0.0
    reader: threading.Thread | None = None

    @property
    def status(self) -> int | None:
        return self.process.poll()

    def signal(self, signum: int) -> None:
        """Send a signal to the tail itself, also where it has a namespace of its own."""
        pid = self.process.pid
        if self.as_process_1:
            children = Path(f"/proc/{pid}/task/{pid}/children")
            with suppress(OSError, IndexError):
                pid = int(children.read_text().split()[0])
        with suppress(ProcessLookupError):
            os.kill(pid, signum)


class Runs:
    """Starts runs one after the other and reads what they write; a context manager."""

    def __init__(self, sandbox: Sandbox, clock: Offset, lines: Sequence[Line], home: Path) -> None:
        self.all: list[Run] = []
        self.changed = threading.Condition()
        self._sandbox = sandbox
        self._clock = clock
        self._lines = lines
        self._home = home
        self.stderr = ""
        """What all runs said, but for those whose stderr nobody reads; after the block."""
        self._stderr = (home / "stderr").open("ab", buffering=0)

    def start(self, *, undrained: bool = False, as_process_1: bool = False) -> Run:
        """Start the next run; with `undrained` stderr is a pipe that nobody reads."""
        channels = [word for channel in self.channels for word in ("--channel", channel)]
        urls = ["--ws-url", self._sandbox.ws_url, "--api-url", self._sandbox.api_url]
        namespace = ["unshare", "--pid", "--fork", "--mount-proc", "--kill-child"]
        process = subprocess.Popen(
            [
                *(namespace if as_process_1 else []),
                *(sys.executable, "-m", "tests.soak.stepped_clock", str(self._clock.path)),
                *("--json", "--meta", "-v", "--resume=soak", *channels, *urls, *SHORT.arguments),
            ],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE if undrained else self._stderr,
            env=environment(self._home),
            cwd=ROOT,
            start_new_session=True,
        )
        run = Run(process, as_process_1)
        run.reader = threading.Thread(target=self._read, args=(run,))
        run.reader.start()
        self.all.append(run)
        return run

    @property
    def channels(self) -> list[str]:
        return [line.channel for line in self._lines]

    @property
    def current(self) -> Run:
        return self.all[-1]

    def end(self, *, kill: bool) -> None:
        """End the current run by SIGKILL or SIGTERM, and read what it wrote to the end."""
        run = self.current
        began = time.monotonic()
        run.killed = kill
        run.signal(signal.SIGKILL if kill else signal.SIGTERM)
        try:
            run.process.wait(_ENDS_WITHIN * TIMEOUT_SCALE)
        except subprocess.TimeoutExpired:
            run.process.kill()
            run.process.wait()
        run.ended_after = time.monotonic() - began
        self._finish(run)

    def ensure_running(self) -> None:
        """Start a run if the current one is over."""
        if self.current.status is not None:
            self.start()

    def end_all(self) -> None:
        self.end(kill=False)

    def numbers(self, event: str) -> set[int]:
        """Return the numbers of this kind that were written."""
        with self.changed:
            return {
                seen.record["data"]["id"]
                for run in self.all
                for seen in run.seen
                if seen.record and seen.record.get("event") == event
            }

    def wait_for(self, happened: Callable[[], bool], seconds: float) -> bool:
        """Ask twice a second, `seconds` at most, as long as the current run lives."""
        deadline = time.monotonic() + seconds
        while not happened():
            if time.monotonic() > deadline or self.current.status is not None:
                return happened()
            with self.changed:
                self.changed.wait(0.5)
        return True

    @property
    def ended_wrongly(self) -> list[str]:
        """What ended by itself, by another signal, or not in time."""
        return [
            f"status {run.status} after {run.ended_after:.1f} s"
            for run in self.all
            if not run.killed
            and (run.status not in _TERMINATED or run.ended_after >= _ENDS_WITHIN * TIMEOUT_SCALE)
        ]

    def _read(self, run: Run) -> None:
        assert run.process.stdout is not None
        rest = b""
        pause = threading.Event()
        while block := os.read(run.process.stdout.fileno(), _SIP if run.slow else 1 << 18):
            *lines, rest = (rest + block).split(b"\n")
            self._take(run, lines)
            if run.slow:
                pause.wait(0.2)
        if rest:
            self._take(run, [rest])

    def _take(self, run: Run, lines: Sequence[bytes]) -> None:
        now = time.time()
        with self.changed:
            run.seen += [Seen(now, _parsed(line), line) for line in lines if line]
            self.changed.notify_all()

    def _finish(self, run: Run) -> None:
        assert run.reader is not None
        run.reader.join()
        for stream in (run.process.stdout, run.process.stderr):
            if stream is not None:
                stream.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for run in self.all:
            if run.status is None:
                run.process.kill()
                run.process.wait()
                self._finish(run)
        self._stderr.close()
        self.stderr = (self._home / "stderr").read_text("utf-8", "replace")


def log_in(sandbox: Sandbox, home: Path) -> None:
    """Store a login, as a user does."""
    secret = home / "password"
    secret.touch(mode=0o600)
    secret.write_text(sandbox.password)
    subprocess.run(
        [
            *(*PROGRAM, "login", "--api-url", sandbox.api_url, "--email", sandbox.email),
            *("--app-id", sandbox.app_id, "--password-file", str(secret)),
        ],
        env=environment(home),
        check=True,
        capture_output=True,
    )


def environment(home: Path) -> dict[str, str]:
    return {
        **clean_environment(home),
        "PYTHONPATH": str(ROOT),
        "XDG_STATE_HOME": str(home / "state"),
    }


@cache
def can_be_process_1() -> bool:
    """Whether this user may make a process namespace."""
    argv = ["unshare", "--pid", "--fork", "--mount-proc", "--kill-child", "true"]
    try:
        return subprocess.run(argv, capture_output=True).returncode == 0
    except FileNotFoundError:
        return False


def _parsed(line: bytes) -> dict[str, Any] | None:
    try:
        record = json.loads(line)
    except ValueError:
        return None
    return record if isinstance(record, dict) else None
