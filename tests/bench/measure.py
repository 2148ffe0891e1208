"""What is measured: each function is one run of one peer and returns its figures by name."""

import re
import shutil
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import quantiles

from .peers import OURS, Command, Peer, Place, chatapp_tail, environment
from .run import Bench, Failed, Figures, Run, cpu_of, read_lines, running
from .server import CHANNEL, Load, event_frame

_SENT = re.compile(rb"sent:(\d{19})")
_LONG = 240.0
_WARM_UP = 0.1
_STALL_AT_MOST = 90.0
_STANDS_STILL = 2.0
_ON_DISK = 1200
"""Bytes an event may need on disk, generously."""

HELD_UP = "it blocks, pings and all, and a real server gives up on it"
OURS_ONLY = "measured of chatapp-tail only"


@dataclass(frozen=True, slots=True)
class Sizes:
    """How much of everything; `scaled` shrinks it for a look, but never what must come to rest."""

    throughput: int = 200_000
    latency: int = 2000
    growth: int = 2_000_000
    stall: int = 1_000_000
    idle: float = 60.0
    settled: float = 10.0
    some_channels: int = 100
    channels: int = 500
    backlog: int = 1_000_000_000

    def scaled(self, factor: float) -> "Sizes":
        return Sizes(
            int(self.throughput * factor),
            max(50, int(self.latency * factor)),
            int(self.growth * factor),
            int(self.stall * factor),
            self.idle * factor,
            self.settled,
            max(2, int(self.some_channels * factor)),
            max(3, int(self.channels * factor)),
            int(self.backlog * factor),
        )


def throughput(bench: Bench, sizes: Sizes, tls: bool, peer: Peer) -> Figures:
    """Time all events, and take the CPU of the whole process without its start."""
    load = _load(bench, peer.share(sizes.throughput), tls)
    speed, cpu = _speed(bench, load, peer.command)
    scheme = "wss" if tls else "ws"
    return {f"{scheme}: events/s": speed, f"{scheme}: CPU µs/event": cpu}


@dataclass(frozen=True, slots=True)
class Shown:
    """Another way to show events: `every` how manieth, and the byte that each has once."""

    name: str
    options: tuple[str, ...]
    every: int = 1
    mark: bytes = b"\n"


WAYS = (
    Shown("--event", ("--json", "--event", "message"), every=2),
    Shown("--where", ("--json", "--where", "data.type=='text'"), every=2),
    # An arrow is all that is not ASCII in the several lines of a message.
    Shown("pretty", ("-o", "pretty", "--color", "always"), mark="←".encode()[:1]),
)


def shown(bench: Bench, sizes: Sizes, way: Shown, peer: Peer) -> Figures:
    """Time all events through a filter that drops every second one, or in another format."""
    names = (f"ws, {way.name}: events/s", f"ws, {way.name}: CPU µs/event")
    if peer.name != OURS:
        return dict.fromkeys(names, OURS_ONLY)
    load = Load(events=sizes.throughput, mixed=way.every > 1)
    command = partial(chatapp_tail, options=way.options)
    return dict(zip(names, _speed(bench, load, command, way.every, way.mark), strict=True))


def _speed(
    bench: Bench,
    load: Load,
    command: Callable[[Place], Command],
    every: int = 1,
    mark: bytes = b"\n",
) -> tuple[float, float]:
    """Return events a second, and microseconds of CPU an event."""
    with _running(bench, command, load) as run:
        started = run.server.moment("started")
        assert started is not None
        start_cpu = run.process.cpu()
        _read_all(run, load.events // every, mark=mark)
        seconds = time.monotonic() - started
    assert run.usage is not None
    return load.events / seconds, (run.usage.cpu - start_cpu) / load.events * 1e6


def limit(bench: Bench, sizes: Sizes, tls: bool) -> Figures:
    """Return what the server can send to somebody who only takes it."""
    size = len(event_frame(CHANNEL)) * sizes.throughput

    def drain(place: Place) -> Command:
        return Command(([sys.executable, "-m", "tests.bench.peers.drain", place.url, str(size)],))

    with _running(bench, drain, _load(bench, sizes.throughput, tls)) as run:
        started = run.server.moment("started")
        assert started is not None
        _read_all(run, 1)
        seconds = time.monotonic() - started
    return {f"{'wss' if tls else 'ws'}: events/s": sizes.throughput / seconds}


def latency(bench: Bench, sizes: Sizes, peer: Peer) -> Figures:
    """Time each event from the server's send to its line in the pipe."""
    found: list[float] = []
    rest = b""

    def take(data: bytes, now: int) -> None:
        nonlocal rest
        whole, _, rest = (rest + data).rpartition(b"\n")
        found.extend((now - int(sent)) / 1e6 for sent in _SENT.findall(whole))

    with _running(bench, peer.command, Load(events=sizes.latency, rate=100.0)) as run:
        _read_all(run, sizes.latency, take)
    cuts = quantiles(found, n=100, method="inclusive")
    return {
        "latency, p50: ms": cuts[49],
        "latency, p99: ms": cuts[98],
        "latency, worst: ms": max(found),
    }


def start(bench: Bench, channels: int, delay: float, peer: Peer) -> Figures:
    name = f"ready, {_channels(channels)}, auth {delay * 1000:.0f} ms: s"
    if not peer.authorises:
        return {name: "it cannot ask for signatures"}
    load = Load(channels=channels, auth_delay=delay)
    with _running(bench, peer.command, load) as run:
        return {name: run.start}


def growth(bench: Bench, sizes: Sizes, peer: Peer) -> Figures:
    """Compare resident memory when a tenth of the events is through with that at the end.

    The server pauses at both moments, so that nothing is under way that would count.
    """
    events = peer.share(sizes.growth)
    warm = int(events * _WARM_UP)
    with _running(bench, peer.command, Load(events=events, pause_after=warm)) as run:
        _read_all(run, warm)
        before = _settled_memory(run)
        run.server.go_on()
        _read_all(run, events - warm)
        return {"RSS growth: MiB": _settled_memory(run) - before}


def _settled_memory(run: Run) -> float:
    time.sleep(0.5)
    return run.process.status("VmRSS") / 1024


def stall(bench: Bench, sizes: Sizes, peer: Peer) -> Figures:
    """Read nothing until the server has sent all, or the peer stands still; then read all."""
    events = peer.share(sizes.stall)
    if shutil.disk_usage(bench.directory).free < events * _ON_DISK:
        raise Failed(f"no room for {events} events in {bench.directory}")
    with _running(bench, peer.command, Load(events=events)) as run:
        begin = time.monotonic()
        sent = _moment_sent(run)
        seen = read_lines(run.process.output, events, time.monotonic() + _LONG)
        peak = run.process.status("VmHWM") / 1024
    return {
        "stall, all taken off the server: s": HELD_UP if sent is None else sent - begin,
        "stall, peak RSS: MiB": peak or f"it died: {run.process.last_words()}",
        "stall, events lost": events - seen,
    }


def _moment_sent(run: Run) -> float | None:
    """Return when the server had sent all, or None when the peer does nothing but block it."""
    ends = time.monotonic() + _STALL_AT_MOST
    cpu = run.process.cpu()
    while time.monotonic() < ends:
        if (sent := run.server.moment("sent", _STANDS_STILL)) is not None:
            return sent
        before, cpu = cpu, run.process.cpu()
        if before == cpu:
            break
    return None


def memory_together(
    bench: Bench, sizes: Sizes, peers: Sequence[Peer], channels: int
) -> dict[str, Figures]:
    """Measure all peers at once, as they do nothing: memory, and CPU from there on."""
    figures: dict[str, Figures] = {}
    names = (f"RSS, {_channels(channels)}: MiB", f"idle, {_channels(channels)}: CPU ms/min")
    with ExitStack() as stack:
        runs: dict[str, Run] = {}
        for peer in peers:
            try:
                run = stack.enter_context(_running(bench, peer.command, Load(channels=channels)))
            except Failed as failure:
                figures[peer.name] = dict.fromkeys(names, str(failure))
            else:
                runs[peer.name] = run
        time.sleep(sizes.settled)
        memory = {name: run.process.status("VmRSS") / 1024 for name, run in runs.items()}
        before = {name: run.process.idle_cpu() for name, run in runs.items()}
        time.sleep(sizes.idle)
        for name, run in runs.items():
            spent = (run.process.idle_cpu() - before[name]) / sizes.idle * 60_000
            figures[name] = dict(zip(names, (memory[name], spent), strict=True))
    return figures


def help_times(bench: Bench, rounds: int) -> list[Figures]:
    """Return `--help`, `--version` and a TAB in bash beside a Python that does nothing."""
    env = environment(bench.directory, bench.ca_file)
    # A completion is the work of the shell: reading the script, once a session, and offering.
    script = Path(__file__).parents[2] / "completions/chatapp-tail.bash"
    tab = '. "$0"; COMP_WORDS=(chatapp-tail --l) COMP_CWORD=1; _chatapp_tail; ((${#COMPREPLY[@]}))'
    words = {
        "--help": [sys.executable, "-m", "chatapp_tail", "--help"],
        "--version": [sys.executable, "-m", "chatapp_tail", "--version"],
        "completion": ["bash", "-c", tab, str(script)],
        "python -c pass": [sys.executable, "-c", "pass"],
    }
    return [
        {f"{name}: ms": cpu_of(command, env)[0] * 1000 for name, command in words.items()}
        for _ in range(rounds)
    ]


def _channels(count: int) -> str:
    return f"{count} channel{'s' * (count > 1)}"


def _load(bench: Bench, events: int, tls: bool) -> Load:
    return Load(events=events, certificate=str(bench.certificate) if tls else None)


def _running(
    bench: Bench, command: Callable[[Place], Command], load: Load
) -> AbstractContextManager[Run]:
    return running(bench, load, command, environment(bench.directory, bench.ca_file))


def _read_all(
    run: Run, events: int, take: Callable[[bytes, int], None] | None = None, mark: bytes = b"\n"
) -> None:
    seen = read_lines(run.process.output, events, time.monotonic() + _LONG, take, mark)
    if seen < events:
        raise Failed(f"{seen} of {events} lines came: {run.process.last_words()}")
