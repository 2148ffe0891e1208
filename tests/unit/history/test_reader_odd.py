"""Services that answer in ways nobody has promised not to: what is lost of them is said."""

import json
import subprocess
import sys
from collections.abc import Mapping

import pytest

from chatapp_tail.chatapp.channels import of_license
from chatapp_tail.chatapp.http import Response
from chatapp_tail.errors import ApiError, CredentialsError
from chatapp_tail.history.answers import Chat, read_chat, read_message, read_seconds
from chatapp_tail.history.rate_limit import RateLimiter
from chatapp_tail.history.reader import History, MessengerRef, TimeRange
from chatapp_tail.history.requests import Ask
from chatapp_tail.items import ASKED, NOT_RUNNING, Gap
from tests.unit.history.history_service import Choices, Form, World

SECOND = 10**9
T = 1_700_000_000
TELEGRAM = MessengerRef(1229, "telegram")
CHANNEL = of_license(*TELEGRAM)
SINCE, UNTIL = T - 100, T - 10


def recovered(
    world: World,
    *,
    since: int = SINCE,
    until: int = UNTIL,
    began: int = 0,
    newest: int | None = None,
    reason: str = "the link was lost",
    read_from: int | None = None,
) -> tuple[list[object], Gap]:
    """Return the ids of what came of a gap, and the gap; moments are by the reader's clock."""
    start = None if read_from is None else read_from * SECOND
    gap = Gap(CHANNEL, since * SECOND, until * SECOND, reason, read_from=start)
    found, end = world.recover(gap, began * SECOND, newest)
    return [item["id"] for item in found], end


def world_of(chats: int, *, moved: int = -1, **choices: object) -> World:
    """So many chats, of which `moved` (all) have a message in the gap, one after the other."""
    world = World(Choices(**choices))  # type: ignore[arg-type]
    for number in range(chats):
        world.say(f"c{number}", f"old {number}", SINCE - 5000 - number)
        if moved < 0 or number < moved:
            world.say(f"c{number}", number, SINCE + number % (UNTIL - SINCE))
    world.say("oldest", "oldest", SINCE - 10**6)
    return world


# --- lists of chats


@pytest.mark.defect("A.4a", "A2.4")
@pytest.mark.parametrize("per_page", [7, 50, 99, 100])
@pytest.mark.parametrize("next_page", ["absent", "null", "cursor"])
def test_a_page_of_chats_that_is_short_is_not_the_last(per_page: int, next_page: str) -> None:
    """One that is hidden, or a server that gives fewer than were asked for."""
    found, end = recovered(world_of(230, chats_per_page=per_page, chats_next_page=next_page))
    assert (set(found), len(found), end.missing) == (set(range(230)), 230, None)


@pytest.mark.defect("A.4a", "A2.4")
def test_a_hidden_chat_on_a_page_ends_nothing() -> None:
    world = world_of(150)
    world.say("hidden", "x", UNTIL - 1)
    found, end = recovered(world)
    assert (len(found), end.missing) == (150, None)


@pytest.mark.defect("A.4b", "A2.4")
@pytest.mark.parametrize("form", ["milliseconds", "iso", "null", "absent"])
@pytest.mark.parametrize("next_page", ["absent", "cursor"])
def test_chats_without_a_time_that_can_be_read(form: Form, next_page: str) -> None:
    world = world_of(150, form_of_last_time=form, chats_next_page=next_page)
    found, end = recovered(world)
    if next_page == "cursor":
        assert (len(found), end.missing) == (150, None)
    else:
        assert end.missing == "the list of chats has no times to go on by"
        assert len(found) >= 99


@pytest.mark.parametrize("form", ["text", "fraction"])
def test_a_time_of_a_chat_may_be_written_in_several_ways(form: Form) -> None:
    found, end = recovered(world_of(150, form_of_last_time=form))
    assert (len(found), end.missing) == (150, None)


def test_one_chat_without_a_time_on_a_page_is_read_and_ends_nothing() -> None:
    world = world_of(150)
    for name in ("odd", "odd.", "odd..", "odd..."):
        world.say(name, name, UNTIL - 1)
    found, end = recovered(world)
    assert (len(found), end.missing) == (154, None)


@pytest.mark.defect("A.4c", "A2.4")
@pytest.mark.parametrize("at_end", [False, True])
@pytest.mark.parametrize("pinned", [1, 5])
def test_pinned_chats_neither_end_a_list_nor_keep_it_from_ending(at_end: bool, pinned: int) -> None:
    world = world_of(250, pinned_at_end=at_end)
    for number in range(pinned):
        world.say(f"pinned {number}", "old", SINCE - 9000)
    found, end = recovered(world)
    assert (len(found), end.missing) == (250, None)
    assert world.requests <= 250 + 30


@pytest.mark.defect("A2.1")
@pytest.mark.parametrize("includes", [False, True])
@pytest.mark.parametrize("next_page", ["absent", "cursor"])
@pytest.mark.parametrize("others", [0, 40])
def test_more_chats_in_one_second_than_a_page_holds(
    includes: bool, next_page: str, others: int
) -> None:
    world = World(Choices(includes_last_time=includes, chats_next_page=next_page))  # type: ignore[arg-type]
    for number in range(120):
        world.say(f"c{number}", number, SINCE + 50)
    for number in range(others):
        world.say(f"d{number}", f"d{number}", SINCE + number)
    found, end = recovered(world)
    if next_page == "cursor":
        assert (len(found), end.missing) == (120 + others, None)
    else:
        assert len(found) == 100 + others
        assert "in one second" in (end.missing or "")
        assert not end.given_up
    assert world.requests <= 120 + others + 20


def test_the_list_ends_though_it_says_the_same_for_ever() -> None:
    def ignore(ask: Ask, path: str, query: Mapping[str, str]) -> Response:
        return ask(path, {"limit": "100"} if path.endswith("/chats") else query)

    world = world_of(100)
    world.intercept(ignore)
    found, end = recovered(world)
    assert len(found) == 100
    assert "the list of chats has no second page" in (end.missing or "")


def test_a_list_without_an_end_is_left_and_said() -> None:
    def endless(ask: Ask, path: str, query: Mapping[str, str]) -> Response:
        if not path.endswith("/chats"):
            return ask(path, query)
        world.requests += 1
        chat = {"id": f"c{world.requests}", "lastTime": 2 * T - world.requests}
        world.say(str(chat["id"]), 1, T)
        data = {"items": [chat], "nextPage": f"{world.requests}"}
        return answer({"data": data})

    world = World(Choices())
    world.intercept(endless)
    found, end = recovered(world)
    assert "does not end in 2000 requests" in (end.missing or "")
    assert end.given_up
    assert len(found) == 2000


def answer(body: object, status: int = 200) -> Response:
    said = f"GET / answered {status}"
    return Response(status, json.dumps(body).encode(), {}, said, None, True, status >= 400)


# --- messages of a chat


def chat_of(count: int, **choices: object) -> World:
    world = World(Choices(**choices))  # type: ignore[arg-type]
    world.say("oldest", "oldest", SINCE - 10**6)
    for number in range(count):
        world.say("a", number, SINCE + number * (UNTIL - SINCE) // count)
    return world


@pytest.mark.defect("A2.4")
@pytest.mark.parametrize("removed", [{0}, {1}, {0, 1, 2}])
def test_an_empty_page_in_the_middle_ends_nothing(removed: set[int]) -> None:
    found, end = recovered(chat_of(250, removed=frozenset(removed)))
    assert (found, end.missing) == (list(range(250)), None)


@pytest.mark.defect("A.29h", "A2.4")
@pytest.mark.parametrize("where", [(3, 40), (98, 99), (0, 1, 2, 3, 4)])
@pytest.mark.parametrize("next_page", ["absent", "cursor"])
def test_times_in_the_future_end_nothing(where: tuple[int, ...], next_page: str) -> None:
    world = chat_of(148, messages_next_page=next_page)
    for number in where:
        world.chats["a"][number].time = T + 10**7
    found, end = recovered(world)
    assert (set(found), end.missing) == (set(range(148)), None)
    assert len(found) == 148


@pytest.mark.parametrize("time", [None, T * 1000, "2026-11-22T08:00:00Z", True, [], 0])
def test_messages_without_a_time_that_can_be_read_are_handed_out(time: object) -> None:
    world = chat_of(148)
    for number in (0, 50, 99, 147):
        world.chats["a"][number].time = time
    found, end = recovered(world)
    assert (set(found), end.missing) == (set(range(148)), None)


@pytest.mark.parametrize("per_page", [10, 30, 99, 100])
@pytest.mark.parametrize("shuffled", [False, True])
def test_pages_without_a_next_page_are_gone_on_from(per_page: int, shuffled: bool) -> None:
    world = chat_of(
        80,
        messages_per_page=per_page,
        messages_next_page="absent",
        messages_shuffled=shuffled,
    )
    found, end = recovered(world)
    assert (set(found), end.missing) == (set(range(80)), None)


def test_a_full_page_that_says_it_is_the_last_is_asked_about_once_more() -> None:
    def without_cursor(ask: Ask, path: str, query: Mapping[str, str]) -> Response:
        reply = ask(path, query)
        body = json.loads(reply.content)
        body["data"]["nextPage"] = None
        return Response(200, json.dumps(body).encode(), reply.headers, reply.summary, None, True)

    world = chat_of(250)
    world.intercept(without_cursor)
    found, end = recovered(world)
    assert (found, end.missing) == (list(range(250)), None)


def test_more_messages_in_one_second_than_a_page_holds_are_said_to_be_missing() -> None:
    world = chat_of(0, messages_next_page="absent")
    for number in range(150):
        world.say("a", number, SINCE + 5)
    found, end = recovered(world)
    assert len(found) == 100
    assert "of one second" in (end.missing or "")


def test_a_chat_whose_page_says_all_is_over_costs_one_request() -> None:
    """And the list of chats one more than the page that has all that moved."""
    world = world_of(200, moved=3)
    assert len(recovered(world)[0]) == 3
    assert world.requests == 2 + 3


def test_a_line_in_which_nothing_moved_costs_one_request() -> None:
    world = world_of(200, moved=0)
    assert recovered(world)[0] == []
    assert world.requests == 1


# --- clocks


@pytest.mark.defect("A.10", "A2.2a", "A2.2c")
@pytest.mark.parametrize("reason", ["the link was lost", NOT_RUNNING])
def test_a_begin_after_the_end_of_a_gap_is_none(reason: str) -> None:
    """The clock was set back: by what is known of the messages, or else some of it is told."""
    world = world_of(20)
    found, end = recovered(world, since=T + 80, reason=reason, newest=SINCE - 5)
    assert (len(found), end.missing) == (20, None)
    found, end = recovered(world_of(20), since=T + 80, reason=reason)
    assert len(found) == 20
    assert "the clock was set back" in (end.missing or "")
    assert not end.given_up


@pytest.mark.defect("A2.2b")
@pytest.mark.parametrize("began", [T + 3600, T - 50])
def test_a_first_moment_after_the_begin_of_a_gap_is_no_floor(began: int) -> None:
    found, end = recovered(world_of(20), began=began)
    assert (len(found), end.missing) == (20, None)


def test_a_first_moment_before_a_gap_is_a_floor() -> None:
    world = World(Choices())
    for ago in range(60):
        world.say("a", ago, SINCE - ago)
    found, _ = recovered(world, began=SINCE - 5)
    assert found == list(range(15, -1, -1))


@pytest.mark.defect("A2.2b")
def test_a_floor_does_not_hide_what_the_clock_of_the_service_calls_older() -> None:
    """Which is an hour behind ours, and says so: by the date, or by a message."""
    for date, newest in ((0, None), (None, SINCE - 3)):
        world = world_of(20, date=date)
        world.off = 3600
        found, end = recovered(
            world,
            since=SINCE + 3600,
            until=UNTIL + 3600,
            began=SINCE + 3600 - 20,
            newest=newest,
        )
        assert (len(found), end.missing) == (20, None)


@pytest.mark.defect("A.11", "A2.3")
@pytest.mark.parametrize("date", [600, -600, 45, -45, 7200])
def test_a_date_that_is_not_the_clock_of_the_messages_hides_nothing(date: int) -> None:
    found, end = recovered(world_of(20, date=date))
    assert (len(found), end.missing) == (20, None)


@pytest.mark.defect("A2.3")
def test_a_moment_that_a_user_names_is_widened_by_the_date_alone() -> None:
    world = world_of(20, date=0)
    world.off = 600
    found, _ = recovered(
        world, since=SINCE + 600, until=UNTIL + 600, reason=ASKED, newest=SINCE - 10**5
    )
    assert len(found) == 20


@pytest.mark.defect("A2.3")
def test_with_nothing_to_tell_the_time_of_the_service_it_is_said() -> None:
    """Without a Date header or a message time, a gap is reported as possibly incomplete."""
    found, end = recovered(world_of(20, date=None))
    assert len(found) == 20
    assert end.missing == "nothing tells the time of the service"
    found, end = recovered(world_of(20, date=None), newest=SINCE - 3)
    assert (len(found), end.missing) == (20, None)


@pytest.mark.defect("A.10", "A2.2a", "A2.2b", "A2.2c", "A2.3")
def test_what_was_sent_after_a_gap_is_read_too() -> None:
    """No clock tells where a gap ends; what came live as well is known by its id."""
    world = world_of(20)
    world.say("a", "late", T + 10**5)
    found, _ = recovered(world)
    assert len(found) == 21


def test_history_is_read_from_where_the_gap_says() -> None:
    world = World(Choices())
    world.say("a", 1, SINCE - 170)
    assert recovered(world, read_from=SINCE - 160)[0] == [1]
    assert recovered(world)[0] == []


# --- failures


@pytest.mark.defect("A2.23b")
@pytest.mark.parametrize(
    ("failing", "given_up"),
    [
        (answer({"success": False}, 403), False),
        (answer({"message": "x"}, 404), False),
        (answer({"message": "x"}, 500), True),
        (answer({"data": 5}), True),
        (ApiError("no answer"), True),
        (CredentialsError("the token is refused"), True),
    ],
)
def test_what_may_pass_gives_a_gap_up_and_what_lasts_does_not(
    failing: Response | Exception, given_up: bool
) -> None:
    def fail(ask: Ask, path: str, query: Mapping[str, str]) -> Response:
        if not path.endswith("/c0/messages"):
            return ask(path, query)
        world.now += 1
        if isinstance(failing, Exception):
            raise failing
        return failing

    world = world_of(3)
    world.intercept(fail)
    found, end = recovered(world)
    assert sorted(map(str, found)) == ["1", "2"]
    assert end.missing
    assert end.given_up is given_up


@pytest.mark.defect("A2.23b")
@pytest.mark.parametrize("error", [ApiError("no answer"), CredentialsError("refused")])
def test_ten_minutes_without_an_answer_end_it_for_all(error: Exception) -> None:
    def fail(ask: Ask, path: str, query: Mapping[str, str]) -> Response:
        if path.endswith("/chats"):
            return ask(path, query)
        raise error

    world = world_of(500)
    world.intercept(fail)
    found, end = recovered(world)
    assert found == []
    assert end.given_up
    assert 500 <= world.now - T <= 1300


def test_answers_that_never_end_do_not_keep_a_gap_open_for_good() -> None:
    """Each chat fails after half a minute, all others are answered: that is no hour for each."""

    def drip(ask: Ask, path: str, query: Mapping[str, str]) -> Response:
        if path.endswith(("/chats", "0/messages")):
            return ask(path, query)
        world.now += 30
        raise ApiError("no answer within 30 s")

    world = world_of(3000)
    world.intercept(drip)
    _, end = recovered(world)
    assert end.given_up
    assert world.now - T <= 3600 + 0.1 * 3000


@pytest.mark.defect("A.29c")
def test_a_messenger_is_quoted_in_the_path() -> None:
    paths: list[str] = []

    def ask(path: str, query: Mapping[str, str]) -> Response:
        paths.append(path)
        return answer({"data": []})

    wanted = [TimeRange(MessengerRef(7, "a/../b?c#d"), T)]
    assert list(History(ask, RateLimiter(0.0)).messages(wanted, lambda *_: None)) == []
    assert set(paths) == {"/v1/licenses/7/messengers/a%2F..%2Fb%3Fc%23d/chats"}


# --- odd content


@pytest.mark.defect("A.2")
@pytest.mark.parametrize(
    "item",
    [
        *(b"5", b"null", b'"x"', b"[]", b"{}", b"[" * 99, b"{", b"\xff", b"nan", b""),
        b'{"id":' + b"[" * 900 + b"]" * 900 + b"}",
        b'{"id":' + b"9" * 5000 + b',"time":' + b"9" * 5000 + b"}",
        b'{"id":"\\ud83d","time":1e400,"lastTime":-1e400}',
        b'{"id":true,"time":true,"lastTime":false}',
        b'{"id":1.5,"time":"1700000000","lastTime":"never"}',
        b'{"id":"\xed\xa0\xbd"}',
    ],
)
def test_nothing_that_an_item_holds_raises(item: bytes) -> None:
    assert isinstance(read_chat(item), Chat)
    assert read_message(item).item == item


@pytest.mark.parametrize(
    ("moment", "seconds"),
    [(T, T), (T + 0.9, T), (str(T), T), (T * 1000, None), (True, None), (0, None), (-5, None)],
)
def test_moments(moment: object, seconds: int | None) -> None:
    assert read_seconds(moment) == seconds


# --- memory

MEMORY = """
import json
import time
from email.utils import formatdate
from chatapp_tail.chatapp.http import Response
from chatapp_tail.history.rate_limit import RateLimiter
from chatapp_tail.history.reader import History, MessengerRef, TimeRange

CHATS, T = 2000, int(time.time()) - 5000
TEXT = "x" * 900

def page(items, next_page):
    body = json.dumps({"success": True, "data": {"items": items, "nextPage": next_page}})
    return Response(200, body.encode(), {"Date": formatdate(usegmt=True)}, "GET", None, True)

def ask(path, query):
    if path.endswith("/chats"):
        before = int(query.get("lastTime", T + CHATS + 1))
        times = range(min(before, T + CHATS) - 1, T - 1, -1)[:100]
        return page([{"id": f"c{t - T}", "lastTime": t} for t in times], None)
    chat = path.split("/")[-2]
    first = "nextPage" not in query
    numbers = range(100) if first else range(100, 101)
    items = [{"id": n, "time": T + n, "chat": {"id": chat}, "text": TEXT} for n in numbers]
    return page(items, "2" if first else None)

def peak():
    status = open("/proc/self/status").read()
    return int(status.partition("VmHWM:")[2].split()[0]) // 1024

history = History(ask, RateLimiter(0.0))
list(history.messages([TimeRange(MessengerRef(1, "telegram"), T + CHATS - 5)], print))
before = peak()
count = sum(1 for _ in history.messages([TimeRange(MessengerRef(1, "telegram"), T)], print))
print(count, peak() - before)
"""


@pytest.mark.defect("A.28", "A2.20b")
@pytest.mark.timeout(240)
def test_two_thousand_busy_chats_are_read_in_little_memory() -> None:
    """A first page of 100 kB each, and a second page that comes when all first ones are there."""
    done = subprocess.run(
        [sys.executable, "-c", MEMORY], capture_output=True, text=True, check=True
    )
    count, more = map(int, done.stdout.split())
    assert count == 2000 * 101
    assert 0 < more < 64
