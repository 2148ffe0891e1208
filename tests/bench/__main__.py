"""`python -m tests.bench`: chatapp-tail beside other Pusher clients on the same work, in one run.

The peers take turns within each round, so a machine that is busy for a while is so for all of them.
"""

import argparse
import json
import platform
import sys
import tempfile
from pathlib import Path

from .measure import Measure, Sizes, all_measures, help_times, idle_together, limit
from .peers import Peer, all_peers
from .run import Bench, Failed, local_bench
from .table import OURS, Results, add, medians, render

_LIMIT = "server's limit"


def main() -> None:
    options = _options()
    sizes = Sizes().scaled(options.scale)
    peers = [peer for peer in all_peers() if options.peer is None or peer.name in options.peer]
    results: Results = {}
    with tempfile.TemporaryDirectory() as directory:
        bench = local_bench(Path(directory))
        measures = [
            measure
            for measure in all_measures(bench, sizes)
            if options.only is None or measure.name.startswith(tuple(options.only))
        ]
        for measure in measures:
            _take(measure, bench, sizes, peers, options.rounds, results)
        if options.only is None or "others" in options.only:
            _take_others(bench, sizes, peers, options.rounds, results)
    for peer in peers:
        if peer.missing:
            for row in results.values():
                row[peer.name] = [peer.missing]
    print(render(results, [*(peer.name for peer in peers), _LIMIT]))
    if slow := [peer.name for peer in peers if peer.slow]:
        print(f"A tenth of the events of throughput and stall: {', '.join(slow)}.")
    if options.json:
        options.json.write_text(json.dumps(_document(results, options), indent=2) + "\n")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures there")
    parser.add_argument("--rounds", type=int, default=3, help="rounds of what is repeated")
    parser.add_argument("--scale", type=float, default=1.0, help="0.05 for a quick look")
    parser.add_argument(
        "--only", action="append", metavar="NAME", help="only these measures; others: idle, --help"
    )
    parser.add_argument("--peer", action="append", metavar="NAME", help="only these peers")
    return parser.parse_args()


def _take(
    measure: Measure, bench: Bench, sizes: Sizes, peers: list[Peer], rounds: int, results: Results
) -> None:
    for number in range(rounds if measure.repeated else 1):
        _progress(f"{measure.name}, round {number + 1}")
        if measure.name.startswith("throughput"):
            add(results, _LIMIT, limit(bench, sizes, measure.name.endswith("wss")))
        failures: dict[str, str] = {}
        names: set[str] = set()
        for peer in peers:
            if peer.missing:
                continue
            try:
                figures = measure.run(peer)
            except Failed as failure:
                failures[peer.name] = str(failure)
                continue
            names |= figures.keys()
            add(results, peer.name, figures)
        for name, reason in failures.items():
            add(results, name, dict.fromkeys(names, reason))


def _take_others(
    bench: Bench, sizes: Sizes, peers: list[Peer], rounds: int, results: Results
) -> None:
    _progress("idle")
    present = [peer for peer in peers if not peer.missing]
    for name, figures in idle_together(bench, sizes, present).items():
        add(results, name, figures)
    for figures in help_times(bench, rounds):
        add(results, OURS, figures)


def _progress(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _document(results: Results, options: argparse.Namespace) -> dict[str, object]:
    return {
        "python": platform.python_version(),
        "machine": platform.machine(),
        "scale": options.scale,
        "rounds": options.rounds,
        "medians": medians(results),
        "values": results,
    }


if __name__ == "__main__":
    main()
