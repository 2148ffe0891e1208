"""All that is measured, in the order of the table."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from .backlog import backlog
from .measure import WAYS, Sizes, growth, latency, shown, stall, start, throughput
from .peers import Peer
from .run import Bench, Figures


@dataclass(frozen=True, slots=True)
class Measure:
    """One kind of run; `repeated` ones are run in every round, the others once."""

    name: str
    run: Callable[[Peer], Figures]
    repeated: bool = True


def all_measures(bench: Bench, sizes: Sizes) -> list[Measure]:
    """Return them all but what is measured of all peers at once, or of us alone."""
    return [
        Measure("throughput ws", partial(throughput, bench, sizes, False)),
        Measure("throughput wss", partial(throughput, bench, sizes, True)),
        *(Measure(f"throughput {way.name}", partial(shown, bench, sizes, way)) for way in WAYS),
        Measure("latency", partial(latency, bench, sizes)),
        *_starts(bench, sizes),
        Measure("growth", partial(growth, bench, sizes), repeated=False),
        Measure("stall", partial(stall, bench, sizes), repeated=False),
        Measure("backlog", partial(backlog, bench, sizes.backlog)),
    ]


def _starts(bench: Bench, sizes: Sizes) -> list[Measure]:
    return [
        Measure(f"start {channels} {delay * 1000:.0f}", partial(start, bench, channels, delay))
        for channels in (1, sizes.some_channels, sizes.channels)
        for delay in (0.0, 0.02)
    ]
