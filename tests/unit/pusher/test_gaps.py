"""Which spans of time no channel was known to be covered in."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatapp_tail.items import Gap
from chatapp_tail.pusher.gaps import GapTracker, Loss, WatermarkTracker
from chatapp_tail.pusher.moments import Moment

HOUR = 3600 * 10**9


def at(time: int) -> Moment:
    """A moment by clocks that agree."""
    return Moment(time, time)


def lost(since: int, reason: str = "no answer", proved: int | None = None) -> Loss:
    return Loss(at(since), reason, None if proved is None else at(proved))


def test_the_first_confirmation_closes_nothing() -> None:
    assert GapTracker().close("a", at(5)) is None


def test_a_loss_and_a_confirmation_make_a_gap() -> None:
    gap_tracker = GapTracker()
    gap_tracker.open("a", lost(10, "no answer"))
    assert gap_tracker.close("a", at(25)) == Gap("a", 10, 25, "no answer")


def test_a_gap_is_said_once() -> None:
    gap_tracker = GapTracker()
    gap_tracker.open("a", lost(10, "no answer"))
    gap_tracker.close("a", at(25))
    assert gap_tracker.close("a", at(30)) is None


def test_a_second_loss_before_the_confirmation_leaves_the_older_hole_open() -> None:
    gap_tracker = GapTracker()
    gap_tracker.open("a", lost(10, "first"))
    gap_tracker.open("a", lost(20, "second"))
    assert gap_tracker.close("a", at(30)) == Gap("a", 10, 30, "first")


def test_channels_have_holes_of_their_own() -> None:
    gap_tracker = GapTracker()
    gap_tracker.open("a", lost(10, "first"))
    gap_tracker.open("b", lost(12, "first"))
    assert gap_tracker.close("b", at(15)) == Gap("b", 12, 15, "first")
    gap_tracker.open("b", lost(20, "second"))
    assert gap_tracker.close("c", at(21)) is None
    assert gap_tracker.close("b", at(25)) == Gap("b", 20, 25, "second")
    assert gap_tracker.close("a", at(30)) == Gap("a", 10, 30, "first")


@pytest.mark.defect("A.6")
def test_history_is_read_from_where_the_subscription_was_proved() -> None:
    gap_tracker = GapTracker()
    gap_tracker.open("a", lost(20, "no answer", proved=5))
    gap_tracker.open("b", lost(20, "no answer", proved=20))
    assert gap_tracker.close("a", at(30)) == Gap("a", 20, 30, "no answer", read_from=5)
    assert gap_tracker.close("b", at(30)) == Gap("b", 20, 30, "no answer")


CLOCKS: dict[str, tuple[Moment, Moment, int, int | None]] = {
    "in step": (Moment(100, 10), Moment(150, 60), 100, None),
    "set back": (Moment(100, 10), Moment(50, 60), 0, None),
    "set back by hours": (Moment(9 * HOUR, 0), Moment(HOUR, 60), HOUR - 60, None),
    "set forward": (Moment(100, 10), Moment(250, 60), 200, 100),
    "corrected forward by years": (Moment(0, 0), Moment(10**6 * HOUR, 5), 10**6 * HOUR - 5, None),
    "of another run": (Moment(100), Moment(150, 60), 100, None),
    "of another run, whose clock was ahead": (Moment(900), Moment(150, 60), 150, None),
    "a clock that stands still": (Moment(100, 60), Moment(100, 60), 100, None),
}
"""When the gap began and ended by both clocks; where it is said to begin, and is read from."""


@pytest.mark.defect("A.10", "A2.2a")
@pytest.mark.parametrize(("since", "end", "said", "read_from"), CLOCKS.values(), ids=CLOCKS)
def test_a_clock_that_is_set_makes_no_empty_gap(
    since: Moment, end: Moment, said: int, read_from: int | None
) -> None:
    gap_tracker = GapTracker()
    gap_tracker.open("a", Loss(since, "no answer"))
    gap = gap_tracker.close("a", end)
    assert gap is not None
    assert (gap.since, gap.until) == (said, end.wall)
    assert gap.since <= gap.until
    earliest = gap.since if gap.read_from is None else gap.read_from
    if read_from is not None:
        assert earliest == read_from
    else:
        assert said - HOUR <= earliest <= said


@pytest.mark.defect("A.10", "A2.2a")
def test_a_later_proof_is_later_though_the_clock_was_set_back() -> None:
    proof = WatermarkTracker()
    proof.channel_asked("a", Moment(500, 10))
    proof.channel_confirmed("a")
    proof.ping_sent(Moment(100, 20))
    assert proof.pong_came()
    assert proof.covered_until(Moment(110, 30)) == {"a": 100}
    assert proof.losses("made up")["a"].until("a", Moment(110, 30)).since == 100


def test_the_end_closes_what_is_still_open_and_only_that() -> None:
    gap_tracker = GapTracker()
    gap_tracker.open("a", lost(10, "first"))
    gap_tracker.open("b", lost(20, "second"))
    gap_tracker.open("c", lost(25, "third"))
    gap_tracker.close("b", at(30))
    expected = [Gap("a", 10, 40, "first", final=True), Gap("c", 25, 40, "third", final=True)]
    assert gap_tracker.close_all(at(40)) == expected


def test_the_end_comes_once() -> None:
    gap_tracker = GapTracker()
    gap_tracker.open("a", lost(10, "first"))
    gap_tracker.close_all(at(40))
    assert gap_tracker.close_all(at(50)) == []
    assert gap_tracker.close("a", at(60)) is None


def test_without_a_hole_the_end_says_nothing() -> None:
    assert GapTracker().close_all(at(40)) == []


def proof_after(steps: str) -> WatermarkTracker:
    """Let a proof take steps as `ask a 5, confirm a, ping 7`: what, which channel, when."""
    proof = WatermarkTracker()
    for step in filter(None, steps.split(", ")):
        match step.split():
            case ["join", channel, moment]:
                proof.channel_asked(channel, at(int(moment)))
                proof.channel_confirmed(channel)
            case ["ask", channel, moment]:
                proof.channel_asked(channel, at(int(moment)))
            case ["confirm", channel]:
                proof.channel_confirmed(channel)
            case ["deny", channel]:
                proof.channel_denied(channel)
            case ["forget", channel]:
                proof.forget(channel, "made up")
            case ["ping", moment]:
                proof.ping_sent(at(int(moment)))
            case ["pong"]:
                proof.pong_came()
            case _:
                raise ValueError(step)
    return proof


def covered(proof: WatermarkTracker) -> dict[str, int]:
    return proof.covered_until(at(1000))


PROVED: dict[str, tuple[str, dict[str, int]]] = {
    "nothing": ("", {}),
    "a channel asked for is not covered yet": ("ask a 5", {}),
    "a ping proves nothing of no channel": ("ping 5, pong", {}),
    "confirmed: since it was asked for": ("join a 5", {"a": 5}),
    "a ping without an answer": ("join a 5, ping 10", {"a": 5}),
    "a pong: the moment of its ping": ("join a 5, ping 10, pong", {"a": 10}),
    "a pong of several pings: the oldest": ("join a 5, ping 10, ping 20, pong", {"a": 10}),
    "a pong for each: the latest": ("join a 5, ping 10, ping 20, pong, pong", {"a": 20}),
    "pings and pongs in turn": ("join a 5, ping 10, pong, ping 20, pong", {"a": 20}),
    "a pong that nobody asked for": ("join a 5, pong", {"a": 5}),
    "nor is it an answer to a later ping": ("join a 5, pong, pong, ping 10", {"a": 5}),
    "one pong too many takes nothing back": ("join a 5, ping 10, pong, pong", {"a": 10}),
    "nor answers a later ping": ("join a 5, ping 10, pong, pong, ping 20", {"a": 10}),
    "a ping before the channel was asked for": ("ping 3, join a 5, pong", {"a": 5}),
    "one pong vouches for all channels": ("join a 5, join b 6, ping 10, pong", {"a": 10, "b": 10}),
    "a channel that came after the pong": (
        "join a 5, ping 10, pong, join b 15",
        {"a": 10, "b": 15},
    ),
    "a recheck without an answer": ("join a 5, ask a 50", {"a": 5}),
    "a recheck that was answered: since it began": ("join a 5, join a 50", {"a": 50}),
    "a recheck of one is not one of another": ("join a 5, join b 6, join a 50", {"a": 50, "b": 6}),
    "a recheck, then a pong": ("join a 5, join a 50, ping 60, pong", {"a": 60}),
    "a pong, then a recheck": ("join a 5, ping 40, pong, join a 50", {"a": 50}),
    "a pong for a ping before the recheck": ("join a 5, ping 40, join a 50, pong", {"a": 50}),
    "a channel that was forgotten": ("join a 5, join b 6, ask a 50, forget a", {"b": 6}),
    "no pong vouches for a forgotten channel": ("join a 5, forget a, ping 60, pong", {}),
    "the request was repeated: since the first": ("ask a 5, ask a 15, confirm a", {"a": 5}),
    "a recheck whose answer came after the channel was asked for again": (
        "join a 5, ask a 50, forget a, ask a 60, confirm a",
        {"a": 50},
    ),
    "a request that was turned down is not the one that was granted": (
        "ask a 5, deny a, join a 15",
        {"a": 15},
    ),
    "turned down without having been asked": ("deny a, join a 5", {"a": 5}),
    "a second answer to one request": ("join a 5, confirm a, confirm a", {"a": 5}),
    "forgotten and asked for again": ("join a 5, forget a, ask a 60", {}),
    "forgotten and confirmed again": ("join a 5, forget a, join a 60", {"a": 60}),
}


@pytest.mark.defect("A.29g")
@pytest.mark.parametrize(("steps", "until"), PROVED.values(), ids=PROVED)
def test_what_is_proved(steps: str, until: dict[str, int]) -> None:
    assert covered(proof_after(steps)) == until


CONFIRMED: dict[str, tuple[str, int]] = {
    "never rechecked": ("join a 5", 5),
    "at the recheck": ("join a 5, ask a 50", 5),
    "rechecked before": ("join a 5, join a 50", 50),
    "a pong proves the link alone": ("join a 5, ping 10, pong", 5),
    "another is no proof": ("join a 5, join b 50", 5),
}


@pytest.mark.parametrize(("steps", "confirmed"), CONFIRMED.values(), ids=CONFIRMED)
def test_a_channel_was_last_known_when_it_was_confirmed(steps: str, confirmed: int) -> None:
    expected = lost(confirmed, "made up", proved=confirmed)
    assert proof_after(steps).forget("a", "made up") == expected


def test_asking_proves_nothing_by_being_asked() -> None:
    proof = proof_after("join a 5")
    assert covered(proof) == covered(proof) == {"a": 5}


steps_of_a_link = st.lists(
    st.sampled_from(["ping_sent", "pong_came", "asked a", "confirmed a", "asked b", "confirmed b"])
)


@given(steps_of_a_link)
def test_only_moments_of_answered_questions_count(names: list[str]) -> None:
    """A slow reckoning of the same: what was asked, what was answered, nothing in between."""
    proof, pings, answered = WatermarkTracker(), list[int](), list[int]()
    asked, confirmed = dict[str, list[int]](), dict[str, int]()
    for moment, name in enumerate(names, 1):
        kind, _, channel = name.partition(" ")
        if kind == "ping_sent":
            proof.ping_sent(at(moment))
            pings.append(moment)
        elif kind == "pong_came":
            proof.pong_came()
            if len(answered) < len(pings):
                answered.append(pings[len(answered)])
        elif kind == "asked":
            proof.channel_asked(channel, at(moment))
            asked.setdefault(channel, []).append(moment)
        else:
            proof.channel_confirmed(channel)
            confirmed |= {channel: asked.pop(channel)[0]} if channel in asked else {}
        last = max(answered, default=0)
        assert covered(proof) == {key: max(since, last) for key, since in confirmed.items()}
