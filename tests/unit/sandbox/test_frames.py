import json

import pytest

from chatapp_tail.sandbox import frames


def test_connection_established_carries_its_data_as_a_string() -> None:
    frame = json.loads(frames.connection_established("1.2", 30))
    assert frame["event"] == "pusher:connection_established"
    assert json.loads(frame["data"]) == {"socket_id": "1.2", "activity_timeout": 30}


DATA = '{"b":1.50, "a":"é\\u00e9\n😀","a":12345678901234567890}'


@pytest.mark.parametrize(
    ("frame", "expected"),
    [
        (
            frames.subscription_succeeded("c"),
            {"event": "pusher_internal:subscription_succeeded", "channel": "c"},
        ),
        (
            frames.pusher_error(4200, "later"),
            {"event": "pusher:error", "data": {"code": 4200, "message": "later"}},
        ),
        (frames.pong(), {"event": "pusher:pong", "data": {}}),
        (frames.channel_event("c", "e", DATA), {"event": "e", "channel": "c", "data": DATA}),
    ],
    ids=["subscribed", "error", "pong", "event"],
)
def test_frames_to_the_letter(frame: str, expected: dict[str, object]) -> None:
    assert json.loads(frame) == expected


def test_subscription_error_is_soketis() -> None:
    frame = json.loads(frames.subscription_error("c"))
    assert (frame["event"], frame["channel"]) == ("pusher:subscription_error", "c")
    assert (frame["data"]["type"], frame["data"]["status"]) == ("AuthError", 401)
