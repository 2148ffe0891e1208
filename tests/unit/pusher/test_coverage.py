"""Which spans of time no channel was known to be covered in."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatapp_tail.pusher.coverage import Coverage, Proof
from chatapp_tail.pusher.items import Gap


def test_the_first_confirmation_closes_nothing() -> None:
    assert Coverage().regained("a", 5) is None


def test_a_loss_and_a_confirmation_make_a_gap() -> None:
    coverage = Coverage()
    coverage.lost("a", 10, "no answer")
    assert coverage.regained("a", 25) == Gap("a", 10, 25, "no answer")


def test_a_gap_is_said_once() -> None:
    coverage = Coverage()
    coverage.lost("a", 10, "no answer")
    coverage.regained("a", 25)
    assert coverage.regained("a", 30) is None


def test_a_second_loss_before_the_confirmation_leaves_the_older_hole_open() -> None:
    coverage = Coverage()
    coverage.lost("a", 10, "first")
    coverage.lost("a", 20, "second")
    assert coverage.regained("a", 30) == Gap("a", 10, 30, "first")


def test_channels_have_holes_of_their_own() -> None:
    coverage = Coverage()
    coverage.lost("a", 10, "first")
    coverage.lost("b", 12, "first")
    assert coverage.regained("b", 15) == Gap("b", 12, 15, "first")
    coverage.lost("b", 20, "second")
    assert coverage.regained("c", 21) is None
    assert coverage.regained("b", 25) == Gap("b", 20, 25, "second")
    assert coverage.regained("a", 30) == Gap("a", 10, 30, "first")


def test_the_end_closes_what_is_still_open_and_only_that() -> None:
    coverage = Coverage()
    coverage.lost("a", 10, "first")
    coverage.lost("b", 20, "second")
    coverage.lost("c", 25, "third")
    coverage.regained("b", 30)
    expected = [Gap("a", 10, 40, "first", final=True), Gap("c", 25, 40, "third", final=True)]
    assert coverage.close(40) == expected


def test_the_end_comes_once() -> None:
    coverage = Coverage()
    coverage.lost("a", 10, "first")
    coverage.close(40)
    assert coverage.close(50) == []
    assert coverage.regained("a", 60) is None


def test_without_a_hole_the_end_says_nothing() -> None:
    assert Coverage().close(40) == []


Step = tuple[str | int, ...]
"""What happened: a method of `Proof` and what it is called with."""


def proof_after(*steps: Step) -> Proof:
    proof = Proof()
    for name, *arguments in steps:
        getattr(proof, str(name))(*arguments)
    return proof


def subscribed(channel: str, at: int) -> list[Step]:
    return [("channel_asked", channel, at), ("channel_confirmed", channel)]


PONG: Step = ("pong_came",)
PROVED: dict[str, tuple[list[Step], dict[str, int]]] = {
    "nothing": ([], {}),
    "a channel asked for is not covered yet": ([("channel_asked", "a", 5)], {}),
    "a ping proves nothing of no channel": ([("ping_sent", 5), PONG], {}),
    "confirmed: since it was asked for": (subscribed("a", 5), {"a": 5}),
    "a ping without an answer": ([*subscribed("a", 5), ("ping_sent", 10)], {"a": 5}),
    "a pong: the moment of its ping": ([*subscribed("a", 5), ("ping_sent", 10), PONG], {"a": 10}),
    "a pong of several pings: the oldest": (
        [*subscribed("a", 5), ("ping_sent", 10), ("ping_sent", 20), PONG],
        {"a": 10},
    ),
    "a pong for each ping: the latest": (
        [*subscribed("a", 5), ("ping_sent", 10), ("ping_sent", 20), PONG, PONG],
        {"a": 20},
    ),
    "pings and pongs in turn": (
        [*subscribed("a", 5), ("ping_sent", 10), PONG, ("ping_sent", 20), PONG],
        {"a": 20},
    ),
    "a pong that nobody asked for": ([*subscribed("a", 5), PONG], {"a": 5}),
    "a pong that nobody asked for is no answer to a later ping": (
        [*subscribed("a", 5), PONG, PONG, ("ping_sent", 10)],
        {"a": 5},
    ),
    "one pong too many takes nothing back": (
        [*subscribed("a", 5), ("ping_sent", 10), PONG, PONG],
        {"a": 10},
    ),
    "a pong too many is no answer to a later ping": (
        [*subscribed("a", 5), ("ping_sent", 10), PONG, PONG, ("ping_sent", 20)],
        {"a": 10},
    ),
    "a ping before the channel was asked for": (
        [("ping_sent", 3), *subscribed("a", 5), PONG],
        {"a": 5},
    ),
    "one pong vouches for all channels": (
        [*subscribed("a", 5), *subscribed("b", 6), ("ping_sent", 10), PONG],
        {"a": 10, "b": 10},
    ),
    "a channel that came after the pong": (
        [*subscribed("a", 5), ("ping_sent", 10), PONG, *subscribed("b", 15)],
        {"a": 10, "b": 15},
    ),
    "an audit without an answer": (
        [*subscribed("a", 5), ("channel_asked", "a", 50)],
        {"a": 5},
    ),
    "an audit that was answered: since it began": (
        [*subscribed("a", 5), *subscribed("a", 50)],
        {"a": 50},
    ),
    "an audit of one is not one of another": (
        [*subscribed("a", 5), *subscribed("b", 6), *subscribed("a", 50)],
        {"a": 50, "b": 6},
    ),
    "an audit, then a pong": (
        [*subscribed("a", 5), *subscribed("a", 50), ("ping_sent", 60), PONG],
        {"a": 60},
    ),
    "a pong, then an audit": (
        [*subscribed("a", 5), ("ping_sent", 40), PONG, *subscribed("a", 50)],
        {"a": 50},
    ),
    "a pong for a ping before the audit": (
        [*subscribed("a", 5), ("ping_sent", 40), *subscribed("a", 50), PONG],
        {"a": 50},
    ),
    "a channel that was forgotten": (
        [*subscribed("a", 5), *subscribed("b", 6), ("channel_asked", "a", 50), ("forget", "a")],
        {"b": 6},
    ),
    "no pong vouches for a channel that was forgotten": (
        [*subscribed("a", 5), ("forget", "a"), ("ping_sent", 60), PONG],
        {},
    ),
    "forgotten and asked for again": (
        [*subscribed("a", 5), ("forget", "a"), ("channel_asked", "a", 60)],
        {},
    ),
    "forgotten and confirmed again": (
        [*subscribed("a", 5), ("forget", "a"), *subscribed("a", 60)],
        {"a": 60},
    ),
}


@pytest.mark.parametrize(("steps", "covered"), PROVED.values(), ids=PROVED)
def test_what_is_proved(steps: list[Step], covered: dict[str, int]) -> None:
    assert proof_after(*steps).covered_until() == covered


@pytest.mark.parametrize(
    ("steps", "confirmed"),
    [
        pytest.param(subscribed("a", 5), 5, id="never audited"),
        pytest.param([*subscribed("a", 5), ("channel_asked", "a", 50)], 5, id="at the audit"),
        pytest.param([*subscribed("a", 5), *subscribed("a", 50)], 50, id="audited before"),
        pytest.param(
            [*subscribed("a", 5), ("ping_sent", 10), PONG], 5, id="a pong proves the link alone"
        ),
        pytest.param([*subscribed("a", 5), *subscribed("b", 50)], 5, id="another is no proof"),
    ],
)
def test_a_channel_was_last_known_when_it_was_confirmed(steps: list[Step], confirmed: int) -> None:
    assert proof_after(*steps).forget("a") == confirmed


def test_asking_proves_nothing_by_being_asked() -> None:
    proof = proof_after(*subscribed("a", 5))
    assert proof.covered_until() == proof.covered_until() == {"a": 5}


steps_of_a_link = st.lists(
    st.sampled_from(["ping_sent", "pong_came", "asked a", "confirmed a", "asked b", "confirmed b"])
)


@given(steps_of_a_link)
def test_only_moments_of_answered_questions_count(names: list[str]) -> None:
    """A slow reckoning of the same: what was asked, what was answered, nothing in between."""
    proof, pings, answered = Proof(), list[int](), list[int]()
    asked, confirmed = dict[str, int](), dict[str, int]()
    for moment, name in enumerate(names, 1):
        kind, _, channel = name.partition(" ")
        if kind == "ping_sent":
            proof.ping_sent(moment)
            pings.append(moment)
        elif kind == "pong_came":
            proof.pong_came()
            if len(answered) < len(pings):
                answered.append(pings[len(answered)])
        elif kind == "asked":
            proof.channel_asked(channel, moment)
            asked[channel] = moment
        elif channel in asked:
            proof.channel_confirmed(channel)
            confirmed[channel] = asked[channel]
        last = max(answered, default=0)
        assert proof.covered_until() == {key: max(at, last) for key, at in confirmed.items()}
