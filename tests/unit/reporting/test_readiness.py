"""Whether a tail was ever ready, and the reason reported when it was not."""

import pytest

from chatapp_tail import items
from chatapp_tail.items import Status
from chatapp_tail.reporting.readiness import Readiness

CONNECTING = items.Connecting(1, "ws://h")
CONNECTED = items.Connected(1, "1.2")
FAILED = items.Lost(1, "ws://h: Connection refused", None, None)
UNCONFIRMED = "the server has not confirmed every channel"


@pytest.mark.defect("U3")
@pytest.mark.parametrize(
    ("statuses", "obstacle"),
    [
        ([], ""),
        ([CONNECTING], "ws://h: no answer"),
        (
            [CONNECTING, FAILED, items.Reconnecting(1, 0.5), CONNECTING],
            "ws://h: Connection refused",
        ),
        ([CONNECTING, CONNECTED], UNCONFIRMED),
        ([CONNECTING, FAILED, CONNECTING, CONNECTED], UNCONFIRMED),
        (
            [CONNECTED, items.ConnectionWarning(1, "answered 503", "private-a")],
            "private-a: answered 503",
        ),
        ([CONNECTED, items.ConnectionWarning(1, "an odd frame")], "an odd frame"),
        ([CONNECTED, items.Refused(1, "private-a", "403")], "private-a: 403"),
    ],
)
def test_what_was_in_the_way_last(statuses: list[Status], obstacle: str) -> None:
    readiness = Readiness()
    for status in statuses:
        readiness.note(status)
    assert not readiness.reached
    assert readiness.obstacle == obstacle
    begin = "never ready within 2.0 s"
    assert readiness.explain(2.0) == (f"{begin}: {obstacle}" if obstacle else begin)


def test_once_ready_it_was_ready() -> None:
    readiness = Readiness()
    for status in (CONNECTING, items.Ready(1, ["a"], []), FAILED):
        readiness.note(status)
    assert readiness.reached
