"""All that one run of the bench found, kept as JSON and told as a table, as Markdown, as charts."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from .machine import sentence
from .measure import Sizes
from .plan import LIMIT
from .table import Results, markdown, medians, number, render


@dataclass(frozen=True, slots=True)
class Report:
    """Figures, and what a reader needs to judge them; `slow` peers got a tenth of the events."""

    machine: dict[str, str]
    peers: Sequence[str]
    slow: Sequence[str]
    sizes: Sizes
    rounds: int
    results: Results

    def json(self) -> str:
        return json.dumps({**asdict(self), "medians": medians(self.results)}, indent=2) + "\n"

    def text(self) -> str:
        table = render(self.results, [*self.peers, LIMIT])
        return "\n".join([table, "", *self._remarks(), sentence(self.machine) + "."])

    def markdown(self) -> str:
        table = markdown(self.results, self.peers)
        return "\n\n".join([sentence(self.machine) + ".", table, "\n".join(self._remarks())])

    def _remarks(self) -> list[str]:
        sizes = self.sizes
        remarks = [
            f"Events are of about 940 bytes: {sizes.throughput:,} for throughput, {sizes.latency:,}"
            f" for latency (100 a second), {sizes.growth:,} for growth, {sizes.stall:,} while the"
            f" reader stalls.{self._tenth()}",
            "Each program writes one JSON line an event at once into a pipe of 64 KiB, which"
            " chatapp-tail makes four times as large when it is full; they take turns in each of"
            f" {self.rounds} rounds (growth, stall, memory and idle: one).",
            f"replay reads a file of {sizes.backlog / 1e6:,.0f} MB and keeps half of its records;"
            """ beside it stands jq alone: `jq -c 'select(.data.type=="text")' FILE`.""",
        ]
        return [*remarks, *self._limits()]

    def _tenth(self) -> str:
        return f" {' and '.join(self.slow)}, being slow, get a tenth of them." if self.slow else ""

    def _limits(self) -> list[str]:
        """Say what the server can do, where that was measured."""
        known = medians(self.results)
        said = [
            f"{number(value)} events/s over {scheme}"
            for scheme in ("ws", "wss")
            if isinstance(value := known.get(f"{scheme}: events/s", {}).get(LIMIT), float)
        ]
        return [f"The load server alone sends {' and '.join(said)}."] if said else []


def read(text: str) -> Report:
    """Return what `Report.json` wrote."""
    document = json.loads(text)
    document.pop("medians")
    return Report(**{**document, "sizes": Sizes(**document["sizes"])})
