"""One run: a load server, a peer, and the pipe between the peer and us."""

import json
import os
import queue
import resource
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import trustme

from .peers import Command, Place
from .server import CHANNEL, Load

Figures = dict[str, float | str]
"""Name -> value, or the reason why there is none."""

PATIENCE = 60.0
_READ = 1024 * 1024


class Failed(Exception):
    """A run that measured nothing; its text says why."""


@dataclass(frozen=True, slots=True)
class Bench:
    """What all runs share: a directory for homes, and a certificate of loopback."""

    directory: Path
    ca_file: Path
    certificate: Path


def local_bench(directory: Path) -> Bench:
    """Return a bench in `directory`, with an authority of its own."""
    authority = trustme.CA()
    bench = Bench(directory, directory / "ca.pem", directory / "server.pem")
    authority.cert_pem.write_to_path(bench.ca_file)
    issued = authority.issue_cert("localhost", "127.0.0.1")
    issued.private_key_and_cert_chain_pem.write_to_path(bench.certificate)
    return bench


class LoadServer:
    """The server's process and what it says."""

    def __init__(self, load: Load) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.bench.server", json.dumps(asdict(load))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._said: queue.SimpleQueue[dict[str, float]] = queue.SimpleQueue()
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()
        ports = self._next(PATIENCE)
        self.port, self.auth_port = int(ports["port"]), int(ports["auth_port"])

    def _listen(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._said.put(json.loads(line))

    def _next(self, seconds: float) -> dict[str, float]:
        return self._said.get(timeout=max(0.0, seconds))

    def moment(self, name: str, seconds: float = PATIENCE) -> float | None:
        """Return when `name` happened, or None when it did not within so many seconds."""
        ends = time.monotonic() + seconds
        try:
            while name not in (said := self._next(ends - time.monotonic())):
                pass
        except queue.Empty:
            return None
        return said[name]

    def go_on(self) -> None:
        """End the pause of a load that has one."""
        assert self._process.stdin is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()

    def close(self) -> None:
        self._process.kill()
        self._listener.join()
        self._process.communicate()


@dataclass(frozen=True, slots=True)
class Usage:
    """CPU seconds and peak resident KiB of all processes of a peer."""

    cpu: float
    peak: int


class PeerProcess:
    """A peer's processes; `output` is the read end of the pipe of the last."""

    def __init__(self, command: Command, env: dict[str, str], log: Path) -> None:
        self.begin = time.monotonic()
        self._log = log
        self._children: list[subprocess.Popen[bytes]] = []
        with log.open("wb") as stderr:
            for words in command.stages:
                before = self._children[-1].stdout if self._children else subprocess.PIPE
                child = subprocess.Popen(
                    words, stdin=before, stdout=subprocess.PIPE, stderr=stderr, env=env
                )
                if self._children and self._children[-1].stdout:
                    self._children[-1].stdout.close()
                self._children.append(child)
        first, last = self._children[0], self._children[-1]
        assert first.stdin is not None
        assert last.stdout is not None
        first.stdin.write(command.typed)
        first.stdin.flush()
        self.output = last.stdout.fileno()

    def status(self, name: str) -> int:
        """Return a sum over /proc/PID/status, in KiB; of a process that ended nothing."""
        return sum(_status(child.pid, name) for child in self._children)

    def cpu(self) -> float:
        """Return the CPU seconds used so far."""
        return sum(_cpu(child.pid) for child in self._children)

    def idle_cpu(self) -> float:
        """Return the CPU seconds of the threads alive, far finer than `cpu`."""
        tasks = [task for child in self._children for task in _tasks(child.pid)]
        return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks) / 1e9

    def last_words(self) -> str:
        """Return the line of stderr that says most: the last with an error, else the last."""
        lines = [line.strip() for line in self._log.read_text(errors="replace").splitlines()]
        said = [line for line in lines if line]
        return next((line for line in reversed(said) if "rror:" in line), (said or [""])[-1])[:200]

    def end(self) -> Usage:
        """Kill what still runs and return what all of it used."""
        peak = self.status("VmHWM")
        cpu = 0.0
        for child in self._children:
            os.kill(child.pid, signal.SIGKILL)  # Popen would reap it, and its usage with it
            _, code, usage = os.wait4(child.pid, 0)
            child.returncode = code
            cpu += usage.ru_utime + usage.ru_stime
            for stream in (child.stdin, child.stdout):
                if stream and not stream.closed:
                    stream.close()
        return Usage(cpu, peak)


def _tasks(pid: int) -> Iterator[Path]:
    return Path(f"/proc/{pid}/task").iterdir()


def _status(pid: int, name: str) -> int:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1])
    return 0


def _cpu(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@dataclass(slots=True)
class Run:
    """A peer that has subscribed."""

    server: LoadServer
    process: PeerProcess
    ready: float
    usage: Usage | None = None

    @property
    def start(self) -> float:
        """Seconds from the process's start to its last subscription at the server."""
        return self.ready - self.process.begin


def place_of(bench: Bench, server: LoadServer, load: Load) -> Place:
    others = tuple(f"private-v1.licenses.{1300 + n}.messengers.x" for n in range(1, load.channels))
    return Place(
        f"{'wss' if load.certificate else 'ws'}://localhost:{server.port}",
        f"http://127.0.0.1:{server.auth_port}",
        bench.ca_file,
        (CHANNEL, *others),
    )


@contextmanager
def running(
    bench: Bench, load: Load, command: Callable[[Place], Command], env: dict[str, str]
) -> Iterator[Run]:
    """Start server and peer and wait until it is subscribed; end both, `usage` is set then."""
    server = LoadServer(load)
    try:
        process = PeerProcess(
            command(place_of(bench, server, load)), env, bench.directory / f"{server.port}.log"
        )
        run = None
        try:
            ready = server.moment("ready")
            if ready is None:
                raise Failed(f"not ready within {PATIENCE:g} s: {process.last_words()}")
            run = Run(server, process, ready)
            yield run
        finally:
            usage = process.end()
            if run:
                run.usage = usage
    finally:
        server.close()


def read_lines(
    output: int,
    wanted: int,
    until: float,
    take: Callable[[bytes, int], None] | None = None,
    mark: bytes = b"\n",
) -> int:
    """Read the pipe until it has shown so many lines, or until then; return how many it did.

    `take` gets each piece read and when, in nanoseconds of the monotonic clock. `mark` is the byte
    that each has once, for output whose entries have several lines.
    """
    seen = 0
    while seen < wanted and (left := until - time.monotonic()) > 0:
        if not select.select([output], [], [], left)[0]:
            break
        data = os.read(output, _READ)
        if take:
            take(data, time.monotonic_ns())
        if not data:
            break
        seen += data.count(mark)
    return seen


def cpu_of(words: list[str], env: dict[str, str]) -> tuple[float, float]:
    """Return wall and CPU seconds of a program that ends by itself."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    begin = time.monotonic()
    subprocess.run(words, env=env, stdout=subprocess.DEVNULL, check=True)
    wall = time.monotonic() - begin
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return wall, cpu
