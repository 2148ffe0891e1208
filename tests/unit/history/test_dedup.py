"""Doubles: what may come live and from history is shown once; what the server repeats is not."""

import json
import random
from collections.abc import Iterable
from math import inf
from typing import Any

import pytest

from chatapp_tail.chatapp.records import Record, Source
from chatapp_tail.history import dedup as module
from chatapp_tail.history.dedup import CAPACITY, Deduplicator, content_hash
from tests.factories import record

HOUR = 3600 * 10**9
CONTENT_HASH = 7196660447248860338
LIVE, HISTORY = Source.LIVE, Source.BACKFILL
STATUSES = ("messageStatus", "chatTag", "chatConversation", "made-up")


def message(name: str, source: Source, at: int = 0, **members: Any) -> Record:
    return record(id=name, source=source, received=at, **({"data": b"{}"} | members))


def shows(deduplicator: Deduplicator, name: str, source: Source, at: int = 0) -> bool:
    return bool(deduplicator.drop_duplicates([message(name, source, at)]))


SHOWN = {
    "what came live does not come again from history": "Lhh",
    "what came from history comes from there once": "Hh",
    "one live copy of a message from history is a double, another, as of an edit, is not": "HlLLhL",
    "what the server repeats live is shown every time": "LLLLL",
    "history read twice does not eat a second live one": "HhlL",
    "history after live does not eat the next live one": "LhL",
}
"""Copies of one message as they come, (l)ive or from (h)istory; those in upper case are shown."""


@pytest.mark.parametrize("copies", SHOWN.values(), ids=SHOWN)
def test_which_of_several_copies_are_shown(copies: str) -> None:
    deduplicator = Deduplicator()
    for copy in copies:
        source = LIVE if copy in "lL" else HISTORY
        assert shows(deduplicator, "a", source) is copy.isupper()


def test_what_an_earlier_run_showed_does_not_come_from_history() -> None:
    deduplicator = Deduplicator(["a", "b"], now=5)
    assert not shows(deduplicator, "a", HISTORY, 6)
    assert shows(deduplicator, "c", HISTORY, 6)


def test_what_an_earlier_run_showed_and_the_server_says_again_is_shown() -> None:
    assert shows(Deduplicator(["a"], now=5), "a", LIVE, 6)


def test_the_live_copy_of_what_an_earlier_run_read_from_history_is_a_double() -> None:
    """It waits in the journal behind the gap, whose messages that run delivered and no more."""
    content = content_hash(b"{}")
    assert content is not None
    deduplicator = Deduplicator(["a", "b"], {"a": content, "b": content + 1})
    assert not shows(deduplicator, "a", HISTORY)
    assert not shows(deduplicator, "a", LIVE)
    assert shows(deduplicator, "a", LIVE), "once"
    assert shows(deduplicator, "b", LIVE), "it was edited"


def test_the_content_hash_is_the_same_in_every_process() -> None:
    assert content_hash(b'{"type":"text","message":{"text":"x"}}') == CONTENT_HASH
    assert content_hash(b"no JSON") is None


@pytest.mark.parametrize("event", STATUSES)
def test_only_messages_can_be_doubles(event: str) -> None:
    deduplicator = Deduplicator(["a"])
    each = [message("a", source, event=event) for source in (HISTORY, HISTORY, LIVE, LIVE)]
    assert deduplicator.drop_duplicates(each) == each
    assert shows(Deduplicator(), "a", HISTORY)


def test_the_items_of_one_event_are_judged_one_by_one_and_keep_their_order() -> None:
    deduplicator = Deduplicator(["b"])
    batch = [message(name, HISTORY) for name in "abcac"]
    assert [each.id for each in deduplicator.drop_duplicates(batch)] == ["a", "c"]


def test_records_come_back_as_they_are() -> None:
    each = message("a", HISTORY, 7)
    (shown,) = Deduplicator().drop_duplicates([each])
    assert shown is each


# --- edits


def item(text: str, **members: object) -> dict[str, object]:
    return {"id": 1, "type": "text", "message": {"text": text, **members}}


def file(link: str, name: str | None = "a.jpg") -> dict[str, object]:
    return {"link": link, "name": name, "contentType": "image/jpeg"}


def is_double(history: object, live: object) -> bool:
    """Whether the live one of two is dropped, the other one having come from history."""
    deduplicator = Deduplicator()
    first, second = (
        message("a", source, data=json.dumps(said).encode())
        for source, said in ((HISTORY, history), (LIVE, live))
    )
    assert deduplicator.drop_duplicates([first]) == [first]
    shown = deduplicator.drop_duplicates([second])
    assert deduplicator.drop_duplicates([second]) == [second], "it has come live now"
    return not shown


LINK = "https://example.invalid/a.jpg"
ALIKE: dict[str, tuple[object, object]] = {
    "the same": (item("a"), item("a")),
    "without a usual message": ({"id": 1, "x": 1}, {"id": 1, "x": 1}),
    "other members around it": (item("a"), item("a") | {"side": "in", "chat": {"image": LINK}}),
    "null, empty and absent": (item("a", caption="", file=None), item("a", files=[])),
    "members in another order": (
        {"type": "text", "message": {"text": "a", "caption": "b"}},
        {"message": {"caption": "b", "text": "a"}, "type": "text"},
    ),
    "a link signed again": (
        item("", file=file(LINK + "?signature=1")),
        item("", file=file(LINK + "?signature=2")),
    ),
    "links of several files": (
        item("", files=[file(LINK + "?a"), file(LINK + "?b")]),
        item("", files=[file(LINK + "?c"), file(LINK)]),
    ),
}
DIFFERENT: dict[str, tuple[object, object]] = {
    "text": (item("a"), item("b")),
    "text that was added": (item(""), item("b")),
    "text that is a link": (item(LINK + "?1"), item(LINK + "?2")),
    "caption": (item("", caption="a"), item("", caption="b")),
    "type": (item("a"), item("a") | {"type": "system"}),
    "the name of a file": (item("", file=file(LINK)), item("", file=file(LINK, "b.jpg"))),
    "another file": (item("", file=file(LINK, None)), item("", file=file(LINK + "2", None))),
    "a file that was added": (item("a"), item("a", file=file(LINK))),
    "what nobody knows": (item("a", poll=[1, 2]), item("a", poll=[2, 1])),
    "what says nothing a person would read": (
        item("") | {"location": [1, 2]},
        item("") | {"location": [3, 4]},
    ),
    "no message at all": ({"id": 1, "x": 1}, {"id": 1, "x": 2}),
    "no object": ([1], [2]),
    "a message that is gone": (item("a"), {"id": 1, "type": "text", "message": None}),
}


@pytest.mark.parametrize(("history", "live"), ALIKE.values(), ids=ALIKE.keys())
def test_what_says_the_same_is_a_double(history: object, live: object) -> None:
    assert is_double(history, live)


@pytest.mark.defect("A.14", "A2.11")
@pytest.mark.parametrize(("history", "live"), DIFFERENT.values(), ids=DIFFERENT.keys())
def test_an_edit_is_shown_however_soon_it_comes(history: object, live: object) -> None:
    assert not is_double(history, live)


@pytest.mark.parametrize("data", [b'"\xff"', b"[" * 100_000, b"{", b"1" * 5000, b"NaN"])
def test_data_of_any_kind_is_compared_by_its_bytes(data: bytes) -> None:
    deduplicator = Deduplicator()
    assert deduplicator.drop_duplicates([message("a", HISTORY, data=data)])
    assert not deduplicator.drop_duplicates([message("a", LIVE, data=data)])
    assert deduplicator.drop_duplicates([message("b", HISTORY, data=data)])
    assert deduplicator.drop_duplicates([message("b", LIVE)])


def test_a_live_one_is_a_double_however_late_it_comes() -> None:
    deduplicator = Deduplicator()
    shows(deduplicator, "a", HISTORY, 0)
    assert not shows(deduplicator, "a", LIVE, 1000 * HOUR)


# --- bounds


@pytest.mark.parametrize("source", [LIVE, HISTORY])
def test_as_many_are_remembered_as_promised(source: Source) -> None:
    deduplicator = Deduplicator()
    for number in range(CAPACITY):
        shows(deduplicator, str(number), source)
    assert not shows(deduplicator, "0", HISTORY)
    shows(deduplicator, "one more", source)
    assert shows(deduplicator, "0", HISTORY)


def test_all_that_an_earlier_run_showed_is_remembered_however_much() -> None:
    shown = [str(number) for number in range(CAPACITY + 500)]
    deduplicator = Deduplicator(shown, now=1)
    assert not shows(deduplicator, shown[0], HISTORY, 2)
    assert not shows(deduplicator, shown[-1], HISTORY, 2)


def test_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "CAPACITY", 100)
    deduplicator = Deduplicator()
    for number in range(1000):
        shows(deduplicator, f"live {number}", LIVE)
        shows(deduplicator, f"old {number}", HISTORY)
    assert len(deduplicator._live) <= 100
    assert len(deduplicator._from_history) <= 100


@pytest.mark.defect("A.20")
def test_ids_are_remembered_however_long_the_outage_was() -> None:
    deduplicator = Deduplicator(["earlier"], now=0)
    shows(deduplicator, "a", LIVE, 0)
    assert not shows(deduplicator, "a", HISTORY, 100 * 24 * HOUR)
    assert not shows(deduplicator, "earlier", HISTORY, 100 * 24 * HOUR)


@pytest.mark.defect("A.20")
@pytest.mark.parametrize("source", [LIVE, HISTORY])
def test_what_the_overlap_of_an_open_gap_may_hold_is_remembered_however_much_comes(
    source: Source,
) -> None:
    deduplicator = Deduplicator(keep_since=lambda: 10)
    for at in (9, 10, 11):
        shows(deduplicator, str(at), LIVE, at)
    for number in range(2 * CAPACITY):
        shows(deduplicator, f"more {number}", source, 20)
    assert not shows(deduplicator, "10", HISTORY, 30)
    assert not shows(deduplicator, "11", HISTORY, 30)


def test_what_is_older_than_the_overlap_is_forgotten_meanwhile() -> None:
    deduplicator = Deduplicator(keep_since=lambda: 10)
    shows(deduplicator, "old", LIVE, 9)
    for number in range(CAPACITY + 1):
        shows(deduplicator, str(number), LIVE, 20)
    assert shows(deduplicator, "old", HISTORY, 30)


def test_memory_is_bounded_once_the_gap_is_filled() -> None:
    floor = 0.0
    deduplicator = Deduplicator(keep_since=lambda: floor)
    for number in range(3 * CAPACITY):
        shows(deduplicator, str(number), LIVE, 20)
    assert len(deduplicator._live) == 3 * CAPACITY
    floor = inf
    for number in range(CAPACITY):
        shows(deduplicator, f"later {number}", LIVE, 20)
    assert len(deduplicator._live) <= CAPACITY


def test_a_repeat_counts_as_shown_of_late(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "CAPACITY", 3)
    deduplicator = Deduplicator()
    for name in ("a", "b", "c", "a", "d"):
        shows(deduplicator, name, LIVE)
    assert not shows(deduplicator, "a", HISTORY), "shown a moment ago"
    assert shows(deduplicator, "b", HISTORY), "the one shown longest ago"


def test_a_twin_that_is_forgotten_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    """A double, never a loss."""
    monkeypatch.setattr(module, "CAPACITY", 3)
    deduplicator = Deduplicator()
    for name in "abcd":
        assert shows(deduplicator, name, HISTORY)
    assert shows(deduplicator, "a", LIVE)


def test_a_clock_that_is_set_back_loses_nothing() -> None:
    deduplicator = Deduplicator(["a"], now=100 * HOUR)
    assert shows(deduplicator, "b", LIVE, 0)
    assert shows(deduplicator, "c", HISTORY, 0)
    assert not shows(deduplicator, "a", HISTORY, 0)
    assert not shows(deduplicator, "c", LIVE, 0)
    assert shows(deduplicator, "d", LIVE, 200 * HOUR)
    assert shows(deduplicator, "b", LIVE, 0)


# --- against a plain model


class Model:
    """The same said with lists, as slow as it likes; the one shown longest ago stands first."""

    def __init__(self, shown: Iterable[str], most: int) -> None:
        self.live = list(shown)
        self.history: list[str] = []
        self.most, self.most_live = most, most + len(self.live)

    def shows(self, name: str, source: Source) -> bool:
        if source is HISTORY:
            known = name in self.live + self.history
            self.history = [*self.history, *[name] * (not known)][-self.most :]
            return not known
        twin = name in self.history
        self.history = [each for each in self.history if each != name]
        self.live = [*(each for each in self.live if each != name), name][-self.most_live :]
        return not twin


@pytest.mark.parametrize("seed", range(40))
def test_as_the_model_does(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    chance = random.Random(seed)
    most = chance.choice((1, 2, 5, 20))
    monkeypatch.setattr(module, "CAPACITY", most)
    names = [str(number) for number in range(chance.choice((3, 10, 40)))]
    earlier = names[: chance.choice((0, 2, 8))]
    deduplicator, model = Deduplicator(earlier, now=0), Model(earlier, most)
    for at in range(600):
        name, source = chance.choice(names), chance.choice((LIVE, HISTORY))
        expected = model.shows(name, source)
        assert shows(deduplicator, name, source, at) == expected, (seed, at, name, source)


@pytest.mark.parametrize("seed", range(20))
def test_nothing_that_is_live_is_lost_but_one_twin_for_each_from_history(seed: int) -> None:
    """At most one live message is dropped per message from history."""
    chance = random.Random(seed)
    deduplicator = Deduplicator(["0", "1"])
    live, twins = 0, 0
    for at in range(500):
        name = str(chance.randrange(30))
        if chance.random() < 0.5:
            live += not shows(deduplicator, name, LIVE, at)
        else:
            twins += shows(deduplicator, name, HISTORY, at)
    assert live <= twins


def test_a_long_backlog_of_an_earlier_run_is_no_double_though_live_ones_come_first() -> None:
    earlier = [str(number) for number in range(CAPACITY * 2)]
    deduplicator = Deduplicator(earlier, now=1)
    assert shows(deduplicator, "live", LIVE, 2)
    assert not any(shows(deduplicator, name, HISTORY, 3) for name in earlier)
