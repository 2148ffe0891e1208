"""What is measured: each function is one run of one peer and returns its figures by name."""

import re
import sys
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from statistics import quantiles

from .peers import Command, Peer, Place, environment
from .run import Bench, Failed, Run, cpu_of, read_lines, running
from .server import CHANNEL, Load, event_frame

Figures = dict[str, float | str]
"""Name -> value, or the reason why there is none."""

_SENT = re.compile(rb"sent:(\d{19})")
_LONG = 120.0
_GROWTH_AT_MOST = 15.0
_STALL_AT_MOST = 10.0
_WARM_UP = 0.1


@dataclass(frozen=True, slots=True)
class Sizes:
    """How much of everything; `scaled` shrinks it for a look."""

    throughput: int = 200_000
    latency: int = 500
    growth: int = 1_000_000
    stall: int = 300_000
    idle: float = 30.0
    settled: float = 10.0
    channels: int = 500

    def scaled(self, factor: float) -> "Sizes":
        return Sizes(
            int(self.throughput * factor),
            max(50, int(self.latency * factor)),
            int(self.growth * factor),
            int(self.stall * factor),
            self.idle * factor,
            self.settled * factor,
            max(2, int(self.channels * factor)),
        )


@dataclass(frozen=True, slots=True)
class Measure:
    """One kind of run; `repeated` ones are run in every round, the others once."""

    name: str
    run: Callable[[Peer], Figures]
    repeated: bool = True


def all_measures(bench: Bench, sizes: Sizes) -> list[Measure]:
    """Return the measures in the order of the table; `idle` is apart, see `idle_together`."""
    many = sizes.channels
    starts = [(1, 0.0, True), (1, 0.02, True), (many, 0.0, True), (many, 0.02, False)]
    return [
        Measure("throughput ws", partial(throughput, bench, sizes, False)),
        Measure("throughput wss", partial(throughput, bench, sizes, True)),
        Measure("latency", partial(latency, bench, sizes), repeated=False),
        *(
            Measure(
                f"start {channels} {delay * 1000:.0f}",
                partial(start, bench, channels, delay),
                repeated=repeated,
            )
            for channels, delay, repeated in starts
        ),
        Measure("growth", partial(growth, bench, sizes), repeated=False),
        Measure("stall", partial(stall, bench, sizes), repeated=False),
    ]


def throughput(bench: Bench, sizes: Sizes, tls: bool, peer: Peer) -> Figures:
    """Time all events, and take the CPU of the whole process without its start."""
    events = sizes.throughput // (10 if peer.slow else 1)
    scheme = "wss" if tls else "ws"
    with _running(bench, peer, _load(bench, events, tls)) as run:
        started = run.server.moment("started")
        assert started is not None
        start_cpu = run.process.cpu()
        _read_all(run, events)
        seconds = time.monotonic() - started
    assert run.usage is not None
    return {
        f"{scheme}: events/s": events / seconds,
        f"{scheme}: CPU µs/event": (run.usage.cpu - start_cpu) / events * 1e6,
    }


def limit(bench: Bench, sizes: Sizes, tls: bool) -> Figures:
    """Return what the server can send to somebody who only takes it."""
    size = len(event_frame(CHANNEL)) * sizes.throughput

    def drain(place: Place) -> Command:
        return Command(([sys.executable, "-m", "tests.bench.peers.drain", place.url, str(size)],))

    env = environment(bench.directory, bench.ca_file)
    with running(bench, _load(bench, sizes.throughput, tls), drain, env) as run:
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

    with _running(bench, peer, Load(events=sizes.latency, rate=100.0)) as run:
        _read_all(run, sizes.latency, take)
    cuts = quantiles(found, n=100)
    return {"latency p50, ms": cuts[49], "latency p99, ms": cuts[98]}


def start(bench: Bench, channels: int, delay: float, peer: Peer) -> Figures:
    name = f"ready, {channels} channel{'s' * (channels > 1)}, auth {delay * 1000:.0f} ms: s"
    if not peer.authorises:
        return {name: "it cannot ask for signatures"}
    with _running(bench, peer, Load(channels=channels, auth_delay=delay)) as run:
        return {name: run.start}


def growth(bench: Bench, sizes: Sizes, peer: Peer) -> Figures:
    """Compare resident memory after a tenth of the events (a slow peer's) with that at the end."""
    warm = int(sizes.growth * _WARM_UP) // (10 if peer.slow else 1)
    with _running(bench, peer, Load(events=sizes.growth)) as run:
        until = time.monotonic() + _GROWTH_AT_MOST
        seen = read_lines(run.process.output, warm, until)
        if seen < warm:
            return {"growth: MiB": f"{seen} events in {_GROWTH_AT_MOST:g} s are too few"}
        before = run.process.status("VmRSS")
        seen += read_lines(run.process.output, sizes.growth - seen, until)
        grown = (run.process.status("VmRSS") - before) / 1024
    return {"growth: MiB": grown, "growth: events seen": seen}


def stall(bench: Bench, sizes: Sizes, peer: Peer) -> Figures:
    """Read nothing until the server has sent all, or for so long; then read all there is."""
    events = sizes.stall // (10 if peer.slow else 1)
    with _running(bench, peer, Load(events=events)) as run:
        begin = time.monotonic()
        sent = run.server.moment("sent", _STALL_AT_MOST)
        held_up: float | str = "the server was held up" if sent is None else sent - begin
        seen = read_lines(run.process.output, events, time.monotonic() + _LONG)
    assert run.usage is not None
    return {
        "stall: all taken off the server, s": held_up,
        "stall: peak RSS, MiB": run.usage.peak / 1024,
        "stall: events lost": events - seen,
    }


def idle_together(bench: Bench, sizes: Sizes, peers: list[Peer]) -> dict[str, Figures]:
    """Measure all peers at once, as they do nothing: memory, then CPU from there on."""
    runs = {peer.name: _running(bench, peer, Load()) for peer in peers}
    entered = {name: run.__enter__() for name, run in runs.items()}
    try:
        time.sleep(sizes.settled)
        memory = {name: run.process.status("VmRSS") / 1024 for name, run in entered.items()}
        before = {name: run.process.idle_cpu() for name, run in entered.items()}
        time.sleep(sizes.idle)
        after = {name: run.process.idle_cpu() for name, run in entered.items()}
    finally:
        for run in runs.values():
            run.__exit__(None, None, None)
    seconds = f"{sizes.idle:g}"
    return {
        name: {
            "RSS, 1 channel: MiB": memory[name],
            f"idle: CPU s in {seconds} s": after[name] - before[name],
        }
        for name in entered
    }


def help_times(bench: Bench, rounds: int) -> list[Figures]:
    """Return `--help` beside a Python that does nothing."""
    env = environment(bench.directory, bench.ca_file)
    words = {
        "--help": [sys.executable, "-m", "chatapp_tail", "--help"],
        "python -c pass": [sys.executable, "-c", "pass"],
    }
    return [
        {f"{name}: ms": cpu_of(command, env)[0] * 1000 for name, command in words.items()}
        for _ in range(rounds)
    ]


def _load(bench: Bench, events: int, tls: bool) -> Load:
    return Load(events=events, certificate=str(bench.certificate) if tls else None)


def _running(bench: Bench, peer: Peer, load: Load) -> AbstractContextManager[Run]:
    env = environment(bench.directory, bench.ca_file)
    return running(bench, load, peer.command, env)


def _read_all(run: Run, events: int, take: Callable[[bytes, int], None] | None = None) -> None:
    seen = read_lines(run.process.output, events, time.monotonic() + _LONG, take)
    if seen < events:
        raise Failed(f"{seen} of {events} lines came: {run.process.last_words()}")
