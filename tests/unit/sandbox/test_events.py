import json
from collections import Counter
from typing import Any

import pytest

from chatapp_tail.sandbox import LiveEvents

NOW = 1_637_319_282


def story(
    seed: int, count: int, messenger: str = "telegram", now: int = NOW
) -> list[dict[str, Any]]:
    events = LiveEvents(seed)
    return [json.loads(events.next(1229, messenger, now).data) for _ in range(count)]


def items(kind: str, messenger: str = "telegram", count: int = 1500) -> list[dict[str, Any]]:
    return [
        item
        for envelope in story(7, count, messenger)
        for item in envelope["payload"]["data"]
        if envelope["payload"]["meta"]["type"] == kind
    ]


def test_the_same_seed_tells_the_same_story() -> None:
    assert story(1, 200) == story(1, 200)
    assert story(1, 200) != story(2, 200)


def test_only_the_times_depend_on_now() -> None:
    first, second = json.dumps(story(1, 200)), json.dumps(story(1, 200, now=NOW + 5))
    assert first != second
    assert first.replace(str(NOW), str(NOW + 5)) == second


@pytest.mark.parametrize("seed", range(20))
def test_the_first_ten_hold_all_kinds(seed: int) -> None:
    kinds = {envelope["payload"]["meta"]["type"] for envelope in story(seed, 10)}
    assert kinds == {"message", "messageStatus", "chatTag"}


def test_the_envelope() -> None:
    events = LiveEvents(3)
    event = events.next(1229, "telegram", NOW)
    envelope = json.loads(event.data)
    assert event.name == "message"
    assert list(envelope) == ["queue", "payload"]
    assert list(envelope["payload"]) == ["data", "meta"]
    assert envelope["payload"]["meta"] == {
        "type": "message",
        "licenseId": 1229,
        "messengerType": "telegram",
    }


def test_queues_follow_the_messenger() -> None:
    queues = {envelope["queue"] for envelope in story(1, 100)}
    assert queues == {
        "Telegram.Broadcast.Message",
        "Telegram.Broadcast.Message.Status",
        "Telegram.Broadcast.ChatTag",
    }
    assert story(1, 1, "grWhatsApp")[0]["queue"] == "GrWhatsApp.Broadcast.Message"


def test_batches_have_one_to_four_items() -> None:
    sizes = Counter(len(envelope["payload"]["data"]) for envelope in story(1, 1500))
    assert set(sizes) == {1, 2, 3, 4}


def test_messages_have_the_documented_fields() -> None:
    wanted = {"id", "fromApi", "fromMe", "time", "isForwarded", "type", "message"}
    wanted |= {"quotedMessage", "fromUser", "chat"}
    for message in items("message"):
        assert wanted <= set(message)
        assert {"text", "caption", "file"} <= set(message["message"])
        assert {"id", "username", "name", "phone"} == set(message["fromUser"])
        assert message["side"] == ("out" if message["fromMe"] else "in")
        assert message["time"] == NOW


def test_messages_are_of_every_type_chat_and_direction() -> None:
    messages = items("message")
    assert {m["type"] for m in messages} == {
        *("text", "image", "file", "voice", "video", "sticker", "location")
    }
    assert {m["chat"]["type"] for m in messages} == {"private", "group", "channel"}
    assert {m["fromMe"] for m in messages} == {True, False}
    assert {m["fromApi"] for m in messages} == {True, False}
    assert any(m["type"] == "image" and m["message"]["caption"] for m in messages)


def test_only_text_messages_have_text_and_only_files_a_file() -> None:
    for message in items("message"):
        assert bool(message["message"]["text"]) == (message["type"] == "text")
        has_file = message["message"]["file"] is not None
        assert has_file == (message["type"] not in ("text", "location"))


def test_a_channel_only_speaks_for_the_account() -> None:
    posts = [m for m in items("message") if m["chat"]["type"] == "channel"]
    assert posts
    assert all(post["fromMe"] for post in posts)


@pytest.mark.parametrize(
    ("messenger", "kind"), [("telegram", int), ("grWhatsApp", str), ("caWhatsApp", str)]
)
def test_message_ids_are_of_the_messengers_kind_and_unique(
    messenger: str, kind: type[object]
) -> None:
    ids = [message["id"] for message in items("message", messenger)]
    assert {type(id_) for id_ in ids} == {kind}
    assert len(set(ids)) == len(ids)


def test_statuses_of_every_type_some_out_of_order() -> None:
    statuses = items("messageStatus")
    seen: dict[object, list[str]] = {}
    for status in statuses:
        assert set(status) == {"id", "type", "chat", "error"}
        seen.setdefault(status["id"], []).append(status["type"])
    assert {s["type"] for s in statuses} == {"sent", "delivered", "viewed", "failed"}
    assert ["sent", "delivered", "viewed"] in seen.values()
    assert ["sent", "viewed", "delivered"] in seen.values()


def test_only_failures_carry_an_error_as_text_or_object() -> None:
    statuses = items("messageStatus")
    assert all((s["error"] is not None) == (s["type"] == "failed") for s in statuses)
    assert {type(s["error"]) for s in statuses if s["type"] == "failed"} == {str, dict}


def test_statuses_report_on_messages_sent_before() -> None:
    messages = {m["id"]: m["fromMe"] for m in items("message")}
    known = [s["id"] for s in items("messageStatus") if s["id"] in messages]
    assert len(known) > 50
    assert all(messages[id_] for id_ in known)


def test_tags_come_and_go() -> None:
    present: Counter[tuple[int, str]] = Counter()
    tags = items("chatTag")
    for item in tags:
        key = (item["tag"]["id"], item["chat"]["id"])
        present[key] += 1 if item["type"] == "add" else -1
        assert present[key] >= 0, "a tag was removed that was not there"
        assert item["tag"]["color"].startswith("#")
        assert set(item["chat"]) == {"id"}
    assert {item["type"] for item in tags} == {"add", "destroy"}


def test_messengers_do_not_share_their_outgoing_messages() -> None:
    events = LiveEvents(5)
    numbers: list[object] = []
    texts: list[object] = []
    for _ in range(400):
        for messenger, ids in (("telegram", numbers), ("grWhatsApp", texts)):
            payload = json.loads(events.next(1229, messenger, NOW).data)["payload"]
            if payload["meta"]["type"] == "messageStatus":
                ids.extend(item["id"] for item in payload["data"])
    assert {type(id_) for id_ in numbers} == {int}
    assert {type(id_) for id_ in texts} == {str}
