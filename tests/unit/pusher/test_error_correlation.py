"""Errors that name no channel: which request they answer, and how certain that is."""

import pytest

from chatapp_tail.pusher.error_correlation import Refusal, correlate_error
from chatapp_tail.pusher.subscription import State, Subscription

FIRST, SECOND, PUBLIC = "private-first", "private-second", "news"


def pending(*channels: str) -> dict[str, Subscription]:
    """Subscriptions whose requests were sent in this order and have no answer."""
    return {
        channel: Subscription(channel, state=State.CONFIRMING, number=number, unanswered=1)
        for number, channel in enumerate(channels)
    }


CASES: dict[str, tuple[int | None, str, str | None, Refusal]] = {
    "a code that concerns the connection": (4100, "", None, Refusal.PERHAPS),
    "4009: the oldest request with a signature": (4009, "", FIRST, Refusal.CLEAR),
    "its name in the text": (None, f"Bad signature for {SECOND}.", SECOND, Refusal.CLEAR),
    "it exists": (None, f"Existing subscription to {SECOND}", SECOND, Refusal.CLEAR),
    "it is missing": (None, "No current subscription", None, Refusal.PERHAPS),
    "the name of another": (4009, "Bad signature for private-third", None, Refusal.PERHAPS),
    "neither code nor name, several requests": (None, "made up", None, Refusal.PERHAPS),
}


@pytest.mark.parametrize(("code", "text", "channel", "refusal"), CASES.values(), ids=CASES)
def test_the_request_that_an_error_answers(
    code: int | None, text: str, channel: str | None, refusal: Refusal
) -> None:
    subject, certainty = correlate_error(pending(PUBLIC, FIRST, SECOND), code, text)
    assert (subject and subject.channel, certainty) == (channel, refusal)


@pytest.mark.parametrize(
    ("text", "refusal"), [("made up", Refusal.PERHAPS), ("Invalid signature", Refusal.CLEAR)]
)
def test_an_error_without_code_or_name_may_answer_the_only_request(
    text: str, refusal: Refusal
) -> None:
    subscriptions = pending(FIRST)
    assert correlate_error(subscriptions, None, text) == (subscriptions[FIRST], refusal)


def test_a_late_answer_names_a_request_that_is_being_signed_again() -> None:
    subscriptions = pending(FIRST)
    subscriptions[FIRST].state = State.AUTHORISING
    text = f"Existing subscription to {FIRST}"
    assert correlate_error(subscriptions, None, text) == (subscriptions[FIRST], Refusal.CLEAR)
