"""Every measure once, small: each event comes through, and each figure has its name."""

from pathlib import Path

import pytest

from .backlog import backlog
from .measure import (
    HELD_UP,
    OURS_ONLY,
    WAYS,
    Shown,
    Sizes,
    growth,
    latency,
    memory_together,
    shown,
    stall,
    start,
    throughput,
)
from .peers import OURS, Peer
from .run import Bench, Failed, local_bench

SIZES = Sizes(
    throughput=2000, latency=20, growth=1000, stall=3000, idle=0.2, settled=0.1, channels=3
)
US = Peer(OURS)


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return local_bench(tmp_path)


@pytest.mark.parametrize("scheme", ["ws", "wss"])
def test_throughput(bench: Bench, scheme: str) -> None:
    figures = throughput(bench, SIZES, scheme == "wss", US)
    assert set(figures) == {f"{scheme}: events/s", f"{scheme}: CPU µs/event"}


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.name)
def test_a_filter_or_another_format(bench: Bench, way: Shown) -> None:
    figures = shown(bench, SIZES, way, US)
    assert set(figures) == {f"ws, {way.name}: events/s", f"ws, {way.name}: CPU µs/event"}
    assert not set(map(type, figures.values())) - {float}
    assert set(shown(bench, SIZES, way, Peer("pusher-js")).values()) == {OURS_ONLY}


def test_latency(bench: Bench) -> None:
    figures = latency(bench, SIZES, US)
    p50, p99, worst = (float(figures[f"latency, {name}: ms"]) for name in ("p50", "p99", "worst"))
    assert 0 < p50 <= p99 <= worst


def test_start(bench: Bench) -> None:
    assert set(start(bench, 3, 0.02, US)) == {"ready, 3 channels, auth 20 ms: s"}
    mute = Peer("mute", authorises=False)
    assert start(bench, 1, 0.0, mute) == {
        "ready, 1 channel, auth 0 ms: s": "it cannot ask for signatures"
    }


def test_growth(bench: Bench) -> None:
    assert set(growth(bench, SIZES, US)) == {"RSS growth: MiB"}


def test_a_stalled_reader_loses_nothing(bench: Bench) -> None:
    figures = stall(bench, SIZES, US)
    assert figures["stall, events lost"] == 0
    assert float(figures["stall, peak RSS: MiB"]) > 1
    assert figures["stall, all taken off the server: s"] != HELD_UP


def test_no_room_is_no_measure(bench: Bench) -> None:
    with pytest.raises(Failed, match="no room"):
        stall(bench, Sizes(stall=10**15), US)
    with pytest.raises(Failed, match="no room"):
        backlog(bench, 10**15, US)


def test_memory_and_idling(bench: Bench) -> None:
    figures = memory_together(bench, SIZES, [US], 3)
    assert set(figures) == {OURS}
    assert set(figures[OURS]) == {"RSS, 3 channels: MiB", "idle, 3 channels: CPU ms/min"}


def test_backlog(bench: Bench) -> None:
    figures = backlog(bench, 100_000, US)
    assert float(figures["replay, --where: MB/s"]) > 0
    assert set(backlog(bench, 100_000, Peer("Pysher")).values()) == {"it reads no files"}


def test_a_slow_peer_gets_a_tenth() -> None:
    assert Peer("x", slow=True).share(1000) == 100
    assert Peer("x").share(1000) == 1000


def test_a_look_is_smaller_but_still_measures() -> None:
    look = Sizes().scaled(0.001)
    assert look.throughput == 200
    assert look.latency == 50
    assert look.settled == Sizes().settled
    assert 1 < look.some_channels < look.channels
