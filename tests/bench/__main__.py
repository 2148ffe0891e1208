"""`python -m tests.bench`: chatapp-tail beside other Pusher clients on the same work, in one run.

The peers take turns within each round, so a machine that is busy for a while is so for all of them.
"""

import argparse
import tempfile
from datetime import date
from pathlib import Path

from .chart import THEMES, chart
from .machine import machine
from .measure import Sizes, help_times, memory_together
from .peers import OURS, Peer, all_peers
from .plan import all_measures, progress, take
from .report import Report, read
from .run import Bench, local_bench
from .table import Results, add, medians


def main() -> None:
    options = _options()
    report = read(options.read.read_text()) if options.read else _measured(options)
    if options.json:
        options.json.write_text(report.json())
    if options.svg:
        for theme in THEMES:
            file = options.svg.with_stem(f"{options.svg.stem}-{theme}")
            file.write_text(chart(medians(report.results), report.peers, theme), encoding="utf-8")
    print(report.markdown() if options.markdown else report.text())


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures there")
    parser.add_argument(
        "--svg",
        type=Path,
        metavar="FILE",
        help="draw FILE with -dark and with -light before its .svg",
    )
    parser.add_argument("--markdown", action="store_true", help="the table as in the README")
    parser.add_argument(
        "--read", type=Path, metavar="FILE", help="measure nothing, show what --json wrote"
    )
    parser.add_argument("--rounds", type=int, default=3, help="rounds of what is repeated")
    parser.add_argument("--scale", type=float, default=1.0, help="0.05 for a quick look")
    parser.add_argument(
        "--only",
        action="append",
        choices=("throughput", "latency", "start", "growth", "stall", "backlog", "others"),
        help="only these measures; others: memory, idle and --help",
    )
    names = [peer.name for peer in all_peers()]
    parser.add_argument("--peer", action="append", choices=names, help="only these peers")
    return parser.parse_args()


def _measured(options: argparse.Namespace) -> Report:
    sizes = Sizes().scaled(options.scale)
    peers = [peer for peer in all_peers() if options.peer is None or peer.name in options.peer]
    present = [peer for peer in peers if not peer.missing]
    results: Results = {}
    with tempfile.TemporaryDirectory() as directory:
        bench = local_bench(Path(directory))
        for measure in all_measures(bench, sizes):
            if options.only is None or measure.name.split()[0] in options.only:
                take(measure, present, options.rounds, results)
        if options.only is None or "others" in options.only:
            _take_others(bench, sizes, present, options.rounds, results)
    for peer in peers:
        if peer.missing:
            for row in results.values():
                row[peer.name] = [peer.missing]
    names = [peer.name for peer in peers]
    slow = [peer.name for peer in peers if peer.slow]
    return Report(machine(date.today()), names, slow, sizes, options.rounds, results)


def _take_others(
    bench: Bench, sizes: Sizes, peers: list[Peer], rounds: int, results: Results
) -> None:
    for channels in (1, sizes.channels):
        progress(f"idle, channels: {channels}")
        for name, figures in memory_together(bench, sizes, peers, channels).items():
            add(results, name, figures)
    for figures in help_times(bench, rounds):
        add(results, OURS, figures)


if __name__ == "__main__":
    main()
