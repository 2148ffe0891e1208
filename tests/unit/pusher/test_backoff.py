"""When the next dial is granted."""

from dataclasses import dataclass

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from chatapp_tail.pusher.backoff import STABLE_AFTER, Backoff, Retry

JUST_BELOW_ONE = 0.9999999


def fixed(value: float) -> Backoff:
    return Backoff(lambda: value)


def delays(
    backoff: Backoff, retries: list[Retry], *, stable_for: float = 0.0, start: float = 0.0
) -> list[float]:
    """The delay after each failure, dials being far enough apart for the window to stay open."""
    found = []
    for at, retry in enumerate(retries):
        now = start + at * 1000.0
        backoff.dialled(now)
        found.append(backoff.next_dial(now, retry, stable_for=stable_for) - now)
    return found


@dataclass(frozen=True)
class Loss:
    """One link: how long it lived, how long it was subscribed, how it ended, how late we dial."""

    lived: float
    stable_for: float
    retry: Retry
    late: float
    random: float


spans = st.floats(min_value=0, max_value=100) | st.sampled_from((0.0, 0.001, 29.9, 30.0))
losses = st.builds(
    Loss,
    lived=spans,
    stable_for=spans,
    retry=st.sampled_from(Retry),
    late=st.sampled_from((0.0, 0.0, 0.01, 5.0)),
    random=st.floats(min_value=0, max_value=1, exclude_max=True),
)


@given(st.lists(losses, max_size=60))
@example([Loss(0, 0, Retry.IMMEDIATE, 0, 0)] * 60)
@example([Loss(0, 99, Retry.IMMEDIATE, 0, 0)] * 60)
@example([Loss(0, 99, Retry.BACK_OFF, 0, 0)] * 60)
def test_never_more_than_five_dials_in_ten_seconds(sequence: list[Loss]) -> None:
    randoms = iter([loss.random for loss in sequence])
    backoff = Backoff(lambda: next(randoms, 0.0))
    now, dials = 0.0, []
    for loss in sequence:
        dials.append(now)
        backoff.dialled(now)
        ended = now + loss.lived
        allowed = backoff.next_dial(ended, loss.retry, stable_for=loss.stable_for)
        assert allowed >= ended
        now = allowed + loss.late
    for first, sixth in zip(dials, dials[5:], strict=False):
        assert sixth - first > 10.0


@given(st.lists(losses, max_size=40))
def test_no_wait_is_longer_than_its_cap(sequence: list[Loss]) -> None:
    randoms = iter([loss.random for loss in sequence])
    backoff = Backoff(lambda: next(randoms, 0.0))
    for at, loss in enumerate(sequence):
        now = at * 1000.0
        backoff.dialled(now)
        wait = backoff.next_dial(now, loss.retry, stable_for=loss.stable_for) - now
        # A second's floor stands below the 60 s of over capacity.
        assert wait <= (61.0 if loss.retry is Retry.OVER_CAPACITY else 30.0)


@pytest.mark.case(114, 122)
@pytest.mark.parametrize("retry", [Retry.IMMEDIATE, Retry.BACK_OFF])
@pytest.mark.parametrize("value", [0.0, 0.5, JUST_BELOW_ONE])
def test_a_first_failure_waits_at_most_a_second(retry: Retry, value: float) -> None:
    waits = value if retry is Retry.BACK_OFF else 0.0
    assert delays(fixed(value), [retry]) == [waits]


@pytest.mark.case(122)
@pytest.mark.parametrize("value", [0.0, 0.5, JUST_BELOW_ONE])
def test_losing_a_stable_link_is_a_first_failure_whatever_came_before(value: float) -> None:
    backoff = fixed(value)
    delays(backoff, [Retry.BACK_OFF] * 8 + [Retry.IMMEDIATE] * 8)
    again = delays(backoff, [Retry.BACK_OFF] * 50, stable_for=STABLE_AFTER, start=1e6)
    assert again == pytest.approx([value] * 50)
    assert backoff.failures == 1


@pytest.mark.case(125)
@pytest.mark.parametrize(
    ("stable_for", "failures"),
    [(0.0, 4), (29.99, 4), (30.0, 1), (31.0, 1)],
    ids=["never ready", "just too short", "just long enough", "longer"],
)
def test_the_counter_is_reset_by_thirty_stable_seconds_only(
    stable_for: float, failures: int
) -> None:
    backoff = fixed(JUST_BELOW_ONE)
    delays(backoff, [Retry.BACK_OFF] * 3)
    (delay,) = delays(backoff, [Retry.BACK_OFF], stable_for=stable_for, start=1e6)
    assert delay == pytest.approx(2 ** (failures - 1), rel=1e-3)
    assert backoff.failures == failures


@pytest.mark.case(123)
def test_the_span_doubles_up_to_thirty_seconds() -> None:
    waits = delays(fixed(JUST_BELOW_ONE), [Retry.BACK_OFF] * 5000)
    assert waits[:8] == pytest.approx([1, 2, 4, 8, 16, 30, 30, 30], rel=1e-3)
    assert waits[-1] < 30.0, "a failure for months overflows nothing"


@pytest.mark.case(123)
def test_jitter_is_full() -> None:
    assert delays(fixed(0.0), [Retry.BACK_OFF] * 8) == [0.0] * 8
    assert delays(fixed(0.25), [Retry.BACK_OFF] * 4) == pytest.approx([0.25, 0.5, 1.0, 2.0])
    assert delays(fixed(0.5), [Retry.BACK_OFF] * 8) == [0.5, 1, 2, 4, 8, 15, 15, 15]


@pytest.mark.case(113, 123)
def test_over_capacity_waits_at_least_a_second_and_grows_to_a_minute() -> None:
    assert delays(fixed(0.0), [Retry.OVER_CAPACITY] * 9) == [1.0] * 9
    waits = delays(fixed(JUST_BELOW_ONE), [Retry.OVER_CAPACITY] * 12)
    assert waits[:4] == pytest.approx([2, 3, 5, 9], rel=1e-3)
    assert waits == sorted(waits)
    assert 59.0 <= waits[-1] <= 60.0


@pytest.mark.case(124)
@pytest.mark.parametrize("value", [0.5, JUST_BELOW_ONE])
def test_at_once_is_at_once_three_times_and_then_backs_off(value: float) -> None:
    waits = delays(fixed(value), [Retry.IMMEDIATE] * 6)
    assert waits[:3] == [0.0] * 3
    assert min(waits[3:]) > 0.9 * value
    assert waits[3:] == sorted(waits[3:])


def test_links_that_die_young_do_not_earn_more_dials_at_once() -> None:
    backoff = fixed(0.5)
    delays(backoff, [Retry.IMMEDIATE] * 3)
    assert delays(backoff, [Retry.IMMEDIATE], stable_for=29.9, start=1e6)[0] > 0
    assert delays(backoff, [Retry.IMMEDIATE], stable_for=30.0, start=2e6)[0] == 0


def test_a_stable_link_is_dialled_at_once_again() -> None:
    backoff = fixed(0.5)
    assert delays(backoff, [Retry.IMMEDIATE] * 9, stable_for=60.0) == [0.0] * 9


@pytest.mark.parametrize("retry", Retry)
def test_what_the_server_asked_for_is_waited_for(retry: Retry) -> None:
    backoff = fixed(0.5)
    backoff.dialled(100.0)
    assert backoff.next_dial(100.0, retry, stable_for=99.0, not_before=150.0) == 150.0


@pytest.mark.parametrize("retry", Retry)
def test_what_the_server_asked_for_shortens_nothing(retry: Retry) -> None:
    backoff = fixed(JUST_BELOW_ONE)
    delays(backoff, [Retry.BACK_OFF] * 8)
    backoff.dialled(10_000.0)
    asked = backoff.next_dial(10_000.0, retry, stable_for=0.0, not_before=9_000.0)
    assert asked >= 10_000.0


@pytest.mark.parametrize("asked", [1e12, 1e300, float("inf")])
def test_what_the_server_asked_for_is_not_waited_for_without_end(asked: float) -> None:
    backoff = fixed(0.5)
    backoff.dialled(100.0)
    granted = backoff.next_dial(100.0, Retry.BACK_OFF, stable_for=0.0, not_before=asked)
    assert granted <= 100.0 + 86_400.0
