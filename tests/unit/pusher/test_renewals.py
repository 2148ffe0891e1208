"""For which spans it is unproved that a server kept a subscription."""

import pytest

from chatapp_tail.items import RENEWED, Gap
from chatapp_tail.pusher.gaps import Loss, WatermarkTracker
from chatapp_tail.pusher.moments import Moment

A = "a"


def at(seconds: float) -> Moment:
    return Moment(int(seconds * 1e9), int(seconds * 1e9))


def rechecked(
    proof: WatermarkTracker, asked: float, *, certain: bool = False, channel: str = A
) -> Gap | None:
    """Let a channel be rechecked, and return what history is to be asked for."""
    proof.channel_asked(channel, at(asked))
    span = proof.channel_reconfirmed(channel, certain=certain)
    return span.gap(channel, at(asked + 1)) if span else None


def subscribed(*channels: str) -> WatermarkTracker:
    """Return what a link proved whose channels were asked for at 10 seconds."""
    proof = WatermarkTracker()
    for channel in channels or (A,):
        proof.channel_asked(channel, at(10))
        proof.channel_confirmed(channel)
    return proof


def span(since: float, until: float) -> Gap:
    return Gap(A, int(since * 1e9), int(until * 1e9), RENEWED)


@pytest.mark.defect("A2.6")
def test_what_was_before_a_recheck_is_looked_for_after_the_next_one() -> None:
    proof = subscribed()
    assert rechecked(proof, 190) is None
    assert rechecked(proof, 370) == span(10, 190)
    assert rechecked(proof, 550) == span(190, 370)


@pytest.mark.defect("A2.6")
def test_an_event_proves_the_subscription_until_it_came() -> None:
    proof = subscribed()
    proof.event_came(A, at(100))
    proof.event_came("stranger", at(150))
    rechecked(proof, 190)
    proof.event_came(A, at(200))
    assert rechecked(proof, 370) == span(100, 190)
    assert rechecked(proof, 550) == span(200, 370)


def test_a_server_that_says_it_never_forgot_us_is_believed() -> None:
    proof = subscribed()
    for asked in (190, 370, 550):
        assert rechecked(proof, asked, certain=True) is None


def test_a_confirmation_without_a_request_is_no_recheck() -> None:
    proof = subscribed()
    for _ in range(3):
        assert proof.channel_reconfirmed(A, certain=False) is None


def test_many_channels_are_looked_for_less_often_and_nothing_is_left_out() -> None:
    channels = [A, *(f"c{number}" for number in range(199))]  # 400 s apart
    proof = subscribed(*channels)
    assert [rechecked(proof, asked) for asked in (190, 370, 550)] == [None] * 3
    assert rechecked(proof, 730) == span(10, 550)
    assert [rechecked(proof, asked) for asked in (910, 1090)] == [None] * 2
    assert rechecked(proof, 1270) == span(550, 1090)


@pytest.mark.defect("A.6")
@pytest.mark.parametrize(
    ("rechecks", "event", "proved"),
    [([], None, 10), ([190], None, 10), ([190, 370], None, 190), ([], 100, 100), ([190], 195, 10)],
)
def test_a_gap_is_read_from_where_nothing_was_looked_for_yet(
    rechecks: list[float], event: float | None, proved: float
) -> None:
    proof = subscribed()
    for asked in rechecks:
        rechecked(proof, asked)
    if event:
        proof.event_came(A, at(event))
    proof.ping_sent(at(400))
    proof.pong_came()
    assert proof.losses("gone") == {A: Loss(at(400), "gone", at(proved))}


def test_the_span_is_told_by_the_clock_as_it_is_now() -> None:
    proof = WatermarkTracker()
    proof.channel_asked(A, Moment(5_000, 10_000_000_000))
    proof.channel_confirmed(A)
    for elapsed in (190, 370):
        proof.channel_asked(A, Moment(5_000, elapsed * 10**9))
        found = proof.channel_reconfirmed(A, certain=False)
    assert found is not None
    gap = found.gap(A, Moment(1000 * 10**9, 400 * 10**9))
    assert (gap.since, gap.until) == (610 * 10**9, 790 * 10**9)
