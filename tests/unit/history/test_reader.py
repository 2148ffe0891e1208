"""History read back from a server: all of it, once, in order, and with few requests."""

import json
import random
import time
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from chatapp_tail.chatapp.api import Api
from chatapp_tail.chatapp.http import Http, Response
from chatapp_tail.chatapp.secret import Secret
from chatapp_tail.chatapp.token_store import Login, TokenStore
from chatapp_tail.chatapp.tokens import StaticToken, StoredLogin, make_tokens
from chatapp_tail.errors import CredentialsError
from chatapp_tail.history import requests as module
from chatapp_tail.history.rate_limit import RateLimiter
from chatapp_tail.history.reader import PAGE, History, Message, MessengerRef, TimeRange
from chatapp_tail.sandbox import ApiAnswered, ApiRequested, Sandbox, messenger_channel
from tests.conftest import TIMEOUT_SCALE
from tests.servers import Answer, HttpServer
from tests.unit.history.conftest import api

TELEGRAM = MessengerRef(1229, "telegram")
WHATSAPP = MessengerRef(1229, "grWhatsApp")
CLOUD = MessengerRef(1230, "caWhatsApp")
CHATS = "/v1/licenses/1229/messengers/telegram/chats"
T = 1_700_000_000
PAIR = r"\ud83d"
"""Half a surrogate pair, as JSON can say it."""

Failures = list[tuple[MessengerRef, str, bool]]


def say(
    sandbox: Sandbox,
    number: int | str,
    sent: int,
    chat: int | str = "a",
    ref: MessengerRef = TELEGRAM,
    **more: Any,
) -> None:
    item = {"id": number, "time": sent, "chat": {"id": chat, "type": "private"}, **more}
    data = json.dumps({"payload": {"data": [item]}})
    sandbox.publish(messenger_channel(*ref), "message", data)


def say_many(sandbox: Sandbox, count: int, *, chats: int = 0, per_second: int = 1) -> None:
    """Say messages 0, 1, … of so many chats in turn, or each in a chat of its own."""
    for number in range(count):
        say(sandbox, number, T + number // per_second, f"c{number % (chats or count)}")


def page(*items: str, next_page: str = "null") -> str:
    return f'{{"success":true,"data":{{"items":[{",".join(items)}],"nextPage":{next_page}}}}}'


def chat(name: str, last: int = T) -> str:
    return json.dumps({"id": name, "lastTime": last})


class Asked:
    """Asks the API, and lets the test do something before or after it."""

    def __init__(self, sandbox: Sandbox) -> None:
        self.api = Api(Http(sandbox.api_url, timeout=30.0), StaticToken(Secret(sandbox.token)))
        self.before: Callable[[str], None] = lambda _: None
        self.after: Callable[[str], None] = lambda _: None

    def __call__(self, path: str, query: Mapping[str, str]) -> Response:
        self.before(path)
        reply = self.api.get(path, query)
        self.after(path)
        return reply


@pytest.fixture(autouse=True)
def little_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """With one request where others are answered."""
    monkeypatch.setattr(module, "_RETRY_TIMEOUT_ONE", 1.0 * TIMEOUT_SCALE)


def quick(ask: module.Ask) -> History:
    return History(ask, RateLimiter(0.0))


@dataclass
class Found:
    messages: list[Message]
    failures: Failures

    @property
    def ids(self) -> list[Any]:
        return [json.loads(each.item)["id"] for each in self.messages]

    @property
    def complete(self) -> list[Any]:
        """The ids of all messages; AssertionError if some could not be read."""
        assert self.failures == []
        return self.ids

    @property
    def reasons(self) -> list[str]:
        return [why for _, why, _ in self.failures]


def read(history: History, *time_ranges: TimeRange) -> Found:
    failures: Failures = []
    messages = list(history.messages(time_ranges, lambda *failure: failures.append(failure)))
    assert history.found == len(messages)
    return Found(messages, failures)


def read_all(asked: "Sandbox | Asked", ref: MessengerRef = TELEGRAM, since: int = 0) -> Found:
    """Read one line of a ChatApp, or of what asks it."""
    ask = Asked(asked) if isinstance(asked, Sandbox) else asked
    return read(quick(ask), TimeRange(ref, since))


def read_pages(sandbox: Sandbox, *pages: str, since: int = 0) -> Found:
    """Read a line whose one chat has these pages of messages, the last one for good."""
    say(sandbox, 1, T)
    for number, body in enumerate(pages, 1):
        sandbox.faults.answer_api("*/messages", 200, body, calls=1 if number < len(pages) else None)
    return read_all(sandbox, since=since)


@pytest.fixture
def waits_are_short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_FIRST_WAIT", 0.02)


short_waits = pytest.mark.usefixtures("waits_are_short")


@pytest.fixture(params=[False, True], ids=["lastTime left out", "lastTime included"])
def either(sandbox: Sandbox, request: pytest.FixtureRequest) -> Sandbox:
    """A ChatApp of either reading of `lastTime`, of which nobody knows which one is true."""
    sandbox.faults.include_last_time = request.param
    return sandbox


# --- one chat


def test_nothing_to_read(sandbox: Sandbox) -> None:
    history = quick(Asked(sandbox))
    assert read(history, TimeRange(TELEGRAM, 0)) == Found([], [])
    assert read(history) == Found([], [])
    assert sandbox.api_requests() == 1


def test_the_first_second_of_a_span_belongs_to_it_and_it_has_no_end(either: Sandbox) -> None:
    for number, sent in enumerate([T - 1, T, T, T + 5, T + 9, T + 9, T + 10]):
        say(either, number, sent)
    found = read_all(either, since=T)
    assert found.ids == [1, 2, 3, 4, 5, 6]
    assert [each.time for each in found.messages] == [T, T, T + 5, T + 9, T + 9, T + 10]
    assert found.failures == []


def test_what_is_older_than_a_span_is_not_read(sandbox: Sandbox) -> None:
    say(sandbox, 1, T)
    assert read_all(sandbox, since=T + 1) == Found([], [])


@pytest.mark.parametrize("count", [99, 100, 101, 200, 251])
def test_messages_page_by_page(either: Sandbox, count: int) -> None:
    say_many(either, count, chats=1, per_second=7)
    assert read_all(either, since=T).complete == list(range(count))


def test_more_than_a_page_in_one_second(either: Sandbox) -> None:
    for number in range(350):
        say(either, number, T)
    assert read_all(either, since=T).ids == list(range(350))


def test_system_messages_are_messages(sandbox: Sandbox) -> None:
    say(sandbox, 1, T, type="system")
    assert read_all(sandbox).ids == [1]


def test_a_message_is_as_the_server_sent_it(server: HttpServer) -> None:
    item = '{ "id" : 1,\n "time":1700000000, "n":1.10, "big":123456789012345678901, "s":"\\u00e9" }'
    server.answers |= {
        f"{CHATS}?limit=100": [Answer(200, page(chat("a")).encode())],
        f"{CHATS}/a/messages?limit=100&includeSystemMessages=1&direction=next&lastTime={T - 1}": [
            Answer(200, page(item).encode())
        ],
    }
    found = read(quick(api(server.url).get), TimeRange(TELEGRAM, T))
    assert found.messages == [Message(T, 1, TELEGRAM, item.encode())]
    assert found.failures == []
    assert {each.headers["Authorization"] for each in server.asked} == {"made-up-token"}


# --- many chats


@pytest.mark.parametrize("count", [99, 100, 101, 250])
def test_chats_page_by_page(either: Sandbox, count: int) -> None:
    say_many(either, count)
    assert read_all(either, since=T).complete == list(range(count))


@pytest.mark.parametrize("in_one_second", [33, 60, 99])
def test_chats_that_moved_in_the_same_second(either: Sandbox, in_one_second: int) -> None:
    say_many(either, 230, per_second=in_one_second)
    assert sorted(read_all(either, since=T).complete) == list(range(230))


def test_just_as_many_chats_in_one_second_as_a_page_holds(either: Sandbox) -> None:
    """Whether there are more of them nobody can know."""
    say_many(either, 230, per_second=100)
    assert sorted(read_all(either, since=T).ids) == list(range(230))


def test_more_chats_in_one_second_than_can_be_listed(either: Sandbox) -> None:
    """Some of them stay unknown, which is said; all others are read."""
    for number in range(250):
        say(either, number, T + (0 if number < 50 else 2 if number >= 200 else 1), f"c{number}")
    found = read_all(either, since=T)
    assert {*range(50), *range(200, 250)} <= set(found.ids)
    assert len(found.ids) == len(set(found.ids)) >= 200
    assert found.failures
    assert all("in one second" in why for why in found.reasons)


def test_only_chats_that_moved_are_read(either: Sandbox) -> None:
    for number in range(350):
        say(either, number, T - 1 if number < 300 else T, f"c{number}")
    assert read_all(either, since=T).ids == list(range(300, 350))
    assert either.api_requests("*/messages") == 50
    # One more, to see that none is hidden behind those.
    assert either.api_requests("*/chats") == 2


def test_a_chat_that_moves_while_the_list_is_read(sandbox: Sandbox) -> None:
    """The last one, alone on its page, jumps to the first page when that is read already."""
    say_many(sandbox, 101)

    def move(path: str) -> None:
        ask.after = lambda _: None
        say(sandbox, 1000, T + 500, "c0")

    ask = Asked(sandbox)
    ask.after = move
    assert read_all(ask, since=T).complete == [*range(101), 1000]


@pytest.mark.parametrize("moves", [1, 30, 120])  # a server may well take minutes for a page
def test_chats_that_move_all_the_while_the_list_is_read(either: Sandbox, moves: int) -> None:
    """After each page, the chats at the end of the list jump to its top."""
    ask = Asked(either)
    waiting = [f"c{number}" for number in range(320)]
    for number, name in enumerate(waiting):
        say(either, number, T + number, name)
    moved = 1000

    def move(path: str) -> None:
        nonlocal moved
        for name in waiting[:moves] if path.endswith("/chats") else ():
            moved += 1
            say(either, moved, T + moved, name)
        del waiting[:moves]

    ask.after = move
    found = read_all(ask, since=T)
    assert found.ids[:320] == list(range(320))
    assert found.failures == []


IDS = ["group/1@g.us ?x=%2F&é", "a+b", "100%", "%41", "#1", "a;b=c", "чат", "a\\b", "[x]|{y}", "~."]


@pytest.mark.parametrize("name", IDS)
def test_whatever_a_chat_is_called(sandbox: Sandbox, name: str) -> None:
    """Any id of a chat is quoted in the path of its messages."""
    say(sandbox, 1, T, name)
    found = read_all(sandbox)
    assert found.failures == []
    assert [json.loads(each.item)["chat"]["id"] for each in found.messages] == [name]


def test_a_chat_whose_id_is_a_number(sandbox: Sandbox) -> None:
    say(sandbox, 1, T, 1480000001)
    assert read_all(sandbox).ids == [1]


# --- order


def test_several_lines_in_the_order_of_time(sandbox: Sandbox) -> None:
    lines = (TELEGRAM, WHATSAPP, CLOUD)
    for number in range(330):
        chat_name = f"chat {number % 4}"
        say(sandbox, number, T + number, chat_name, lines[number % 3])
    found = read(quick(Asked(sandbox)), *(TimeRange(ref, T) for ref in lines))
    assert found.ids == list(range(330))
    assert [each.ref for each in found.messages] == [lines[n % 3] for n in range(330)]
    assert found.failures == []


def test_each_line_has_its_own_span(sandbox: Sandbox) -> None:
    for number in range(20):
        for ref in (TELEGRAM, WHATSAPP):
            say(sandbox, number, T + number, ref=ref)
    found = read(quick(Asked(sandbox)), TimeRange(TELEGRAM, T + 15), TimeRange(WHATSAPP, T + 17))
    assert [each.number for each in found.messages if each.ref == TELEGRAM] == [*range(15, 20)]
    assert [each.number for each in found.messages if each.ref == WHATSAPP] == [17, 18, 19]
    assert [each.time for each in found.messages] == sorted(each.time for each in found.messages)


def test_messages_of_one_second_are_in_the_order_of_their_numbers(sandbox: Sandbox) -> None:
    for number in (5, 3, 9, 1):
        say(sandbox, number, T, f"chat {number % 2}")
    assert read_all(sandbox).ids == [1, 3, 5, 9]


def test_messages_whose_ids_are_no_numbers_stay_in_the_order_of_their_chat(
    either: Sandbox,
) -> None:
    ids = [f"wamid.{random.Random(number).getrandbits(64):X}" for number in range(150)]
    for number, name in enumerate(ids):
        say(either, name, T + number // 10, "7000000001@c.us", WHATSAPP)
    assert read_all(either, WHATSAPP, since=T).ids == ids


@pytest.mark.parametrize("seed", range(6))
def test_all_and_nothing_else_is_found_in_any_account(either: Sandbox, seed: int) -> None:
    chance = random.Random(seed)
    chats, seconds = chance.choice((1, 3, 150)), chance.choice((1, 5, 400))
    count = chance.choice((5, 120, 450))
    said = [(T + chance.randrange(seconds), number) for number in range(count)]
    for sent, number in sorted(said):
        say(either, number, sent, f"c{chance.randrange(chats)}")
    since = T + chance.randrange(-1, seconds + 1)
    found = read_all(either, since=since)
    if found.failures:
        assert seconds < 5, "only so many chats in one second may be too many"
    else:
        assert found.ids == [n for sent, n in sorted(said) if since <= sent]


# --- odd messages


def test_half_a_surrogate_pair_in_a_message(sandbox: Sandbox) -> None:
    for number in range(6):
        text = "\ud83d half" if number % 2 else "whole"
        say(sandbox, number, T + number, f"c{number % 2}", message={"text": text})
    found = read_all(sandbox, since=T + 1)
    assert found.complete == [1, 2, 3, 4, 5]
    assert PAIR.encode() in found.messages[0].item


def test_half_a_surrogate_pair_beside_an_id_that_is_text(sandbox: Sandbox) -> None:
    for number in range(6):
        text = "\ud83d half" if number % 3 else "whole"
        chat_id = f"c{number % 2}@c.us"
        say(sandbox, f"wamid.{number}", T + number, chat_id, CLOUD, message={"text": text})
    found = read_all(sandbox, CLOUD, since=T + 1)
    assert found.ids == [f"wamid.{number}" for number in range(1, 6)]
    assert [message.time for message in found.messages] == [T + number for number in range(1, 6)]


@pytest.mark.parametrize("number", ["null", "1.5"])
def test_half_a_surrogate_pair_beside_an_odd_id(sandbox: Sandbox, number: str) -> None:
    """A lone surrogate and an invalid id in one message do not prevent its being read."""
    found = read_pages(sandbox, page(f'{{"id":{number},"time":{T + 7},"text":"{PAIR}"}}'))
    assert [message.time for message in found.messages] == [T + 7]


def test_half_a_surrogate_pair_in_the_name_of_a_chat(sandbox: Sandbox) -> None:
    """A name cut in the middle of an emoji; the list of chats repeats it."""
    say(sandbox, 1, T, "a")
    say(sandbox, 2, T + 1, "b")
    cut = f'{{"id":"a","lastTime":{T},"name":"Team {PAIR}"}}'
    sandbox.faults.answer_api("*/chats", 200, page(chat("b"), cut), calls=1)
    assert read_all(sandbox).complete == [1, 2]


def test_a_message_without_a_time_is_as_old_as_the_one_before_it(sandbox: Sandbox) -> None:
    items = [f'{{"id":1,"time":{T}}}', '{"id":2}', f'{{"id":3,"time":{T + 9}}}', '{"id":4}']
    items += ['{"id":5,"time":null}', f'{{"id":6,"time":{T + 20}}}']
    found = read_pages(sandbox, page(*items))
    assert found.ids == [1, 2, 3, 4, 5, 6]
    assert [message.time - T for message in found.messages] == [0, 0, 9, 9, 9, 20]


@pytest.mark.parametrize(
    "item", ["5", "null", '"text"', "[]", "{}", '{"id":[],"time":{}}', '{"id":9,"time":1e999}']
)
def test_an_item_of_any_shape_flows_through(sandbox: Sandbox, item: str) -> None:
    whole = f'{{"id":1,"time":{T}}}'
    found = read_pages(sandbox, page(whole, item), since=T)
    assert {message.item for message in found.messages} == {whole.encode(), item.encode()}
    assert found.failures == []


@pytest.mark.parametrize("depth", [500, 2000, 100_000])
def test_an_item_of_any_depth(sandbox: Sandbox, depth: int) -> None:
    say(sandbox, 1, T)
    say(sandbox, 2, T + 1, "b")
    deep = f'{{"id":1,"time":{T},"x":{"[" * depth}{"]" * depth}}}'
    sandbox.faults.answer_api("*/a/messages", 200, page(deep))
    found = read_all(sandbox)
    assert [each.time for each in found.messages][-1:] == [T + 1]
    assert len(found.messages) + len(found.failures) == 2


def test_a_time_with_a_fraction(sandbox: Sandbox) -> None:
    found = read_pages(sandbox, page(f'{{"id":1,"time":{T + 3}.75}}'))
    assert [message.time for message in found.messages] == [T + 3]


def test_one_time_far_in_the_future_does_not_hide_what_comes_after_it(sandbox: Sandbox) -> None:
    """Milliseconds, say; where a page ends is told by its last message."""
    items = [f'{{"id":1,"time":{T}}}', f'{{"id":2,"time":{T}000}}', f'{{"id":3,"time":{T + 1}}}']
    last = page(f'{{"id":4,"time":{T + 2}}}')
    assert read_pages(sandbox, page(*items, next_page='"x"'), last).ids == [1, 2, 3, 4]


@pytest.mark.parametrize("next_page", ['"x"', "2", '{"page":2}'])
def test_a_next_page_is_read_or_else_missed(sandbox: Sandbox, next_page: str) -> None:
    """A cursor of a kind nobody has seen yet must not end a chat in silence."""
    first = page(f'{{"id":1,"time":{T}}}', next_page=next_page)
    found = read_pages(sandbox, first, page(f'{{"id":2,"time":{T + 1}}}'))
    assert found.ids == [1, 2] or found.failures


def test_empty_pages_that_go_round_in_a_circle_are_left_and_told(sandbox: Sandbox) -> None:
    found = read_pages(sandbox, page(next_page='"again"'))
    assert found == Found([], [(TELEGRAM, "the pages of messages go round in a circle", True)])
    assert sandbox.api_requests("*/messages") == 2


@pytest.mark.parametrize("data", ["[%s]", '{"items":[%s]}', '{"items":[%s],"nextPage":""}'])
def test_lists_with_and_without_their_envelope(sandbox: Sandbox, data: str) -> None:
    say(sandbox, 1, T)
    body = '{"success":true,"data":' + data + "}"
    sandbox.faults.answer_api("*/chats", 200, body % chat("a"))
    sandbox.faults.answer_api("*/messages", 200, body % f'{{"id":1,"time":{T}}}')
    assert read_all(sandbox).ids == [1]


# --- odd chats

NEVER_USED = '{"id":"x","lastTime":null}'
ODD_CHATS = ["{}", '{"id":"x"}', NEVER_USED, f'{{"lastTime":{T}}}', "null", "7"]


@pytest.mark.parametrize("odd", ODD_CHATS)
def test_an_odd_chat_is_told_or_read_and_costs_no_other(sandbox: Sandbox, odd: str) -> None:
    """An invalid entry of the list of chats does not affect other chats."""
    say(sandbox, 1, T, "a")
    say(sandbox, 2, T + 1, "b")
    listed = page(chat("b", T + 1), odd, chat("a", T))
    sandbox.faults.answer_api("*/chats", 200, listed)
    found = read_all(sandbox)
    assert found.ids == [1, 2]
    was_read = sandbox.api_requests("*/x/messages") > 0
    assert found.failures or was_read or odd == NEVER_USED


@pytest.mark.parametrize("last", [f'"{T}"', f"{T}.5", f'"{T}.0"'])
def test_a_last_time_however_it_is_written(sandbox: Sandbox, last: str) -> None:
    say(sandbox, 1, T, "a")
    sandbox.faults.answer_api("*/chats", 200, page(f'{{"id":"a","lastTime":{last}}}'))
    assert read_all(sandbox, since=T).ids == [1]


# --- failures

FORBIDDEN = '{"success":false,"error":{"code":"ApiForbiddenError"}}'
Failing = tuple[int, str | bytes, str]

REFUSALS: dict[str, Failing] = {
    "403": (403, FORBIDDEN, "ApiForbiddenError"),
    "404": (404, '{"success":false,"error":{"code":"ApiNotFoundError"}}', "ApiNotFoundError"),
    "422": (422, '{"message":"limit is invalid"}', "limit is invalid"),
    "failed": (200, '{"success":false,"error":{"code":"ApiOddError"}}', "ApiOddError"),
}
"""What ChatApp itself says."""

IN_BETWEEN: dict[str, Failing] = {
    "404": (404, "<html>", "404"),
    "403": (403, "", "403"),
    "302": (302, "", "redirect"),
    "HTML": (200, "<html>welcome</html>", "without a list"),
    "nothing": (200, "", "without a list"),
    "another JSON": (200, '{"data":{"items":null}}', "without a list"),
    "a list alone": (200, "[1,2]", "without a list"),
    "half": (200, '{"data":{"items":[{"id":1', "without a list"),
    "no UTF-8": (200, b'{"data":"\xff', "without a list"),
}
"""What a gateway may say in a deploy, and what nobody expects."""

FAILURES = [(each, False) for each in REFUSALS.values()]
FAILURES += [(each, True) for each in IN_BETWEEN.values()]
fails = pytest.mark.parametrize(
    ("failing", "may_pass"),
    FAILURES,
    ids=[*REFUSALS, *(f"{each} in between" for each in IN_BETWEEN)],
)


@pytest.mark.defect("A2.23b")
@fails
def test_a_chat_that_cannot_be_read_is_told_and_costs_no_other(
    sandbox: Sandbox, failing: Failing, may_pass: bool
) -> None:
    status, body, why = failing
    for number, name in enumerate("abc"):
        say(sandbox, number, T + number, name)
    sandbox.faults.answer_api("*/b/messages", status, body)
    found = read_all(sandbox)
    assert found.ids == [0, 2]
    ((ref, reason, passing),) = found.failures
    assert (ref, passing) == (TELEGRAM, may_pass)
    assert why in reason
    assert (sandbox.api_requests("*/b/messages") > 1) is may_pass


@fails
def test_a_line_that_cannot_be_listed_is_told_and_costs_no_other(
    sandbox: Sandbox, failing: Failing, may_pass: bool
) -> None:
    status, body, why = failing
    say(sandbox, 1, T)
    say(sandbox, "w", T, ref=WHATSAPP)
    sandbox.faults.answer_api(f"{CHATS}", status, body)
    found = read(quick(Asked(sandbox)), TimeRange(TELEGRAM, 0), TimeRange(WHATSAPP, 0))
    assert found.ids == ["w"]
    ((ref, reason, passing),) = found.failures
    assert (ref, passing) == (TELEGRAM, may_pass)
    assert why in reason


def test_a_line_of_somebody_else(sandbox: Sandbox) -> None:
    found = read(quick(Asked(sandbox)), TimeRange(MessengerRef(1229, "avito"), 0))
    assert found.messages == []
    assert "403" in found.reasons[0]


def test_what_was_read_of_a_chat_before_it_failed_is_kept(sandbox: Sandbox) -> None:
    say_many(sandbox, 250, chats=1)
    ask = Asked(sandbox)

    def refuse_the_third(path: str) -> None:
        if sandbox.api_requests("*/messages") == 2:
            sandbox.faults.answer_api("*/messages", 403, FORBIDDEN)

    ask.before = refuse_the_third
    found = read_all(ask, since=T)
    assert found.ids == list(range(200))
    assert len(found.failures) == 1


def test_the_chats_listed_before_the_list_failed_are_read(sandbox: Sandbox) -> None:
    """What can be read is, also when something else of the same line cannot."""
    say_many(sandbox, 150)
    ask = Asked(sandbox)

    def refuse_the_second(path: str) -> None:
        if sandbox.api_requests("*/chats") == 1:
            sandbox.faults.answer_api("*/chats", 403, FORBIDDEN)

    ask.before = refuse_the_second
    found = read_all(ask, since=T)
    assert found.ids == list(range(50, 150))
    assert [may_pass for _, _, may_pass in found.failures] == [False]


@pytest.mark.parametrize("status", [0, 408, 429, 500, 503])
@short_waits
def test_what_fails_in_passing_is_asked_again(sandbox: Sandbox, status: int) -> None:
    say(sandbox, 1, T)
    sandbox.faults.answer_api("*/chats", status, calls=1)
    sandbox.faults.answer_api("*/messages", status, "<html>", calls=1)
    found = read_all(sandbox)
    assert found.complete == [1]
    assert sandbox.api_requests("*/messages") == 2


@short_waits
def test_what_came_back_is_told_as_long_as_it_is_asked_for_again(sandbox: Sandbox) -> None:
    say(sandbox, 1, T)
    sandbox.faults.answer_api("*/messages", 503, "<html>", calls=3)
    ask = Asked(sandbox)
    history = quick(ask)
    troubles: list[str | None] = []

    def note(path: str) -> None:
        if path.endswith("/messages"):
            troubles.append(history.trouble)

    ask.before = note
    assert read(history, TimeRange(TELEGRAM, 0)).ids == [1]
    assert troubles[0] is None
    assert all("503" in (trouble or "") for trouble in troubles[1:])
    assert len(troubles) == 4
    assert history.trouble is None


@short_waits
def test_one_call_in_ten_fails(either: Sandbox) -> None:
    say_many(either, 130, chats=45)
    for number in range(130, 480):
        say(either, number, T + number, "long")
    either.faults.answer_api("/v1/licenses/*", 500, "<html>", one_in=10)
    assert read_all(either, since=T).complete == list(range(480))


class Noting(RateLimiter):
    """Notes the pauses, and makes those that are short."""

    def __init__(self) -> None:
        super().__init__(0.0)
        self.paused: list[tuple[float, float]] = []

    def pause(self, seconds: float) -> None:
        if seconds <= 1:
            super().pause(seconds)
        self.paused.append((time.monotonic(), seconds))


def test_who_is_told_to_wait_does(sandbox: Sandbox) -> None:
    say_many(sandbox, 12)
    sandbox.faults.answer_api("*/c7/messages", 429, "", {"Retry-After": "1"}, calls=1)
    ask, limiter = Asked(sandbox), Noting()
    asked: list[float] = []
    ask.before = lambda _: asked.append(time.monotonic())
    found = read(History(ask, limiter), TimeRange(TELEGRAM, 0))
    assert found.complete == list(range(12))
    ((paused, seconds),) = limiter.paused
    assert seconds == 1.0
    # Three more may have got their turn before: as many as are under way at once.
    assert sum(paused < each < paused + 0.99 for each in asked) <= 3
    assert max(asked) >= paused + 0.99


@pytest.mark.parametrize("wait", ["soon", "-5", "100", "86400", "1e9999"])
@short_waits
def test_a_retry_after_of_any_kind_is_survived(sandbox: Sandbox, wait: str) -> None:
    say(sandbox, 1, T)
    sandbox.faults.answer_api("*/messages", 429, "", {"Retry-After": wait}, calls=1)
    limiter = Noting()
    assert read(History(Asked(sandbox), limiter), TimeRange(TELEGRAM, 0)).ids == [1]
    ((_, seconds),) = limiter.paused
    assert seconds == {"100": 100.0, "86400": 300.0}.get(wait, 0.0)


def test_what_fails_for_ever_is_given_up(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_RETRY_TIMEOUT_ALL", 2.0 * TIMEOUT_SCALE)
    say(sandbox, 1, T)
    say(sandbox, 2, T, "b")
    sandbox.faults.answer_api("*/b/messages", 503, "<html>")
    found = read_all(sandbox)
    assert found.ids == [1]
    ((_, why, may_pass),) = found.failures
    assert "503" in why
    assert may_pass


def test_nobody_listens(closed_port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """A refused connection is reported for every messenger."""
    monkeypatch.setattr(module, "_RETRY_TIMEOUT_ALL", 0.0)
    ask = api(f"http://127.0.0.1:{closed_port}").get
    found = read(quick(ask), TimeRange(TELEGRAM, 0), TimeRange(WHATSAPP, 0))
    assert sorted(ref for ref, _, _ in found.failures) == sorted([TELEGRAM, WHATSAPP])
    assert all("refused" in why for why in found.reasons)


# --- the token


def stored_login(sandbox: Sandbox, directory: Path) -> Api:
    http = Http(sandbox.api_url)
    pair = make_tokens(http, sandbox.email, Secret(sandbox.password), sandbox.app_id)
    login = Login(sandbox.email, sandbox.app_id, sandbox.api_url, pair)
    store = TokenStore(directory)
    store.save("default", login)
    source = StoredLogin(store, "default", login, http)
    return Api(http, source)


@pytest.mark.parametrize("status", [401, 200])
def test_a_token_that_dies_in_the_middle_is_renewed_once(
    sandbox: Sandbox, tmp_path: Path, status: int
) -> None:
    sandbox.faults.invalid_token_status = status
    say_many(sandbox, 40)
    ask = Asked(sandbox)
    ask.api = stored_login(sandbox, tmp_path)

    def die(path: str) -> None:
        if path.endswith("/messages"):
            ask.before = lambda _: None
            sandbox.expire_access_tokens()

    ask.before = die
    found = read_all(ask)
    assert found.complete == list(range(40))
    assert sandbox.tokens_refreshed == 1
    assert sandbox.tokens_made == 1


@pytest.mark.defect("A2.23b")
def test_a_token_that_is_dead_for_good_ends_it(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A token that cannot be refreshed ends the reading."""
    monkeypatch.setattr(module, "_RETRY_TIMEOUT_ALL", 2.0 * TIMEOUT_SCALE)
    say_many(sandbox, 20)
    ask = Asked(sandbox)

    def die(path: str) -> None:
        if path.endswith("/messages"):
            sandbox.void_token()

    ask.before = die
    found = read_all(ask)
    assert found.failures
    assert all("token" in why for why in found.reasons)
    assert all(may_pass for _, _, may_pass in found.failures)
    assert sandbox.token not in "".join(found.reasons)
    # Four at once, each a few times; the other chats are not asked for.
    assert sandbox.api_requests("*/messages") <= 4 * 12


@pytest.mark.defect("A2.23b")
def test_a_token_that_is_refused_for_a_moment_costs_nothing(sandbox: Sandbox) -> None:
    """Another process is renewing it, say."""
    say_many(sandbox, 6)
    ask = Asked(sandbox)
    refused = 0

    def refuse(path: str) -> None:
        nonlocal refused
        if path.endswith("/messages") and refused < 5:
            refused += 1
            raise CredentialsError("the token is refused")

    ask.before = refuse
    assert read_all(ask).complete == list(range(6))
    assert refused == 5


# --- as few requests as can be


def test_a_busy_chat_is_read_from_the_begin_of_the_span_on(sandbox: Sandbox) -> None:
    say_many(sandbox, 1000, chats=1)
    found = read_all(sandbox, since=T + 860)
    assert found.ids == list(range(860, 1000))
    assert sandbox.api_requests("*/messages") == 2


def test_a_long_list_is_read_to_the_begin_of_the_span_only(sandbox: Sandbox) -> None:
    say_many(sandbox, 1000)
    found = read_all(sandbox, since=T + 850)
    assert found.ids == list(range(850, 1000))
    assert sandbox.api_requests("*/messages") == 150
    # Two pages and one more, and the same once more to see that nothing moved meanwhile.
    assert sandbox.api_requests("*/chats") <= 5


def test_every_chat_is_asked_for_once(sandbox: Sandbox) -> None:
    say_many(sandbox, 260, per_second=40)
    read_all(sandbox, since=T)
    paths = [each.path for each in sandbox.journal.of(ApiRequested) if "/messages" in each.path]
    assert len(paths) == len(set(paths)) == 260


def test_pages_are_as_long_as_they_may_be(sandbox: Sandbox) -> None:
    say(sandbox, 1, T)
    read_all(sandbox)
    asked = [dict(each.query)["limit"] for each in sandbox.journal.of(ApiRequested)]
    assert set(asked) == {str(PAGE)}


def test_a_few_at_once_and_never_more(sandbox: Sandbox) -> None:
    say_many(sandbox, 24)
    sandbox.faults.delay_api("*/messages", 0.02)
    read_all(sandbox)
    under_way = most = 0
    for entry in sandbox.journal.entries():
        under_way += isinstance(entry, ApiRequested)
        most = max(most, under_way)
        under_way -= isinstance(entry, ApiAnswered)
    assert 2 <= most <= 4


@short_waits
def test_the_pace_holds_for_the_tries_too(sandbox: Sandbox) -> None:
    say_many(sandbox, 20)
    sandbox.faults.answer_api("*/messages", 500, one_in=5)
    history = History(Asked(sandbox), RateLimiter(0.05))
    began = time.monotonic()
    assert len(read(history, TimeRange(TELEGRAM, 0)).messages) == 20
    assert sandbox.api_requests() >= 24
    assert time.monotonic() - began >= 1.0


# --- how far it is


def test_how_far_it_is(sandbox: Sandbox) -> None:
    say_many(sandbox, 30, chats=3)
    history = quick(Asked(sandbox))
    failures: Failures = []
    assert (history.chats, history.chats_read, history.found) == (0, 0, 0)
    messages = history.messages([TimeRange(TELEGRAM, T)], lambda *failure: failures.append(failure))
    for count, _ in enumerate(messages, 1):
        assert (history.chats, history.chats_read, history.found) == (3, 3, count)
    assert failures == []


def test_history_is_read_again_from_the_begin(sandbox: Sandbox) -> None:
    say(sandbox, 1, T)
    history = quick(Asked(sandbox))
    assert read(history, TimeRange(TELEGRAM, 0)).ids == [1]
    say(sandbox, 2, T + 1, "b")
    assert read(history, TimeRange(TELEGRAM, 0)).ids == [1, 2]
    assert history.chats == 2


def test_one_who_stops_in_the_middle_can_begin_again(sandbox: Sandbox) -> None:
    say_many(sandbox, 450, chats=2)
    history = quick(Asked(sandbox))
    time_range = TimeRange(TELEGRAM, T)
    with closing(history.messages([time_range], lambda *_: None)) as messages:  # type: ignore[type-var]
        assert next(messages).number == 0
    assert read(history, time_range).ids == list(range(450))


FORMS = ["%a, %d %b %Y %H:%M:%S GMT", "%a %b %d %H:%M:%S %Y"]


def skew(date: str) -> tuple[int, bool]:
    """What is learnt from an answer with such a date: the skew, and whether it had one."""
    reply = Response(200, page().encode(), {"Date": date}, "GET / answered 200", None, True)
    requests = module.HistoryRequests(lambda *_: reply, RateLimiter(0.0), module.Clock())
    requests.page("/", {})
    return requests.clock_skew, requests.date_seen


@pytest.mark.defect("A.11", "A2.3")
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(("ahead", "counts"), [(120, 0), (-3600, -3600), (-3, 0), (0, 0)])
def test_the_clock_of_the_service_counts_where_it_is_behind_ours(
    form: str, ahead: int, counts: int
) -> None:
    date = time.strftime(form, time.gmtime(time.time() + ahead))
    found, heard = skew(date)
    assert counts - 2 <= found <= counts
    assert heard


@pytest.mark.parametrize("date", ["", "yesterday", "Mon, 99 Nov 2026 00:00:00 GMT"])
def test_without_a_date_nothing_is_known_of_the_clock(date: str) -> None:
    assert skew(date) == (0, False)
