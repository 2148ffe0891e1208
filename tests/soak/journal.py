"""The tail as a real process, what it wrote as a journal, and what it costs the machine."""

import json
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Self

from tests.conftest import PROGRAM, TIMEOUT_SCALE, clean_environment

ROOT = Path(__file__).parents[2]
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Timings:
    """The program's own options, in seconds."""

    ping_interval: float
    pong_timeout: float
    connect_timeout: float

    @property
    def notice(self) -> float:
        """Within this time a dead line must be noticed."""
        return self.ping_interval + self.pong_timeout

    @property
    def arguments(self) -> list[str]:
        """What the command line takes."""
        return [
            *("--ping-interval", f"{self.ping_interval:g}s"),
            *("--pong-timeout", f"{self.pong_timeout:g}s"),
            *("--connect-timeout", f"{self.connect_timeout:g}s"),
        ]


SHORT = Timings(1.0, 1.0, 2.0)
DEFAULTS = Timings(15.0, 10.0, 10.0)


@dataclass(frozen=True, slots=True)
class Receipt:
    """One event record; `intact` says whether its data is what was published."""

    channel: str
    number: int
    received: int
    intact: bool


@dataclass(frozen=True, slots=True)
class StatusChange:
    """One status record; `at` in wall-clock nanoseconds."""

    state: str
    at: int
    members: dict[str, Any]


@dataclass(frozen=True, slots=True)
class ReportedGap:
    """One gap record, in wall-clock nanoseconds."""

    channel: str
    since: int
    until: int
    reason: str


@dataclass(frozen=True, slots=True)
class Footprint:
    """What a process holds; sizes in KiB, `cpu` in seconds since its start."""

    rss: int
    peak: int
    threads: int
    descriptors: int
    cpu: float


def footprint(pid: int) -> Footprint:
    """Read it from /proc."""
    proc = Path("/proc") / str(pid)
    pairs = (line.partition(":") for line in (proc / "status").read_text().splitlines())
    fields = {name: value.split()[0] for name, _, value in pairs if value.strip()}
    # The second member, the name, may hold spaces; the times are the 14th and 15th.
    stat = (proc / "stat").read_text().rpartition(")")[2].split()
    return Footprint(
        rss=int(fields["VmRSS"]),
        peak=int(fields["VmHWM"]),
        threads=int(fields["Threads"]),
        descriptors=len(list((proc / "fd").iterdir())),
        cpu=(int(stat[11]) + int(stat[12])) / os.sysconf("SC_CLK_TCK"),
    )


def nanoseconds(moment: str) -> int:
    """A record's moment as nanoseconds since the epoch, exactly."""
    return (datetime.fromisoformat(moment) - _EPOCH) // timedelta(microseconds=1) * 1000


class TailProcess:
    """The program with `--json --meta`, its stdout read at once; a context manager."""

    def __init__(self, arguments: Sequence[str], *, env: dict[str, str], home: Path) -> None:
        self.receipts: list[Receipt] = []
        self.statuses: list[StatusChange] = []
        self.gaps: list[ReportedGap] = []
        self.unreadable: list[str] = []
        self.stderr: list[str] = []
        self.changed = threading.Condition()
        self._process = subprocess.Popen(
            [*PROGRAM, "--json", "--meta", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**clean_environment(home), "PYTHONPATH": str(ROOT), **env},
            cwd=home,
            start_new_session=True,
        )
        self._readers = [
            threading.Thread(target=self._read_stdout),
            threading.Thread(target=self._read_stderr),
        ]
        for reader in self._readers:
            reader.start()

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def state(self) -> str:
        """What the tail said last about the link: ready, or something less."""
        with self.changed:
            said = (s.state for s in reversed(self.statuses))
            return next((s for s in said if s in ("ready", "lost", "connecting", "stopped")), "")

    def _read_stdout(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            with self.changed:
                self._take(line)
                self.changed.notify_all()

    def _read_stderr(self) -> None:
        assert self._process.stderr is not None
        for line in self._process.stderr:
            with self.changed:
                self.stderr.append(line.decode("utf-8", "replace"))

    def _take(self, line: bytes) -> None:
        try:
            record = json.loads(line)
            match record["type"]:
                case "event":
                    self.receipts.append(_receipt(record))
                case "gap":
                    since, until = nanoseconds(record["from"]), nanoseconds(record["to"])
                    gap = ReportedGap(record["channel"], since, until, record["reason"])
                    self.gaps.append(gap)
                case "status":
                    change = StatusChange(record["state"], nanoseconds(record["at"]), record)
                    self.statuses.append(change)
                case _:
                    self.unreadable.append(repr(line[:200]))
        except (ValueError, LookupError, TypeError):
            self.unreadable.append(repr(line[:200]))

    def wait_for(self, happened: Callable[[], bool], seconds: float) -> bool:
        """Wait for what is read to make it so, `seconds` at most, or for the process to end."""
        deadline = time.monotonic() + seconds
        with self.changed:
            while not happened():
                left = deadline - time.monotonic()
                if left <= 0 or self._process.poll() is not None:
                    return happened()
                self.changed.wait(min(left, 0.5))
        return True

    def wait_ready(self, seconds: float) -> bool:
        """Wait until the last word is *ready*."""
        return self.wait_for(lambda: self.state == "ready", seconds)

    @property
    def running(self) -> bool:
        return self._process.poll() is None

    def freeze(self) -> None:
        """Stop it as Ctrl-Z does, or a laptop that sleeps."""
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self._process.send_signal(signal.SIGCONT)

    def footprint(self) -> Footprint:
        return footprint(self.pid)

    def terminate(self) -> int:
        """Send SIGTERM and return the exit status, negative a signal; all output is read then."""
        self._process.terminate()
        try:
            status = self._process.wait(10.0 * TIMEOUT_SCALE)
        finally:
            self.close()
        return status

    def close(self) -> None:
        """Kill and reap it, and read its output to the end. May be repeated."""
        with suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        self._process.wait()
        for reader in self._readers:
            reader.join()
        for stream in (self._process.stdout, self._process.stderr):
            assert stream is not None
            stream.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _receipt(record: dict[str, Any]) -> Receipt:
    data = record["data"]
    intact = len(data["pad"]) == data["size"] and data["channel"] == record["channel"]
    return Receipt(record["channel"], data["number"], nanoseconds(record["received"]), intact)
