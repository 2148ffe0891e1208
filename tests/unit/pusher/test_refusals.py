"""Which refusals count, and which are asked again."""

import pytest

from chatapp_tail.items import StopCause
from chatapp_tail.pusher.backoff import Retry
from chatapp_tail.pusher.close_codes import CloseReason
from chatapp_tail.pusher.refusals import ChannelRefusals, ServerRefusals

A, B = "private-a", "private-b"
REFUSED = CloseReason("App does not exist (code 4001)", 4001, stop=StopCause.SERVER_REFUSED)
BY_HTTP = CloseReason("HTTP status 404", 404, stop=StopCause.SERVER_REFUSED)
NO_ANSWER = CloseReason("no answer", retry=Retry.BACK_OFF)


def test_a_clear_refusal_of_a_channel_never_had_counts_at_once() -> None:
    assert ChannelRefusals(30.0).believed(A, 0.0, clear=True)


def believed(refusals: ChannelRefusals, *times: float, clear: bool = True) -> list[bool]:
    return [refusals.believed(A, time, clear=clear) for time in times]


@pytest.mark.defect("A2.16b", "A2.16c")
def test_a_channel_that_was_confirmed_has_to_stay_refused() -> None:
    refusals = ChannelRefusals(30.0)
    refusals.confirmed(A)
    assert believed(refusals, 0, 5, 10, 20, 29) == [False] * 5
    assert believed(refusals, 30, 330) == [True, True]
    refusals = ChannelRefusals(30.0)
    refusals.confirmed(A)
    assert believed(refusals, 0, 300, 301) == [False, False, True]


def test_a_confirmation_begins_the_count_again() -> None:
    refusals = ChannelRefusals(30.0)
    refusals.confirmed(A)
    assert believed(refusals, 0, 20) == [False, False]
    refusals.confirmed(A)
    assert believed(refusals, 40, 60, 69, 70) == [False, False, False, True]


def test_channels_are_counted_apart() -> None:
    refusals = ChannelRefusals(30.0)
    refusals.confirmed(A)
    assert refusals.believed(B, 0.0, clear=True)
    assert not refusals.believed(A, 0.0, clear=True)


def test_what_is_not_clear_has_to_last_for_every_channel() -> None:
    assert believed(ChannelRefusals(30.0), 0, 15, 30, clear=False) == [False, False, True]


def judge(
    refusals: ServerRefusals, ended: CloseReason, now: float, *, established: bool = False
) -> CloseReason:
    """Return what is made of the end of a link that was never subscribed."""
    return refusals.judge(ended, now, established=established, subscribed=False)


def accept(refusals: ServerRefusals) -> None:
    refusals.judge(NO_ANSWER, 0.0, established=True, subscribed=True)


def stops(refusals: ServerRefusals, *ends: tuple[float, CloseReason]) -> list[bool]:
    return [judge(refusals, ended, now).stop is not None for now, ended in ends]


def test_a_server_that_never_accepted_us_is_believed() -> None:
    assert stops(ServerRefusals(1), (0.0, REFUSED)) == [True]


def test_every_endpoint_is_asked_before_one_is_believed() -> None:
    ends = [(0.0, REFUSED), (1.0, NO_ANSWER), (2.0, BY_HTTP), (3.0, REFUSED)]
    assert stops(ServerRefusals(3), *ends) == [False, False, False, True]


@pytest.mark.defect("A.7c", "A2.16c")
def test_a_server_that_accepted_us_is_believed_after_five_minutes() -> None:
    refusals = ServerRefusals(1)
    accept(refusals)
    assert judge(refusals, REFUSED, 0.0) == CloseReason(
        REFUSED.reason, REFUSED.code, retry=Retry.OVER_CAPACITY
    )
    assert stops(refusals, (100.0, REFUSED), (299.0, REFUSED)) == [False, False]
    assert stops(refusals, (300.0, REFUSED)) == [True]


@pytest.mark.parametrize("between", ["accepted", "no answer"])
def test_the_five_minutes_are_without_anything_else(between: str) -> None:
    refusals = ServerRefusals(1)
    accept(refusals)
    assert stops(refusals, (0.0, REFUSED)) == [False]
    if between == "accepted":
        accept(refusals)
    else:
        judge(refusals, NO_ANSWER, 10.0)
    assert stops(refusals, (300.0, REFUSED), (599.0, REFUSED)) == [False, False]
    assert stops(refusals, (600.0, REFUSED)) == [True]


def test_any_gateway_can_refuse_by_http_for_long() -> None:
    refusals = ServerRefusals(1)
    accept(refusals)
    assert stops(refusals, (0.0, BY_HTTP), (86_400.0, BY_HTTP)) == [False, False]


def test_what_is_no_refusal_stays_as_it_is() -> None:
    untrusted = CloseReason("not trusted", stop=StopCause.UNTRUSTED)
    refusals = ServerRefusals(2)
    accept(refusals)
    assert judge(refusals, untrusted, 0.0) is untrusted
    assert judge(refusals, NO_ANSWER, 0.0) is NO_ANSWER


def test_what_ends_a_link_that_was_subscribed_is_meant_for_it() -> None:
    refusals = ServerRefusals(2)
    accept(refusals)
    assert refusals.judge(REFUSED, 0.0, established=True, subscribed=True) is REFUSED


@pytest.mark.defect("A2.16c")
def test_a_refusal_right_after_the_handshake_may_pass_too() -> None:
    refusals = ServerRefusals(1)
    accept(refusals)
    for now, stopped in ((0.0, False), (299.0, False), (300.0, True)):
        assert (judge(refusals, REFUSED, now, established=True).stop is not None) == stopped


def test_a_first_refusal_right_after_the_handshake_is_believed() -> None:
    assert judge(ServerRefusals(1), REFUSED, 0.0, established=True).stop is not None
