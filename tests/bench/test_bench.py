from pathlib import Path

import pytest

from .measure import Sizes, latency, throughput
from .peers import Peer
from .run import local_bench
from .table import Results, add, medians, ratio, render


def test_a_median_stands_beside_its_ratio() -> None:
    results: Results = {}
    for ours, theirs in ((1.0, 5.0), (2.0, 4.0), (9.0, 3.0)):
        add(results, "chatapp-tail", {"x": ours})
        add(results, "other", {"x": theirs})
    lines = render(results, ["chatapp-tail", "other"]).splitlines()
    assert lines[1].split() == ["x", "2", "4", "(2×)"]


def test_a_reason_becomes_a_dash_and_a_note() -> None:
    results: Results = {}
    add(results, "chatapp-tail", {"x": 2.0})
    add(results, "other", {"x": "it cannot"})
    lines = render(results, ["chatapp-tail", "other", "nobody"]).splitlines()
    assert lines[1].split() == ["x", "2", "–", "[1]", "–"]
    assert lines[2] == "[1] it cannot"


def test_figures_win_over_reasons() -> None:
    results: Results = {}
    add(results, "other", {"x": "it failed once"})
    add(results, "other", {"x": 3.0})
    assert medians(results) == {"x": {"other": 3.0}}


@pytest.mark.parametrize(("value", "ours"), [(0.0, 1.0), (1.0, 0.0), ("no", 1.0), (1.0, None)])
def test_no_ratio_of_nothing(value: float | str, ours: float | None) -> None:
    assert ratio(value, ours) is None


def test_every_event_comes_through_and_is_timed(tmp_path: Path) -> None:
    bench = local_bench(tmp_path)
    sizes = Sizes(throughput=1000, latency=20)
    peer = Peer("chatapp-tail")
    fast = throughput(bench, sizes, True, peer)
    assert set(fast) == {"wss: events/s", "wss: CPU µs/event"}
    slow = latency(bench, sizes, peer)
    assert set(slow) == {"latency p50, ms", "latency p99, ms"}
