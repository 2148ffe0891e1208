"""Doubles: what may come live and from history is shown once; what the server repeats is not."""

import random
from collections.abc import Iterable

import pytest
from msgspec.structs import replace

from chatapp_tail.chatapp import doubles as module
from chatapp_tail.chatapp.doubles import LONGEST, MOST, TWIN_WITHIN, Doubles
from chatapp_tail.chatapp.events import Record, Source

HOUR = 3600 * 10**9
LIVE, HISTORY = Source.LIVE, Source.BACKFILL
STATUSES = ("messageStatus", "chatTag", "chatConversation", "made-up")


def record(name: str, source: Source, at: int = 0, event: str = "message") -> Record:
    return Record(event, name, "c", 1, "telegram", at, source, None, 1, 1, b"{}")


def shows(doubles: Doubles, name: str, source: Source, at: int = 0) -> bool:
    return bool(doubles.without([record(name, source, at)]))


def test_what_came_live_does_not_come_again_from_history() -> None:
    doubles = Doubles()
    assert shows(doubles, "a", LIVE)
    assert not shows(doubles, "a", HISTORY)
    assert not shows(doubles, "a", HISTORY)


def test_what_came_from_history_comes_from_there_once() -> None:
    doubles = Doubles()
    assert shows(doubles, "a", HISTORY)
    assert not shows(doubles, "a", HISTORY)


def test_the_live_twin_of_a_message_from_history_is_dropped_once() -> None:
    doubles = Doubles()
    assert shows(doubles, "a", HISTORY)
    assert not shows(doubles, "a", LIVE)
    assert shows(doubles, "a", LIVE), "the server says it once more, as after an edit"
    assert shows(doubles, "a", LIVE)
    assert not shows(doubles, "a", HISTORY)
    assert shows(doubles, "a", LIVE)


def test_what_the_server_repeats_live_is_shown_every_time() -> None:
    doubles = Doubles()
    assert [shows(doubles, "a", LIVE) for _ in range(5)] == [True] * 5


def test_history_read_twice_does_not_eat_a_second_live_one() -> None:
    doubles = Doubles()
    assert shows(doubles, "a", HISTORY)
    assert not shows(doubles, "a", HISTORY)
    assert not shows(doubles, "a", LIVE)
    assert shows(doubles, "a", LIVE)


def test_history_after_live_does_not_eat_the_next_live_one() -> None:
    doubles = Doubles()
    assert shows(doubles, "a", LIVE)
    assert not shows(doubles, "a", HISTORY)
    assert shows(doubles, "a", LIVE)


def test_what_an_earlier_run_showed_does_not_come_from_history() -> None:
    doubles = Doubles(["a", "b"], now=5)
    assert not shows(doubles, "a", HISTORY, 6)
    assert shows(doubles, "c", HISTORY, 6)


def test_what_an_earlier_run_showed_and_the_server_says_again_is_shown() -> None:
    assert shows(Doubles(["a"], now=5), "a", LIVE, 6)


@pytest.mark.parametrize("event", STATUSES)
def test_only_messages_can_be_doubles(event: str) -> None:
    doubles = Doubles(["a"])
    each = [record("a", source, event=event) for source in (HISTORY, HISTORY, LIVE, LIVE)]
    assert doubles.without(each) == each
    assert shows(Doubles(), "a", HISTORY)


def test_the_items_of_one_event_are_judged_one_by_one_and_keep_their_order() -> None:
    doubles = Doubles(["b"])
    batch = [record(name, HISTORY) for name in "abcac"]
    assert [each.id for each in doubles.without(batch)] == ["a", "c"]


def test_records_come_back_as_they_are() -> None:
    each = record("a", HISTORY, 7)
    (shown,) = Doubles().without([each])
    assert shown is each


# --- bounds


def test_as_many_are_remembered_as_promised() -> None:
    doubles = Doubles()
    for number in range(MOST):
        shows(doubles, str(number), LIVE)
    assert not shows(doubles, "0", HISTORY)
    shows(doubles, "one more", LIVE)
    assert shows(doubles, "0", HISTORY)


def test_all_that_an_earlier_run_showed_is_remembered_however_much() -> None:
    shown = [str(number) for number in range(MOST + 500)]
    doubles = Doubles(shown, now=1)
    assert not shows(doubles, shown[0], HISTORY, 2)
    assert not shows(doubles, shown[-1], HISTORY, 2)


def test_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST", 100)
    doubles = Doubles()
    for number in range(1000):
        shows(doubles, f"live {number}", LIVE)
        shows(doubles, f"old {number}", HISTORY)
    assert len(doubles._shown) <= 100
    assert len(doubles._only_in_history) <= 100


def test_ids_are_remembered_for_a_day_and_no_longer() -> None:
    doubles = Doubles()
    shows(doubles, "a", LIVE, 0)
    shows(doubles, "later", LIVE, LONGEST)
    assert not shows(doubles, "a", HISTORY, LONGEST)
    shows(doubles, "later still", LIVE, LONGEST + 1)
    assert shows(doubles, "a", HISTORY, LONGEST + 1)


def test_ids_of_an_earlier_run_are_remembered_for_a_day_from_now() -> None:
    doubles = Doubles(["a", "b"], now=HOUR)
    assert not shows(doubles, "a", HISTORY, HOUR + LONGEST)
    assert shows(doubles, "x", LIVE, HOUR + LONGEST + 1)
    assert shows(doubles, "a", HISTORY, HOUR + LONGEST + 1)


def test_a_repeat_counts_as_shown_of_late(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST", 3)
    doubles = Doubles()
    for name in ("a", "b", "c", "a", "d"):
        shows(doubles, name, LIVE)
    assert not shows(doubles, "a", HISTORY), "shown a moment ago"
    assert shows(doubles, "b", HISTORY), "the one shown longest ago"


def test_a_repeat_does_not_keep_older_ones_from_being_forgotten() -> None:
    doubles = Doubles()
    shows(doubles, "a", LIVE, 0)
    for number in range(100):
        shows(doubles, str(number), LIVE, 1)
    shows(doubles, "a", LIVE, 23 * HOUR)
    shows(doubles, "z", LIVE, 25 * HOUR)
    assert len(doubles._shown) == 2


def test_a_twin_that_is_forgotten_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    """A double, never a loss."""
    monkeypatch.setattr(module, "MOST", 3)
    doubles = Doubles()
    for name in "abcd":
        assert shows(doubles, name, HISTORY)
    assert shows(doubles, "a", LIVE)


def test_a_clock_that_is_set_back_loses_nothing() -> None:
    doubles = Doubles(["a"], now=100 * HOUR)
    assert shows(doubles, "b", LIVE, 0)
    assert shows(doubles, "c", HISTORY, 0)
    assert not shows(doubles, "a", HISTORY, 0)
    assert not shows(doubles, "c", LIVE, 0)
    assert shows(doubles, "d", LIVE, 200 * HOUR)
    assert shows(doubles, "b", LIVE, 0)


# --- against a plain model


class Model:
    """The same said with lists, as slow as it likes.

    `shown` has (id, when, came live), the one shown longest ago first.
    """

    def __init__(self, shown: Iterable[str], now: int, most: int) -> None:
        self.shown = [(name, now, True) for name in shown]
        self.most = most + len(self.shown)

    def shows(self, name: str, source: Source, at: int) -> bool:
        known = [each for each in self.shown if each[0] == name and each[1] >= at - LONGEST]
        twin = any(not live for _, _, live in known)
        if known and (source is HISTORY or twin):
            # From history twice, or its twin: it is known to have come live from now on.
            self.shown = [
                (each, when, live or (each == name and source is LIVE))
                for each, when, live in self.shown
            ]
            return False
        self.shown = [each for each in self.shown if each[0] != name]
        self.shown.append((name, at, source is LIVE))
        self.shown = [each for each in self.shown if each[1] >= at - LONGEST][-self.most :]
        return True


@pytest.mark.parametrize("seed", range(40))
def test_as_the_model_does(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    chance = random.Random(seed)
    most = chance.choice((1, 2, 5, 20))
    monkeypatch.setattr(module, "MOST", most)
    names = [str(number) for number in range(chance.choice((3, 10, 40)))]
    earlier = names[: chance.choice((0, 2, 8))]
    doubles, model = Doubles(earlier, now=0), Model(earlier, 0, most)
    at = 0
    for step in range(600):
        at += chance.choice((0, 1, HOUR // 10, 3 * HOUR))
        name, source = chance.choice(names), chance.choice((LIVE, HISTORY))
        expected = model.shows(name, source, at)
        assert shows(doubles, name, source, at) == expected, (seed, step, name, source)


@pytest.mark.parametrize("seed", range(20))
def test_nothing_that_is_live_is_lost_but_one_twin_for_each_from_history(seed: int) -> None:
    chance = random.Random(seed)
    doubles = Doubles(["0", "1"])
    live, twins = 0, 0
    for at in range(500):
        name = str(chance.randrange(30))
        if chance.random() < 0.5:
            live += not shows(doubles, name, LIVE, at)
        else:
            twins += shows(doubles, name, HISTORY, at)
    assert live <= twins


def test_a_long_backlog_of_an_earlier_run_is_no_double_though_live_ones_come_first() -> None:
    earlier = [str(number) for number in range(MOST * 2)]
    doubles = Doubles(earlier, now=1)
    assert shows(doubles, "live", LIVE, 2)
    assert not any(shows(doubles, name, HISTORY, 3) for name in earlier)


def test_a_late_twin_is_known_by_its_bytes_and_an_edit_is_shown() -> None:
    doubles = Doubles()
    shows(doubles, "a", HISTORY, 0)
    shows(doubles, "b", HISTORY, 0)
    late = 60 * TWIN_WITHIN
    assert not shows(doubles, "a", LIVE, late)
    edited = replace(record("b", LIVE, late), data=b'"edited"')
    assert doubles.without([edited]) == [edited]
