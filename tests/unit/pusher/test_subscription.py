"""One subscription: what its name and its state say of it."""

import pytest

from chatapp_tail.pusher.subscription import State, Subscription


@pytest.mark.parametrize(
    ("channel", "authorised", "can_be_rechecked"),
    [
        ("news", False, True),
        ("private-a", True, True),
        ("presence-a", True, False),
        ("cache-a", False, False),
        ("private-cache-a", True, False),
        ("private-encrypted-cache-a", True, False),
    ],
)
def test_the_prefix_of_a_channel(channel: str, authorised: bool, can_be_rechecked: bool) -> None:
    subscription = Subscription(channel)
    assert subscription.authorised is authorised
    assert subscription.can_be_rechecked is can_be_rechecked


@pytest.mark.parametrize(
    ("state", "unanswered", "awaits"),
    [
        (State.WANTED, 0, False),
        (State.WANTED, 1, True),
        (State.REFUSED, 0, False),
        (State.CONFIRMED, 0, True),
        (State.RECHECKING, 0, True),
    ],
)
def test_what_a_confirmation_can_answer(state: State, unanswered: int, awaits: bool) -> None:
    subscription = Subscription("news", state=state, unanswered=unanswered)
    assert subscription.awaits_confirmation is awaits


def test_its_text_never_holds_the_signature() -> None:
    assert repr(Subscription("news", request="key:signature")) == "<news: WANTED>"
