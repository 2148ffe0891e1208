import json

from chatapp_tail.sandbox import frames


def test_connection_established_carries_its_data_as_a_string() -> None:
    frame = json.loads(frames.connection_established("1.2", 30))
    assert frame["event"] == "pusher:connection_established"
    assert json.loads(frame["data"]) == {"socket_id": "1.2", "activity_timeout": 30}


def test_subscription_succeeded_has_no_data() -> None:
    assert json.loads(frames.subscription_succeeded("c")) == {
        "event": "pusher_internal:subscription_succeeded",
        "channel": "c",
    }


def test_subscription_error_is_soketis() -> None:
    frame = json.loads(frames.subscription_error("c"))
    assert (frame["event"], frame["channel"]) == ("pusher:subscription_error", "c")
    assert (frame["data"]["type"], frame["data"]["status"]) == ("AuthError", 401)


def test_pusher_error_carries_its_data_as_an_object() -> None:
    assert json.loads(frames.pusher_error(4200, "later"))["data"] == {
        "code": 4200,
        "message": "later",
    }


def test_pong() -> None:
    assert json.loads(frames.pong()) == {"event": "pusher:pong", "data": {}}


def test_channel_event_keeps_its_data_to_the_byte() -> None:
    data = '{"b":1.50, "a":"é\\u00e9\n😀","a":12345678901234567890}'
    assert json.loads(frames.channel_event("c", "e", data)) == {
        "event": "e",
        "channel": "c",
        "data": data,
    }
