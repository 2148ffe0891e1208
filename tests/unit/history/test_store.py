"""What one run has read the next one need not; a file that is no use costs a second reading."""

import json
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from pathlib import Path

import pytest

from chatapp_tail.chatapp.http import Response
from chatapp_tail.history.answers import Item
from chatapp_tail.history.reader import Message, MessengerRef, TimeRange
from chatapp_tail.history.requests import Ask
from chatapp_tail.history.store import HistoryStore, Progress
from tests.unit.history.history_service import Choices, World

TELEGRAM, WHATSAPP = MessengerRef(1229, "telegram"), MessengerRef(1229, "grWhatsApp")
T = 1_700_000_000
PROGRESS = Progress(T, T + 5.5, T + 3, T + 1.25, {"nextPage": "x"})


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "default.history"


def item(number: int, time: int | None = None, text: bytes = b"") -> Item:
    return Item(str(number).encode(), time, number, b'{"id":%d}' % number + text)


def add(
    store: HistoryStore, *items: Item, ref: MessengerRef = TELEGRAM, leg: int = 1
) -> list[bool]:
    new = store.add(ref, "a", items, [each.time or T for each in items], leg)
    store.note(ref, "a", PROGRESS)
    return new


def numbers(messages: Iterator[Message]) -> list[int]:
    return [each.number for each in messages]


# --- the store


@pytest.mark.parametrize("kept", [False, True])
def test_messages_come_out_once_in_the_order_of_their_time(kept: bool, path: Path) -> None:
    with closing(HistoryStore(path if kept else None)) as store:
        store.begin(TELEGRAM, T)
        assert add(store, item(3, T + 2), item(1, T + 1), item(2, T + 1)) == [True] * 3
        assert numbers(store.take(T + 2)) == [1, 2]
        assert add(store, item(2, T + 1), item(0, T)) == [False, True]
        assert numbers(store.take(T + 9)) == [0, 3]
        assert numbers(store.take(T + 9)) == []


def test_a_message_that_is_read_once_more_is_as_it_was_last(path: Path) -> None:
    with closing(HistoryStore(path)) as store:
        add(store, item(1))
        assert add(store, item(1, text=b" edited"), leg=2) == [True]
        assert [each.item for each in store.take(T + 9)] == [b'{"id":1} edited']


def test_the_next_opening_finds_all_of_it_and_hands_it_out_once_more(path: Path) -> None:
    """Who took it may have ended before it was written."""
    with closing(HistoryStore(path)) as store:
        add(store, item(1), item(2, T + 1))
        assert numbers(store.take(T + 1)) == [1]
    with closing(HistoryStore(path)) as store:
        assert numbers(store.take(T + 9)) == []
        assert store.begin(TELEGRAM, T) == {"a": PROGRESS}
        assert numbers(store.take(T + 9)) == [1, 2]
    assert path.stat().st_mode & 0o077 == 0


def test_what_no_gap_waits_for_any_more_is_dropped(path: Path) -> None:
    done = Progress(T, T, T, T, {})
    with closing(HistoryStore(path)) as store:
        add(store, item(1), item(2, T + 5))
        store.note(TELEGRAM, "old", done)
        assert store.begin(TELEGRAM, T + 1) == {"a": PROGRESS}
        assert numbers(store.take(T + 9)) == [2]


def test_other_lines_wait_for_their_own_gap(path: Path) -> None:
    with closing(HistoryStore(path)) as store:
        add(store, item(1))
        add(store, item(2), ref=WHATSAPP)
    with closing(HistoryStore(path)) as store:
        store.begin(WHATSAPP, T)
        assert numbers(store.take(T + 9)) == [2]


def damage(path: Path) -> None:
    with closing(HistoryStore(path)) as store:
        add(store, *(item(number, text=b"x" * 1000) for number in range(50)))
    content = bytearray(path.read_bytes())
    content[4096:20000] = b"\xff" * (20000 - 4096)
    path.write_bytes(content)


def foreign(path: Path) -> None:
    with closing(sqlite3.connect(path)) as database:
        database.execute("CREATE TABLE message (id TEXT)")
        database.commit()


def odd_row(path: Path) -> None:
    with closing(HistoryStore(path)) as store:
        add(store, item(1))
    with closing(sqlite3.connect(path)) as database:
        database.execute("UPDATE chat SET state = NULL")
        database.execute("DELETE FROM message")
        database.commit()


UNUSABLE: dict[str, Callable[[Path], object]] = {
    "no database": lambda path: path.write_bytes(b"no database " * 1000),
    "empty": lambda path: path.write_bytes(b""),
    "damaged": damage,
    "foreign": foreign,
    "odd row": odd_row,
    "a directory": lambda path: path.mkdir(),
    "no place for it": lambda path: path.parent.chmod(0o500),
}


@pytest.mark.parametrize("make", UNUSABLE.values(), ids=UNUSABLE.keys())
def test_a_file_that_is_no_use_is_replaced(make: Callable[[Path], object], path: Path) -> None:
    make(path)
    with closing(HistoryStore(path)) as store:
        assert store.begin(TELEGRAM, T) == {}
        assert add(store, item(1)) == [True]
        assert numbers(store.take(T + 9)) == [1]


def test_a_file_that_is_locked_is_replaced(path: Path) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("CREATE TABLE x (y)")
        other.execute("BEGIN EXCLUSIVE")
        with closing(HistoryStore(path)) as store:
            add(store, item(1))
            assert numbers(store.take(T + 9)) == [1]


# --- reading in pieces


class RunEnds(BaseException):
    """The run is over in the middle of it."""


class Runs:
    """Reads a gap of one service run by run, each of which ends after so many requests."""

    def __init__(self, world: World, path: Path, since: int, *, requests: int) -> None:
        self.world = world
        self.path = path
        self.since = since
        self.left = self.each = requests
        self.asked: list[str] = []

    def ask(self, path: str, query: Mapping[str, str]) -> Response:
        if not self.left:
            raise RunEnds
        self.left -= 1
        if path.endswith("/messages"):
            self.asked.append(path)
        return self.world.ask(path, query)

    def run(self) -> list[tuple[str, object]] | None:
        """Return what came of a run that read all, None of one that ended before."""
        self.left = self.each
        history = self.world.history(self.path, self.ask)
        failures: list[object] = []
        wanted = [TimeRange(TELEGRAM, self.since)]
        try:
            found = list(history.messages(wanted, lambda *why: failures.append(why)))
        except RunEnds:
            return None
        assert failures == []
        items = [json.loads(each.item) for each in found]
        return [(each["chat"]["id"], each["id"]) for each in items]

    def run_until_done(self, *, most: int) -> list[tuple[str, object]]:
        """Return what came of the last of at most so many runs."""
        for _ in range(most):
            if (found := self.run()) is not None:
                return found
        raise AssertionError("it does not end")


def world_of(chats: int, each: int = 1) -> World:
    world = World(Choices())
    for number in range(chats):
        for message in range(each):
            world.say(f"c{number}", message, T - 1000 + number + message)
    world.say("old", 1, T - 10**6)
    return world


@pytest.mark.defect("A2.19b")
def test_a_backlog_is_worked_off_in_pieces(path: Path) -> None:
    """300 chats, in runs of 100 requests each; up to eight are under way when a run ends."""
    world = world_of(300)
    runs = Runs(world, path, T - 1000, requests=100)
    found = runs.run_until_done(most=6)
    assert sorted(found) == sorted((f"c{number}", 0) for number in range(300))
    # Those that were read within two seconds of the list are asked for once more.
    assert len(runs.asked) <= 300 + 5 * (8 + 20)


@pytest.mark.defect("A2.19b")
def test_a_chat_of_many_pages_is_worked_off_in_pieces(path: Path) -> None:
    world = world_of(1, each=2500)
    runs = Runs(world, path, T - 1000, requests=15)
    found = runs.run_until_done(most=4)
    assert found == [("c0", number) for number in range(2500)]
    assert len(runs.asked) <= 29


def test_what_moved_between_two_runs_is_read_again(path: Path) -> None:
    world = world_of(150)
    runs = Runs(world, path, T - 1000, requests=100)
    assert runs.run() is None
    for number in range(0, 150, 10):
        world.say(f"c{number}", "new", int(world.now))
    found = runs.run_until_done(most=3)
    assert len(found) == len(set(found)) == 165


def test_a_message_of_the_same_second_as_the_last_one_that_was_read_is_found(path: Path) -> None:
    """The list of chats does not show that it came."""
    world = World(Choices())
    world.say("old", 1, T - 10**6)
    world.say("a", 1, int(world.now))
    runs = Runs(world, path, T - 1000, requests=100)
    assert runs.run() == [("a", 1)]
    world.say("a", 2, int(T))
    assert runs.run() == [("a", 1), ("a", 2)]


def test_a_cursor_of_an_earlier_run_that_is_refused_begins_the_chat_again(path: Path) -> None:
    refused = 0

    def refuse(ask: Ask, path: str, query: Mapping[str, str]) -> Response:
        nonlocal refused
        reply = ask(path, query)
        if query.get("nextPage") and not refused:
            refused += 1
            why = b'{"message":"nextPage is invalid"}'
            return Response(422, why, {}, "GET / answered 422", None, True)
        return reply

    world = world_of(1, each=450)
    runs = Runs(world, path, T - 1000, requests=6)
    assert runs.run() is None
    world.intercept(refuse)
    runs.each = 100
    found = runs.run() or []
    assert refused == 1
    assert len(found) == len(set(found)) == 450
