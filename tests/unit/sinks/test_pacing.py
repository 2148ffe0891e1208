"""Pacing of lanes, without a clock."""

from math import inf

import pytest

from chatapp_tail.sinks.pacing import Pace, Pacing


def pacing(lanes: int = 8) -> Pacing:
    return Pacing(lanes, Pace(), lambda: 1.0)


def fail(state: Pacing, lane: int, now: float = 0.0, **members: object) -> tuple[float, bool]:
    """A whole attempt that fails; when the next may begin, and whether that is total."""
    state.began(lane)
    failure = state.failed(lane, now, now, **({"working": 8} | members))  # type: ignore[arg-type]
    return failure.retry_in, failure.is_total


def test_a_lane_waits_longer_after_each_failure() -> None:
    state = pacing()
    delays = [fail(state, 0)[0] for _ in range(9)]
    assert delays == [0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 60.0, 60.0]
    assert state.may_begin(0) == 60.0
    assert state.may_begin(1) == 0.0


def test_a_wrong_endpoint_is_retried_slowly() -> None:
    state = pacing()
    delays = [fail(state, 0, wrong=True)[0] for _ in range(6)]
    assert delays == [5.0, 10.0, 20.0, 40.0, 60.0, 60.0]


def test_a_success_begins_again_with_short_delays() -> None:
    state = pacing()
    fail(state, 0)
    fail(state, 0)
    assert not state.succeeded(0, 1.0)
    assert fail(state, 0, 2.0)[0] == 0.5


def test_one_lane_of_many_is_no_trouble_unless_all_that_work_fail() -> None:
    state = pacing()
    assert not fail(state, 0)[1]
    assert fail(state, 0, working=1)[1]
    assert not fail(state, 0, working=2)[1]
    assert fail(state, 1, working=2)[1]


def test_a_wrong_endpoint_is_trouble_at_once_until_others_succeed() -> None:
    state = pacing()
    assert fail(state, 0, 1.0, wrong=True)[1]
    state.succeeded(1, 2.0)
    assert not fail(state, 0, 6.0, wrong=True)[1]


@pytest.mark.parametrize(("lanes", "threshold"), [(8, 5), (5, 5), (3, 3), (1, 1)])
def test_from_five_lanes_on_one_probes_and_all_others_wait(lanes: int, threshold: int) -> None:
    state = pacing(lanes)
    failures = [fail(state, lane) for lane in range(threshold)]
    assert [total for _, total in failures] == [False] * (threshold - 1) + [True]
    assert {state.may_begin(lane) for lane in range(lanes)} == {0.5}
    state.began(lanes - 1)
    expected = [inf] * (lanes - 1) + [0.5]
    assert [state.may_begin(lane) for lane in range(lanes)] == expected
    assert state.failed(lanes - 1, 1.0, 1.0).retry_in == 1.0
    assert {state.may_begin(lane) for lane in range(lanes)} == {2.0}


def test_an_attempt_that_began_before_probing_does_not_postpone_it() -> None:
    state = pacing()
    for lane in range(5):
        fail(state, lane)
    assert state.failed(5, 0.0, 0.4, working=8).retry_in == pytest.approx(0.1)
    state.began(6)
    assert not state.failed(7, 0.0, 0.6, working=8).retry_in
    assert state.may_begin(7) == inf


def test_a_successful_probe_lets_all_lanes_begin() -> None:
    state = pacing()
    for lane in range(5):
        for _ in range(5):
            fail(state, lane)
    state.began(6)
    assert state.succeeded(6, 3.0)
    assert all(state.may_begin(lane) <= 3.0 for lane in range(8))
    assert not fail(state, 0, 4.0)[1]


def test_lanes_whose_deliveries_are_at_fault_keep_their_delays() -> None:
    state = pacing()
    fail(state, 0)
    state.succeeded(1, 1.0)
    for _ in range(5):
        fail(state, 0, 2.0)
    for lane in range(1, 5):
        fail(state, lane, 3.0)
    state.began(1)
    assert state.succeeded(1, 4.0)
    assert state.may_begin(0) == 2.0 + 16.0
    assert state.may_begin(2) == 4.0


def test_the_server_holds_all_lanes() -> None:
    state = pacing()
    assert fail(state, 0, 10.0, asked=30.0)[0] == 30.0
    assert {state.may_begin(lane) for lane in range(8)} == {40.0}
    fail(state, 1, 10.0, asked=1e9)
    assert state.may_begin(2) == 10.0 + 3600.0


def test_a_success_does_not_shorten_what_the_server_asked() -> None:
    state = pacing()
    fail(state, 0, 10.0, asked=30.0)
    state.succeeded(1, 11.0)
    assert state.may_begin(1) == 40.0


def test_20_refusals_in_a_row_are_believed() -> None:
    state = pacing()
    assert all(state.refused(lane % 8, 0.0) for lane in range(20))
    assert not state.refused(0, 0.0)
    state.succeeded(1, 1.0)
    assert state.refused(0, 2.0)


def test_a_lane_that_gives_up_lets_another_probe() -> None:
    state = pacing(2)
    fail(state, 0)
    fail(state, 1)
    state.began(0)
    assert state.may_begin(1) == inf
    state.gave_up(0)
    assert state.may_begin(1) == 0.5
    assert state.may_begin(0) == 0.0
