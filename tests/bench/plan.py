"""All that is measured, in the order of the table, and the turns in which it is."""

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from .backlog import backlog
from .measure import WAYS, Sizes, growth, latency, limit, shown, stall, start, throughput
from .peers import Peer
from .run import Bench, Failed, Figures
from .table import Results, add

LIMIT = "server's limit"
"""The column of what the load server can do by itself."""


@dataclass(frozen=True, slots=True)
class Measure:
    """One kind of run; `repeated` ones are run in every round, the others once."""

    name: str
    run: Callable[[Peer], Figures]
    repeated: bool = True
    limit: Callable[[], Figures] | None = None
    """What the server alone can do of it."""


def all_measures(bench: Bench, sizes: Sizes) -> list[Measure]:
    """Return them all but what is measured of all peers at once, or of us alone."""
    return [
        *(_throughput(bench, sizes, tls) for tls in (False, True)),
        *(Measure(f"throughput {way.name}", partial(shown, bench, sizes, way)) for way in WAYS),
        Measure("latency", partial(latency, bench, sizes)),
        *_starts(bench, sizes),
        Measure("growth", partial(growth, bench, sizes), repeated=False),
        Measure("stall", partial(stall, bench, sizes), repeated=False),
        Measure("backlog", partial(backlog, bench, sizes.backlog)),
    ]


def _throughput(bench: Bench, sizes: Sizes, tls: bool) -> Measure:
    return Measure(
        f"throughput {'wss' if tls else 'ws'}",
        partial(throughput, bench, sizes, tls),
        limit=partial(limit, bench, sizes, tls),
    )


def _starts(bench: Bench, sizes: Sizes) -> list[Measure]:
    return [
        Measure(f"start {channels} {delay * 1000:.0f}", partial(start, bench, channels, delay))
        for channels in (1, sizes.some_channels, sizes.channels)
        for delay in (0.0, 0.02)
    ]


def take(measure: Measure, peers: Sequence[Peer], rounds: int, results: Results) -> None:
    """Run all rounds, the peers in turn; who fails gets the reason in place of figures."""
    for number in range(1, rounds + 1 if measure.repeated else 2):
        progress(f"{measure.name}, round {number}")
        if measure.limit:
            add(results, LIMIT, measure.limit())
        names: dict[str, None] = {}
        failures: dict[str, str] = {}
        for peer in peers:
            try:
                figures = measure.run(peer)
            except Failed as failure:
                failures[peer.name] = str(failure)
                progress(f"{peer.name}: {failure}")
            else:
                names |= dict.fromkeys(figures)
                add(results, peer.name, figures)
        for name, reason in failures.items():
            add(results, name, dict.fromkeys(names or [measure.name], reason))


def progress(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
