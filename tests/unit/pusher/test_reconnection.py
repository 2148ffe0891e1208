"""Reconnection: the endpoint and the time of the next dial, with time as an argument."""

import pytest

from chatapp_tail.items import StopCause
from chatapp_tail.pusher.backoff import Retry
from chatapp_tail.pusher.close_codes import CloseReason
from chatapp_tail.pusher.endpoint import Endpoint
from chatapp_tail.pusher.reconnection import Reconnection
from chatapp_tail.pusher.session import Outcome

FIRST, SECOND = Endpoint(False, "first.invalid", 80), Endpoint(True, "second.invalid", 443)
LOST = CloseReason("made up", retry=Retry.BACK_OFF)
NEEDS_TLS = CloseReason("made up", 4000, retry=Retry.BACK_OFF, needs_tls=True)


def reconnection(*endpoints: Endpoint, max_retries: int | None = None) -> Reconnection:
    return Reconnection(endpoints or (FIRST,), lambda: 0.5, max_retries=max_retries)


@pytest.mark.parametrize(("subscribed_for", "next_endpoint"), [(29.0, SECOND), (30.0, FIRST)])
def test_an_endpoint_that_did_not_last_is_left(
    subscribed_for: float, next_endpoint: Endpoint
) -> None:
    dials = reconnection(FIRST, SECOND)
    assert dials.start_dial(0.0) == FIRST
    dials.judge(Outcome(LOST, 40.0, subscribed_for), 40.0)
    assert dials.start_dial(41.0) == next_endpoint


def test_a_requested_stop_is_not_judged() -> None:
    dials = reconnection(FIRST, SECOND)
    assert dials.judge(Outcome(None), 1.0) == Outcome(None)
    assert dials.start_dial(1.0) == FIRST


def test_the_delay_of_a_failed_dial_counts_from_its_start() -> None:
    dials = reconnection()
    dials.start_dial(100.0)
    assert dials.next_dial(Outcome(LOST), 110.0) == 110.0, "not before now"
    dials.start_dial(200.0)
    assert dials.next_dial(Outcome(LOST), 200.5) == 201.0


def test_the_delay_of_a_lost_link_counts_from_the_loss() -> None:
    dials = reconnection()
    dials.start_dial(100.0)
    assert dials.next_dial(Outcome(LOST, 10.0), 110.0) == 110.5


def test_the_server_may_ask_for_a_longer_delay() -> None:
    dials = reconnection()
    dials.start_dial(100.0)
    assert dials.next_dial(Outcome(LOST, retry_after=60.0), 101.0) == 161.0


def test_consecutive_failures_are_limited() -> None:
    dials = reconnection(max_retries=1)
    assert dials.stop_cause(Outcome(LOST), FIRST) is None
    assert dials.stop_cause(Outcome(LOST, 50.0, 50.0), FIRST) is None
    assert dials.stop_cause(Outcome(LOST), FIRST) is StopCause.UNREACHABLE


def test_a_server_that_needs_tls_is_dialled_with_tls() -> None:
    dials = reconnection(FIRST)
    assert dials.stop_cause(Outcome(NEEDS_TLS, 1.0), FIRST) is None
    assert dials.start_dial(2.0) == FIRST.with_tls()
    assert dials.stop_cause(Outcome(NEEDS_TLS, 1.0), SECOND) is StopCause.SERVER_REFUSED


def test_a_final_end_is_final() -> None:
    refused = Outcome(CloseReason("made up", stop=StopCause.CREDENTIALS))
    assert reconnection().stop_cause(refused, FIRST) is StopCause.CREDENTIALS
