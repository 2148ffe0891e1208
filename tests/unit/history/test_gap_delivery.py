"""Which gaps are reported, with what count, and how long each pins the checkpoint."""

import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from pathlib import Path

import pytest
from msgspec.structs import replace

from chatapp_tail.history import gap_filler
from chatapp_tail.history.checkpoint import Checkpoint, Watermark
from chatapp_tail.history.gap_delivery import GapDelivery
from chatapp_tail.history.gap_filler import GapFiller
from chatapp_tail.items import RENEWED, ChannelEvent, Gap, Ready, Subscribed, Watermarks
from chatapp_tail.threads import Waker
from tests.conftest import TIMEOUT_SCALE, wait_until

T = 1_700_000_000 * 10**9
LOST = Gap("a", T, T + 5, "lost")
RENEWAL = Gap("a", T, T + 5, RENEWED)
MESSAGE = ChannelEvent(T, "message", "a", b"{}")


class Delivering:
    """The gaps of a run whose history is read at once, except its last gap, as long as `waits`."""

    def __init__(self, checkpoint: Checkpoint | None = None) -> None:
        self.waits = threading.Event()
        self.waits.set()
        self._alarm = Waker()
        self.filler = GapFiller(
            self._fetch, lambda channel: channel == "a", self._alarm, first_seen={}, timeout=100.0
        )
        self.gaps = GapDelivery(self.filler, checkpoint)

    def _fetch(
        self, gaps: Sequence[Gap], first_seen: Mapping[str, int], newest: Mapping[str, int]
    ) -> Iterator[ChannelEvent | Gap]:
        yield MESSAGE
        self.waits.wait(10 * TIMEOUT_SCALE)
        yield from (replace(gap, missing=None) for gap in gaps)

    def come_to(self, gap: Gap) -> bool:
        """The socket's thread sees a gap, and the main thread comes to it."""
        self.filler.watch([gap, Ready(T, ["a"], [])])
        return self.gaps.reach(gap)

    def take(self) -> list[ChannelEvent] | Gap:
        taken: list[list[ChannelEvent] | Gap] = []

        def take() -> bool:
            if (news := self.gaps.take()) is not None:
                taken.append(news)
            return bool(taken)

        wait_until(take, "news")
        return taken[0]

    def close(self) -> None:
        self.waits.set()
        self._alarm.close()


@pytest.fixture
def checkpoint(tmp_path: Path) -> Iterator[Checkpoint]:
    with closing(Checkpoint("name", tmp_path)) as made:
        yield made


@pytest.fixture
def delivering(checkpoint: Checkpoint, monkeypatch: pytest.MonkeyPatch) -> Iterator[Delivering]:
    # A message comes at once, and not with the next one, which may have to wait.
    monkeypatch.setattr(gap_filler, "_RESULT_INTERVAL", 0.0)
    made = Delivering(checkpoint)
    yield made
    made.close()


def test_where_no_gap_is_filled_each_is_reported_as_it_is() -> None:
    gaps = GapDelivery(None, None)
    gaps.note(Subscribed(T, "a"))
    assert gaps.reach(LOST)
    assert (gaps.holds, gaps.in_progress, gaps.deadline, gaps.take(), gaps.unfinished()) == (
        *(False, False, 0.0, None),
        [],
    )
    gaps.unpin(LOST)


def test_a_channel_without_history_has_its_gap_reported_unless_it_may_be_none(
    delivering: Delivering,
) -> None:
    assert delivering.come_to(replace(LOST, channel="other"))
    assert not delivering.come_to(replace(RENEWAL, channel="other"))


def test_a_filled_gap_is_reported_with_the_messages_shown(delivering: Delivering) -> None:
    assert not delivering.come_to(LOST)
    assert delivering.gaps.in_progress
    assert delivering.gaps.holds
    assert delivering.gaps.deadline > 0
    assert delivering.take() == [MESSAGE]
    delivering.gaps.count_recovered(MESSAGE)
    gap = delivering.take()
    assert isinstance(gap, Gap)
    assert delivering.gaps.report(gap) == replace(LOST, recovered=1, missing=None)
    assert delivering.gaps.report(gap) == replace(LOST, missing=None), "counted once"
    assert not delivering.gaps.in_progress


@pytest.mark.parametrize(("recovered", "given_up"), [(0, False), (1, False), (0, True)])
def test_a_renewal_is_reported_only_if_it_cost_something(recovered: int, *, given_up: bool) -> None:
    gaps = GapDelivery(None, None)
    for _ in range(recovered):
        gaps.count_recovered(MESSAGE)
    gap = replace(RENEWAL, given_up=given_up)
    expected = replace(gap, recovered=recovered) if recovered or given_up else None
    assert gaps.report(gap) == expected


def test_the_end_reports_what_was_reached_and_is_not_filled(delivering: Delivering) -> None:
    delivering.waits.clear()
    delivering.come_to(LOST)
    delivering.gaps.count_recovered(MESSAGE)
    (gap,) = delivering.gaps.unfinished()
    assert gap.recovered == 1
    assert gap.missing == "it ended before all of history was read"


@pytest.mark.parametrize("recovered", [0, 1])
def test_the_end_reports_a_renewal_only_if_it_cost_something(
    delivering: Delivering, recovered: int
) -> None:
    delivering.waits.clear()
    delivering.come_to(RENEWAL)
    for _ in range(recovered):
        delivering.gaps.count_recovered(MESSAGE)
    assert len(delivering.gaps.unfinished()) == recovered


def test_a_gap_pins_the_checkpoint_until_it_is_released(
    delivering: Delivering, checkpoint: Checkpoint
) -> None:
    delivering.gaps.note(Subscribed(T - 10, "a"))
    delivering.come_to(LOST)
    delivering.gaps.note(Watermarks({"a": T + 50}))
    assert checkpoint.watermarks["a"] == Watermark(T - 10, T)
    delivering.gaps.unpin(LOST)
    assert checkpoint.watermarks["a"] == Watermark(T - 10, T + 50)
