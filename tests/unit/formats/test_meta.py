"""Status and gap records: the documented members, in their order, one line each."""

import json
import math

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from chatapp_tail import items
from chatapp_tail.formats.meta import describe, encode_meta

AT = 1_795_336_740_123_456_789
MOMENT = "2026-11-22T08:39:00.123456Z"

RECORDS: dict[str, tuple[items.Status | items.Gap, str]] = {
    "connecting": (items.Connecting(AT, "wss://h:1"), '"url":"wss://h:1"'),
    "connected": (items.Connected(AT, "1.2"), '"socket_id":"1.2"'),
    "subscribed": (items.Subscribed(AT, "a"), '"channel":"a"'),
    "ready": (items.Ready(AT, ["a"], ["b"]), '"channels":["a"],"refused":["b"]'),
    "refused": (items.Refused(AT, "a", "no"), '"channel":"a","reason":"no"'),
    "warning": (items.ConnectionWarning(AT, "odd"), '"reason":"odd","channel":null'),
    "idle": (
        items.Idle(AT, 60.0, 1.5, None),
        '"last_event":60.0,"last_frame":1.5,"last_pong":null',
    ),
    "lost": (
        items.Lost(AT, "bye", 1006, 2.5),
        '"reason":"bye","code":1006,"lasted":2.5',
    ),
    "reconnecting": (items.Reconnecting(AT, 0.25), '"delay":0.25'),
    "fetching": (
        items.Fetching(AT, 40, 17, 350),
        '"chats":40,"chats_read":17,"messages":350,"trouble":null',
    ),
    "stopped": (
        items.Stopped(AT, items.StopCause.ASKED, "asked to stop"),
        '"cause":"asked","reason":"asked to stop"',
    ),
}


@pytest.mark.parametrize("state", RECORDS)
def test_status_records(state: str) -> None:
    item, members = RECORDS[state]
    head = f'{{"v":1,"type":"status","state":"{state}","at":"{MOMENT}",'
    assert encode_meta(item).decode() == f"{head}{members}}}\n"


@pytest.mark.parametrize(
    ("gap", "members"),
    [
        (
            items.Gap("a", AT, AT + 25_000_000_000, "lost"),
            '"recovered":0,"missing":"history was not asked"',
        ),
        (
            items.Gap("a", AT, AT + 25_000_000_000, "lost", recovered=3, missing=None),
            '"recovered":3,"missing":null',
        ),
    ],
    ids=["open", "filled"],
)
def test_gap_records(gap: items.Gap, members: str) -> None:
    assert encode_meta(gap).decode() == (
        f'{{"v":1,"type":"gap","channel":"a","from":"{MOMENT}",'
        f'"to":"2026-11-22T08:39:25.123456Z","reason":"lost",{members}}}\n'
    )


def test_every_status_has_a_record() -> None:
    named = {type(item) for item, _ in RECORDS.values()} | {items.FrameTrace}
    assert named == set(items.Status.__args__)


TEXT = st.text(st.characters())


@example(reason="half \ud800 of a pair", channel="\udcff")
@given(reason=TEXT, channel=TEXT)
def test_any_text_is_one_line_of_json(reason: str, channel: str) -> None:
    """Half of a surrogate pair may come from a server, and is not UTF-8."""
    for item in (
        items.ConnectionWarning(AT, reason, channel),
        items.Refused(AT, channel, reason),
        items.Lost(AT, reason, None, None),
        items.Gap(channel, AT, AT, reason),
    ):
        line = encode_meta(item)
        assert line.count(b"\n") == 1
        assert json.loads(line.decode())["v"] == 1


@given(seconds=st.floats(allow_nan=True, allow_infinity=True))
def test_spans_are_json(seconds: float) -> None:
    found = json.loads(encode_meta(items.Reconnecting(AT, seconds)))["delay"]
    assert found == seconds if math.isfinite(seconds) else found is None


@given(at=st.integers(0, 4_102_444_800_000_000_000))
def test_moments_are_utc_with_microseconds(at: int) -> None:
    moment = describe(items.Connected(at, "1.2"))["at"]
    assert isinstance(moment, str)
    assert len(moment) == len(MOMENT)
    assert moment.endswith(f".{at // 1000 % 1_000_000:06d}Z")
