import json
import time
from typing import Any

import pytest

from chatapp_tail.sandbox import History, LiveEvents, messenger_channel

from .client import TELEGRAM, WHATSAPP


def message(number: int | str, sent: int | None = 100, chat: str | int = "a") -> dict[str, Any]:
    return {"id": number, "time": sent, "chat": {"id": chat, "name": f"as of {number}"}}


def envelope(*items: Any) -> str:
    return json.dumps({"queue": "q", "payload": {"data": items, "meta": {}}})


def ids(history: History, chat: str = "a", messenger: str = "telegram") -> list[Any]:
    return [record.item["id"] for record in history.messages(1229, messenger, chat)]


def test_messages_are_in_the_order_of_their_times_then_as_they_came() -> None:
    history = History()
    history.add(TELEGRAM, envelope(message(3, 102), message(1, 100)))
    history.add(TELEGRAM, envelope(message(2, 100)))
    assert ids(history) == [1, 2, 3]


def test_items_come_back_as_they_were() -> None:
    history = History()
    item = message("wamid.é", 5) | {"extra": [None, 2**70, {"x": "\ud83d"}]}
    history.add(TELEGRAM, envelope(item))
    assert [record.item for record in history.messages(1229, "telegram", "a")] == [item]


def test_chats_and_messengers_are_kept_apart() -> None:
    history = History()
    history.add(TELEGRAM, envelope(message(1), message(2, chat="b")))
    history.add(WHATSAPP, envelope(message(3)))
    assert ids(history) == [1]
    assert ids(history, "b") == [2]
    assert ids(history, messenger="grWhatsApp") == [3]
    assert ids(history, "c") == []


def test_an_id_is_kept_once_in_its_chat() -> None:
    history = History()
    history.add(TELEGRAM, envelope(message(1), message("1"), message(1, chat="b")))
    assert ids(history) == [1]
    assert ids(history, "b") == [1]


def test_chats_are_as_in_their_last_message() -> None:
    history = History()
    history.add(TELEGRAM, envelope(message(1, 103), message(2, 101), message(3, 102, "b")))
    assert [record.item for record in history.chats(1229, "telegram")] == [
        {"id": "b", "name": "as of 3", "lastTime": 102},
        {"id": "a", "name": "as of 1", "lastTime": 103},
    ]
    assert history.chats(1229, "grWhatsApp") == []


@pytest.mark.parametrize("sent", [None, "100", 1.5])
def test_without_a_time_it_is_the_time_of_arrival(sent: Any) -> None:
    history = History()
    before = int(time.time())
    history.add(TELEGRAM, envelope(message(1, sent)))
    (record,) = history.messages(1229, "telegram", "a")
    assert before <= record.position[0] <= time.time()


def test_without_an_id_nothing_is_taken_for_the_same() -> None:
    history = History()
    item = message(1)
    del item["id"]
    history.add(TELEGRAM, envelope(item, item, item | {"internalId": 7}, item | {"internalId": 7}))
    assert len(history.messages(1229, "telegram", "a")) == 3


def test_the_oldest_are_forgotten() -> None:
    history = History(kept=3)
    history.add(TELEGRAM, envelope(message(1, chat="b"), message(2)))
    history.add(TELEGRAM, envelope(message(3), message(4)))
    assert ids(history) == [2, 3, 4]
    assert [record.item["id"] for record in history.chats(1229, "telegram")] == ["a"]
    for number in range(5, 9):
        history.add(TELEGRAM, envelope(message(number)))
    assert ids(history) == [6, 7, 8]


def test_what_is_no_message_of_a_chat_is_left_out() -> None:
    history = History()
    texts = ["", "no json", "[" * 100_000, "5", "{}", '{"payload":[]}', '{"payload":{"data":{}}}']
    for text in texts:
        history.add(TELEGRAM, text)
    history.add(TELEGRAM, envelope(None, [], {}, {"chat": None}, {"chat": {"id": None}}))
    history.add("news", envelope(message(1)))
    history.add(messenger_channel(1229, "telegram") + ".more", envelope(message(2)))
    history.add(TELEGRAM, envelope(message(3)))
    assert ids(history) == [3]
    assert len(history.chats(1229, "telegram")) == 1


def test_every_live_message_is_kept() -> None:
    history, told = History(), set()
    events = LiveEvents(seed=5)
    for number in range(300):
        event = events.next(1229, "telegram", 1000 + number)
        if event.name == "message":
            history.add(TELEGRAM, event.data)
            told |= {item["id"] for item in json.loads(event.data)["payload"]["data"]}
    chats = [record.item["id"] for record in history.chats(1229, "telegram")]
    assert len(chats) > 5
    kept = [number for chat in chats for number in ids(history, chat)]
    assert sorted(kept) == sorted(told)
