"""The subscription recheck beside a real server: it must prove something and disturb nothing."""

import threading
from collections.abc import Sequence

from chatapp_tail.chatapp.api import Api
from chatapp_tail.chatapp.http import Http
from chatapp_tail.chatapp.secret import Secret
from chatapp_tail.chatapp.tokens import StaticToken
from chatapp_tail.items import (
    RENEWED,
    ChannelEvent,
    ConnectionWarning,
    FrameTrace,
    Gap,
    Item,
    Lost,
    Ready,
)
from chatapp_tail.pusher.connection import Connection, Endpoint, Settings, Timing
from tests.conftest import TIMEOUT_SCALE
from tests.interop.soketi import APP_KEY, TOKEN, AuthEndpoint, Soketi

CHANNELS = tuple(f"private-v1.licenses.{number}.messengers.telegram" for number in (1, 2))
RECHECKS = 5


def asked(collected: Sequence[Item]) -> list[str]:
    """Every request for a subscription that was sent."""
    sent = [
        item.text for item in collected if isinstance(item, FrameTrace) and item.direction == ">"
    ]
    return [text for text in sent if "pusher:subscribe" in text]


def test_a_recheck_is_answered_and_disturbs_nothing(soketi: Soketi, auth: AuthEndpoint) -> None:
    collected: list[Item] = []
    changed = threading.Condition()

    def sink(batch: Sequence[Item]) -> None:
        with changed:
            collected.extend(batch)
            changed.notify_all()

    connection = Connection(
        Settings(
            (Endpoint.parse(soketi.ws_url),),
            APP_KEY,
            CHANNELS,
            timing=Timing(recheck_interval=0.3, confirm_timeout=2.0),
        ),
        Api(Http(auth.url), StaticToken(Secret(TOKEN))).authorise,
        sink,
        trace=True,
    )
    connection.start()
    try:
        with changed:
            assert changed.wait_for(
                lambda: len(asked(collected)) >= len(CHANNELS) * (1 + RECHECKS), 20 * TIMEOUT_SCALE
            )
        for number in range(3):
            soketi.trigger(CHANNELS[0], "message", f'{{"id":{number}}}')
        with changed:
            last = b'{"id":2}'
            assert changed.wait_for(
                lambda: any(isinstance(i, ChannelEvent) and i.data == last for i in collected),
                10 * TIMEOUT_SCALE,
            )
    finally:
        connection.stop()
        connection.join(5)

    # Every event once, the same signature each time, and not a word about any of it.
    assert len([item for item in collected if isinstance(item, ChannelEvent)]) == 3
    assert len(set(asked(collected))) == len(CHANNELS)
    assert len(auth.received) == len(CHANNELS)
    assert len([item for item in collected if isinstance(item, Ready)]) == 1
    assert not [item for item in collected if isinstance(item, Lost | ConnectionWarning)]
    assert {item.reason for item in collected if isinstance(item, Gap)} <= {RENEWED}
