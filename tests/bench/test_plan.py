from pathlib import Path

from .measure import Sizes
from .peers import OURS, Peer
from .plan import LIMIT, Measure, all_measures, take
from .run import Failed, Figures, local_bench
from .table import Results, medians

PEERS = [Peer(OURS), Peer("weak")]


def test_all_are_planned(tmp_path: Path) -> None:
    names = [measure.name for measure in all_measures(local_bench(tmp_path), Sizes())]
    assert len(set(names)) == len(names)
    assert {"throughput wss", "throughput pretty", "start 500 20", "backlog"} <= set(names)


def test_peers_take_turns_and_one_that_fails_says_why() -> None:
    turns: list[str] = []

    def run(peer: Peer) -> Figures:
        turns.append(peer.name)
        if peer.name == "weak":
            raise Failed("it fell over")
        return {"x": float(len(turns))}

    results: Results = {}
    take(Measure("x", run, limit=lambda: {"x": 9.0}), PEERS, 3, results)
    assert turns == [OURS, "weak"] * 3
    assert medians(results) == {"x": {LIMIT: 9.0, OURS: 3.0, "weak": "it fell over"}}


def test_what_is_not_repeated_is_run_once() -> None:
    results: Results = {}
    take(Measure("x", lambda _: {"x": 1.0}, repeated=False), PEERS[:1], 3, results)
    assert results == {"x": {OURS: [1.0]}}


def test_a_measure_that_fails_for_all_is_not_left_out() -> None:
    def run(_: Peer) -> Figures:
        raise Failed("no room")

    results: Results = {}
    take(Measure("growth", run, repeated=False), PEERS[:1], 1, results)
    assert results == {"growth": {OURS: ["no room"]}}
