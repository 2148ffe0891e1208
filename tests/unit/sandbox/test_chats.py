import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chatapp_tail.sandbox import Sandbox, messenger_channel
from chatapp_tail.sandbox.chats import Cursor
from chatapp_tail.sandbox.http_messages import Refused

from .client import TELEGRAM, TEST_TIMEOUT, WHATSAPP, ask_api

pytestmark = pytest.mark.timeout(TEST_TIMEOUT)

LINE = "/v1/licenses/1229/messengers/telegram/chats"
MESSAGES = f"{LINE}/a/messages"


@pytest.fixture(scope="module")
def quiet() -> Iterator[Sandbox]:
    """A sandbox for the tests that only read: ten messages, two a second, in chat `a`."""
    with Sandbox() as sandbox:
        for number in range(10):
            say(sandbox, number, 100 + number // 2)
        yield sandbox


def say(
    sandbox: Sandbox, number: int, sent: int, chat: str = "a", channel: str = TELEGRAM, **more: Any
) -> None:
    item = {"id": number, "time": sent, "chat": {"id": chat, "type": "private"}, **more}
    envelope = {"queue": "q", "payload": {"data": [item], "meta": {"type": "message"}}}
    sandbox.publish(channel, "message", json.dumps(envelope))


def page(sandbox: Sandbox, path: str, **query: Any) -> tuple[list[Any], str | None]:
    answer = ask_api(sandbox, path, **query)
    assert answer.status_code == 200, answer.text
    assert answer.json()["success"] is True
    data = answer.json()["data"]
    return [item["id"] for item in data["items"]], data.get("nextPage")


def all_pages(sandbox: Sandbox, path: str, **query: Any) -> list[list[Any]]:
    ids, following = page(sandbox, path, **query)
    pages = [ids]
    while following is not None:
        ids, following = page(sandbox, path, **query, nextPage=following)
        pages.append(ids)
    return pages


# Messages.


PAGES: dict[str, tuple[dict[str, Any], list[list[int]]]] = {
    "forward, each once, oldest first": (
        {"direction": "next", "limit": 3},
        [[0, 1, 2], [3, 4, 5], [6, 7, 8], [9]],
    ),
    "without a direction, newest first": ({"limit": 4}, [[9, 8, 7, 6], [5, 4, 3, 2], [1, 0]]),
    "no page after a full last one": (
        {"direction": "next", "limit": 5},
        [[0, 1, 2, 3, 4], [5, 6, 7, 8, 9]],
    ),
    "forward from a time": (
        {"direction": "next", "lastTime": 102, "limit": 3},
        [[6, 7, 8], [9]],
    ),
    "forward from the end": ({"direction": "next", "lastTime": 104}, [[]]),
    "backward from a time": ({"lastTime": 102}, [[3, 2, 1, 0]]),
}


@pytest.mark.parametrize(("query", "pages"), PAGES.values(), ids=PAGES)
def test_pages(query: dict[str, Any], pages: list[list[int]], quiet: Sandbox) -> None:
    assert all_pages(quiet, MESSAGES, **query) == pages


def test_a_cursor_needs_no_direction(quiet: Sandbox) -> None:
    _, following = page(quiet, MESSAGES, direction="next", limit=3)
    assert page(quiet, MESSAGES, limit=3, nextPage=following)[0] == [3, 4, 5]


def test_the_other_reading_of_last_time(sandbox: Sandbox) -> None:
    for number in range(4):
        say(sandbox, number, 100 + number)
    sandbox.faults.include_last_time = True
    assert page(sandbox, MESSAGES, direction="next", lastTime=102)[0] == [2, 3]
    assert page(sandbox, MESSAGES, lastTime=102)[0] == [2, 1, 0]
    assert page(sandbox, LINE, lastTime=103)[0] == ["a"]
    sandbox.faults.clear()
    assert page(sandbox, LINE, lastTime=103)[0] == []


def test_messages_that_come_between_two_pages_are_not_lost(sandbox: Sandbox) -> None:
    for number in range(4):
        say(sandbox, number, 100)
    first, following = page(sandbox, MESSAGES, direction="next", limit=2)
    say(sandbox, 4, 100)
    second, following = page(sandbox, MESSAGES, direction="next", limit=2, nextPage=following)
    say(sandbox, 5, 100)
    third, following = page(sandbox, MESSAGES, direction="next", limit=2, nextPage=following)
    assert (first, second, third, following) == ([0, 1], [2, 3], [4, 5], None)


def test_the_default_limit_is_20_and_the_highest_100(sandbox: Sandbox) -> None:
    for number in range(120):
        say(sandbox, number, 100 + number)
    assert len(page(sandbox, MESSAGES)[0]) == 20
    assert len(page(sandbox, MESSAGES, limit=100)[0]) == 100


@pytest.mark.parametrize(
    "query",
    [
        {"limit": 101},
        {"limit": 0},
        {"limit": "many"},
        {"lastTime": "yesterday"},
        {"direction": "up"},
        {"nextPage": "not a cursor"},
        {"nextPage": "é"},
        {"nextPage": "bmV4dDox"},
    ],
)
def test_bad_parameters(quiet: Sandbox, query: dict[str, Any]) -> None:
    answer = ask_api(quiet, MESSAGES, **query)
    assert answer.status_code == 422
    assert next(iter(query)) in answer.json()["error"]["message"]


def test_the_chat_id_is_percent_encoded(sandbox: Sandbox) -> None:
    chat = "group/1@g.us ?x=%2F&é"
    say(sandbox, 1, 100, chat)
    assert page(sandbox, f"{LINE}/{quote(chat, safe='')}/messages")[0] == [1]
    assert ask_api(sandbox, f"{LINE}/group/1/messages").status_code == 404


def test_a_chat_nobody_knows_is_empty(quiet: Sandbox) -> None:
    assert page(quiet, f"{LINE}/z/messages") == ([], None)


@pytest.mark.parametrize("line", ["1229/messengers/avito", "7/messengers/telegram"])
def test_messengers_of_others_are_refused(quiet: Sandbox, line: str) -> None:
    for path in (f"/v1/licenses/{line}/chats", f"/v1/licenses/{line}/chats/a/messages"):
        answer = ask_api(quiet, path)
        assert (answer.status_code, answer.json()["success"]) == (403, False)


def test_system_messages_can_be_left_out(sandbox: Sandbox) -> None:
    say(sandbox, 1, 100, type="system")
    say(sandbox, 2, 101, type="text")
    assert page(sandbox, MESSAGES, includeSystemMessages=0)[0] == [2]
    assert page(sandbox, MESSAGES, includeSystemMessages=1)[0] == [2, 1]


def test_items_are_those_of_the_socket_half_surrogates_too(sandbox: Sandbox) -> None:
    item = {"id": 1, "time": 100, "chat": {"id": "a"}, "message": {"text": "\ud83d é 🎉"}}
    sandbox.publish(TELEGRAM, "message", json.dumps({"payload": {"data": [item]}}))
    assert json.loads(ask_api(sandbox, MESSAGES).content)["data"]["items"] == [item]


def test_only_messages_are_history_and_only_what_was_published(sandbox: Sandbox) -> None:
    item = {"id": 1, "time": 100, "chat": {"id": "a"}}
    data = json.dumps({"payload": {"data": [item]}})
    sandbox.publish(TELEGRAM, "messageStatus", data)
    sandbox.send_frame(json.dumps({"event": "message", "channel": TELEGRAM, "data": data}))
    assert page(sandbox, MESSAGES) == ([], None)


def test_history_outlasts_a_restart_and_grows_in_between() -> None:
    sandbox = Sandbox()
    with sandbox:
        say(sandbox, 1, 100)
    say(sandbox, 2, 101)
    with sandbox:
        assert page(sandbox, MESSAGES)[0] == [2, 1]


def test_history_is_as_long_as_it_may_be() -> None:
    with Sandbox(kept_messages=2) as sandbox:
        for number in range(4):
            say(sandbox, number, 100)
        assert page(sandbox, MESSAGES)[0] == [3, 2]


# Chats.


@pytest.fixture(scope="module")
def busy() -> Iterator[Sandbox]:
    """A sandbox for the tests that only read: chats on three messengers of two licences."""
    with Sandbox() as sandbox:
        for number in range(5):
            say(sandbox, number, 100 + number, f"t{number}")
        say(sandbox, 9, 110, "t1")
        say(sandbox, 1, 102, "w", WHATSAPP)
        say(sandbox, 1, 108, "c", messenger_channel(1230, "caWhatsApp"))
        yield sandbox


def test_chats_of_a_messenger_newest_first_by_last_time(busy: Sandbox) -> None:
    assert page(busy, LINE) == (["t1", "t4", "t3", "t2", "t0"], None)
    assert page(busy, LINE, limit=2)[0] == ["t1", "t4"]
    assert page(busy, LINE, limit=2, lastTime=104)[0] == ["t3", "t2"]
    assert page(busy, LINE, limit=2, lastTime=102)[0] == ["t0"]
    assert ask_api(busy, LINE, limit=101).status_code == 422


def test_a_chat_holds_what_its_last_message_says(busy: Sandbox) -> None:
    (item,) = ask_api(busy, LINE, limit=1).json()["data"]["items"]
    assert item == {"id": "t1", "type": "private", "lastTime": 110}


def test_chats_of_all_messengers_page_by_page(busy: Sandbox) -> None:
    pages = all_pages(busy, "/v1/chats", companyId=2224, limit=3)
    assert pages == [["t1", "c", "t4"], ["t3", "w", "t2"], ["t0"]]


def test_chats_of_some_licences(busy: Sandbox) -> None:
    assert page(busy, "/v1/chats", **{"filter[licenseIds]": "1230"})[0] == ["c"]
    assert len(page(busy, "/v1/chats", **{"filter[licenseIds]": "1229,1230,7"})[0]) == 7
    assert ask_api(busy, "/v1/chats", **{"filter[licenseIds]": "a"}).status_code == 422
    (item,) = ask_api(busy, "/v1/chats", **{"filter[licenseIds]": "1230"}).json()["data"]["items"]
    assert (item["licenseId"], item["messengerType"]) == (1230, "caWhatsApp")


def test_chats_of_another_company_are_refused(busy: Sandbox) -> None:
    assert ask_api(busy, "/v1/chats", companyId=1).status_code == 403


# What the service might do as well.


def test_pages_may_be_shorter_than_was_asked_for(sandbox: Sandbox) -> None:
    for number in range(5):
        say(sandbox, number, 100 + number)
    sandbox.faults.page_cap = 2
    pages = all_pages(sandbox, MESSAGES, limit=100, direction="next", lastTime=0)
    assert pages == [[0, 1], [2, 3], [4]]


def test_chats_may_have_no_time(sandbox: Sandbox) -> None:
    say(sandbox, 1, 100)
    sandbox.faults.hide_chat_times = True
    (chat,) = ask_api(sandbox, LINE).json()["data"]["items"]
    assert chat["lastTime"] is None


# Cursors.


@settings(deadline=None)
@given(st.booleans(), st.integers(), st.integers())
def test_cursors_there_and_back(forward: bool, sent: int, number: int) -> None:
    cursor = Cursor(forward, (sent, number))
    assert Cursor.decode(cursor.encode()) == cursor


@pytest.mark.parametrize("text", ["", "é", "*", "bmV4dDox", "bmV4dDoxOmE=", "/////w=="])
def test_any_other_text_is_refused(text: str) -> None:
    with pytest.raises(Refused):
        Cursor.decode(text)
