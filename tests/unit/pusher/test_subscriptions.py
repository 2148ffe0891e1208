"""Subscriptions: the transitions of one channel, as in the table of the module."""

from collections.abc import Callable

import pytest

from chatapp_tail.pusher.answers import Denied, Granted, Unavailable
from chatapp_tail.pusher.events import AuthRequested, Event, Output, SubscribeSent, SubscriptionLost
from chatapp_tail.pusher.refusals import ChannelRefusals
from chatapp_tail.pusher.subscriptions import Subscriptions
from chatapp_tail.pusher.timing import Timing

CHANNEL = "private-v1.companies.2224"
SOCKET_ID = "12.34"
TIMING = Timing(recheck_interval=100.0, auth_timeout=60.0, confirm_timeout=10.0)
ESTABLISHED = 1000.0


class Driver:
    """The subscriptions of an established connection, and the end of the last wait."""

    def __init__(self) -> None:
        self.output = Output()
        self.subscriptions = Subscriptions(
            [CHANNEL, "news"],
            self.output,
            timing=TIMING,
            random=lambda: 1.0,
            strict=False,
            refusals=ChannelRefusals(TIMING.refusal_lasting),
        )
        self.now = ESTABLISHED
        self.subscriptions.establish(SOCKET_ID, self.now)
        self.subscriptions.receive_success("news", self.now)

    def answer(self, answer: Granted | Denied | Unavailable) -> "Driver":
        self.subscriptions.receive_auth(CHANNEL, SOCKET_ID, answer, self.now)
        return self

    def confirm(self) -> "Driver":
        assert self.subscriptions.receive_success(CHANNEL, self.now)
        return self

    def reject(self, status: int) -> "Driver":
        assert self.subscriptions.receive_error(CHANNEL, status, "made up", self.now)
        return self

    def wait(self, seconds: float) -> "Driver":
        self.now += seconds
        self.subscriptions.tick(self.now)
        return self

    def next_events(self, seconds: float) -> list[Event]:
        """What is reported of the channel after some seconds, and not before."""
        self.output.events.clear()
        self.wait(seconds - 0.1)
        assert not self.of_channel()
        self.wait(0.1)
        return self.of_channel()

    def of_channel(self) -> list[Event]:
        return [event for event in self.output.events if getattr(event, "channel", "") == CHANNEL]


def authorised() -> Driver:
    return Driver().answer(Granted("key:signature"))


REQUESTED_AGAIN: dict[str, tuple[Callable[[], Driver], float]] = {
    "auth endpoint unavailable": (lambda: Driver().answer(Unavailable("503")), 1.0),
    "auth endpoint asks for a delay": (lambda: Driver().answer(Unavailable("429", 7.0)), 7.0),
    "auth endpoint silent": (lambda: Driver().wait(60.0), 1.0),
    "auth endpoint denies": (lambda: Driver().answer(Denied("403")), 300.0),
    "no confirmation": (lambda: authorised().wait(10.0), 1.0),
    "an error that refuses": (lambda: authorised().reject(403), 300.0),
    "another error": (lambda: authorised().reject(500), 1.0),
    "an error after a confirmation": (lambda: authorised().confirm().reject(500), 1.0),
}


@pytest.mark.parametrize(("reach", "delay"), REQUESTED_AGAIN.values(), ids=REQUESTED_AGAIN)
def test_a_channel_is_requested_again_after_the_delay_of_its_state(
    reach: Callable[[], Driver], delay: float
) -> None:
    assert reach().next_events(delay) == [AuthRequested(CHANNEL, SOCKET_ID)]


def test_a_confirmed_channel_is_rechecked_and_lost_when_rechecks_are_no_longer_answered() -> None:
    driver = authorised().confirm()
    assert driver.next_events(100.0) == [SubscribeSent(CHANNEL)]
    driver.confirm()
    assert driver.next_events(100.0) == [SubscribeSent(CHANNEL)]
    lost, _ = driver.next_events(10.0)
    assert lost == SubscriptionLost(CHANNEL)


def test_no_recheck_follows_one_without_any_answer() -> None:
    driver = authorised().confirm().wait(100.0).wait(10.0)
    driver.output.events.clear()
    driver.wait(1000.0)
    assert driver.of_channel() == []


@pytest.mark.parametrize("socket_id", ["", "other"])
def test_a_signature_for_another_socket_is_discarded(socket_id: str) -> None:
    driver = Driver()
    driver.output.texts.clear()
    driver.subscriptions.receive_auth(CHANNEL, socket_id, Granted("key:signature"), driver.now)
    assert driver.output.texts == []


def test_answers_to_no_request_are_not_taken() -> None:
    subscriptions = Driver().subscriptions
    assert not subscriptions.receive_success("other", ESTABLISHED)
    assert not subscriptions.receive_error(CHANNEL, 403, "made up", ESTABLISHED)
    assert not subscriptions.receive_general_error(4100, "", "made up", ESTABLISHED)
