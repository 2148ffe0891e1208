"""The machine of one Pusher connection: every rule with time as an argument."""

import json
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from itertools import cycle, islice, pairwise
from math import inf
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from chatapp_tail.items import ChannelEvent, StopCause
from chatapp_tail.pusher.answers import (
    AuthAnswer,
    Bug,
    Denied,
    Granted,
    TokenRefused,
    Unavailable,
)
from chatapp_tail.pusher.backoff import Backoff, Retry
from chatapp_tail.pusher.close_codes import CloseReason, classify
from chatapp_tail.pusher.events import (
    AuthRequested,
    ConnectionEstablished,
    Event,
    Idle,
    ProtocolWarning,
    SubscriptionLost,
    SubscriptionReconfirmed,
    SubscriptionRefused,
    SubscriptionsSettled,
    SubscriptionSucceeded,
)
from chatapp_tail.pusher.refusals import ChannelRefusals
from chatapp_tail.pusher.timing import Timing
from tests.pusher_machine import (
    ALIVE,
    CHANNEL,
    ESTABLISHED,
    MESSAGE,
    OTHER,
    PING,
    PONG,
    PUBLIC,
    RECEIVED,
    SOCKET_ID,
    Machine,
    error,
    frame,
    rejected,
    succeeded,
)

A, B = CHANNEL, OTHER
A_LONGER, B_LONGER = f"{A}Bot", f"{B}.users.685"
"""Channels whose names begin with those of A and B."""


# --- the handshake ------------------------------------------------------------------------------

SHAPES = {
    "string": '{"event":"pusher:connection_established","data":"{\\"socket_id\\":\\"1.2\\"}"}',
    "object": '{"event":"pusher:connection_established","data":{"socket_id":"1.2"}}',
    "junk beside": (
        '{"x":[1],"data":{"socket_id":"1.2","y":null},'
        '"channel":null,"event":"pusher:connection_established"}'
    ),
}


@pytest.mark.parametrize("text", SHAPES.values(), ids=SHAPES.keys())
def test_established_in_any_shape(text: str) -> None:
    machine = Machine().receive(text)
    assert machine.events == [ConnectionEstablished("1.2"), AuthRequested(A, "1.2")]
    assert machine.sent == []


@pytest.mark.parametrize(
    "data",
    [..., None, "{}", "not JSON", {}, [], {"socket_id": 5}, {"socket_id": ""}, {"socket_id": None}],
)
def test_established_without_a_socket_id_is_no_connection(data: object) -> None:
    ended = Machine().receive(frame("pusher:connection_established", data=data)).ended
    assert ended.retry is Retry.BACK_OFF
    assert "socket id" in ended.reason


ACTIVITY_TIMEOUTS: dict[str, tuple[str, float]] = {
    "the server's is longer": ("30", 15.0),
    "the server's is shorter": ("7", 7.0),
    "a fraction": ("7.5", 7.5),
    "too short, clamped": ("0.01", 1.0),
    "zero": ("0", 15.0),
    "negative": ("-1", 15.0),
    "boolean": ("true", 15.0),
    "null": ("null", 15.0),
    "text": ('"7"', 15.0),
    "array": ("[7]", 15.0),
    "huge": ("1e300", 15.0),
    "huge integer": ("1" * 400, 15.0),
    "beyond a double": ("1e400", 15.0),
}


@pytest.mark.case(10)
@pytest.mark.parametrize(
    ("timeout", "interval"), ACTIVITY_TIMEOUTS.values(), ids=ACTIVITY_TIMEOUTS.keys()
)
@pytest.mark.parametrize("as_string", [True, False], ids=["string", "object"])
def test_activity_timeout(timeout: str, interval: float, as_string: bool) -> None:
    document = f'{{"socket_id":"1.2","activity_timeout":{timeout}}}'
    data = json.dumps(document) if as_string else document
    machine = Machine().receive(f'{{"event":"pusher:connection_established","data":{data}}}')
    assert machine.events[0] == ConnectionEstablished("1.2")
    machine.at(machine.now + interval - 0.01)
    assert machine.names_sent == []
    machine.at(machine.now + 0.02)
    assert machine.names_sent == ["pusher:ping"]


@pytest.mark.case(10, 11, 97)
@pytest.mark.parametrize(
    ("own", "members", "interval"),
    [(15, {}, 15), (120, {"activity_timeout": 30}, 30), (15, {"activity_timeout": 30}, 15)],
    ids=["no activity timeout", "the server's is shorter", "our own is shorter"],
)
def test_the_shorter_interval_counts(own: float, members: dict[str, Any], interval: float) -> None:
    machine = Machine(timing=Timing(ping_interval=own)).establish(**members)
    machine.after(interval - 0.1)
    assert machine.sent == []
    machine.after(0.2)
    assert machine.sent == [(100.0 + interval, {"event": "pusher:ping", "data": {}})]


def test_a_second_established_changes_nothing() -> None:
    machine = Machine().subscribe().establish("9.9")
    assert machine.protocol.socket_id == SOCKET_ID
    assert len(machine.all(ConnectionEstablished)) == 1
    assert isinstance(machine.events[-1], ProtocolWarning)


@pytest.mark.case(13)
@pytest.mark.parametrize(
    "text",
    [
        MESSAGE,
        frame("pusher:subscription_succeeded", A),
        succeeded(A),
        rejected(A, {"status": 403}),
        frame("pusher:cache_miss", A, "{}"),
        frame("pusher:whatever"),
        frame(""),
    ],
)
def test_another_event_first_is_no_connection(text: str) -> None:
    ended = Machine().receive(text).ended
    assert ended.retry is Retry.BACK_OFF
    assert json.loads(text)["event"] in ended.reason


def test_silence_after_the_upgrade_ends_at_the_deadline() -> None:
    machine = Machine()
    machine.at(109.99)
    assert machine.events == []
    machine.at(110.0)
    assert machine.ended.retry is Retry.BACK_OFF


def test_pings_do_not_stretch_the_handshake() -> None:
    machine = Machine()
    for second in range(9):
        machine.at(100.0 + second).receive_control().receive(PING, PONG, "[]", error(None, "hm"))
    machine.at(110.0)
    assert machine.ended.retry is Retry.BACK_OFF
    assert machine.sent == []


# --- errors and ends in the server's words ------------------------------------------------------


STOPS = (None, StopCause.SERVER_REFUSED)
BEFORE_ESTABLISHED: dict[int, tuple[Retry | None, StopCause | None]] = {
    **dict.fromkeys([4001, 4003, 4004, 4006, 4007, 4008, 4009, 4099], STOPS),
    **dict.fromkeys([4100, 4199], (Retry.OVER_CAPACITY, None)),
    **dict.fromkeys([4200, 4299], (Retry.IMMEDIATE, None)),
    **dict.fromkeys([4300, 4399, 3999, 3000], (Retry.BACK_OFF, None)),
    **dict.fromkeys([1000, 1001, 1002, 1003, 1006, 1008, 1011, 1012], (Retry.BACK_OFF, None)),
}
Say = Callable[[Machine, int], Machine]
SAY: dict[str, Say] = {
    "object": lambda machine, code: machine.error(code),
    "Reverb's string": lambda machine, code: machine.receive(
        frame("pusher:error", data=json.dumps({"code": code, "message": "made up"}))
    ),
    "close": lambda machine, code: machine.close(code, "made up"),
}


@pytest.mark.case(17, 18, 22)
@pytest.mark.parametrize(("code", "expected"), BEFORE_ESTABLISHED.items())
@pytest.mark.parametrize("say", SAY.values(), ids=SAY)
def test_an_error_or_close_before_established_ends_it(
    code: int, expected: tuple[Retry | None, StopCause | None], say: Say
) -> None:
    ended = say(Machine(), code).ended
    assert ended == classify(code, "made up", established=False)
    assert (ended.code, ended.retry, ended.stop) == (code, *expected)
    assert "made up" in ended.reason


@pytest.mark.parametrize(
    "data",
    [
        '{"code":4001,"message":"\\ud800"}',
        '{"code":4001,"message":5,"x":1e400}',
        '"{\\"code\\":4001,\\"message\\":\\"\\\\ud83d\\"}"',
    ],
    ids=["lone surrogate", "number beyond a double", "lone surrogate in a string"],
)
def test_an_error_is_read_whatever_stands_beside_its_code(data: str) -> None:
    ended = Machine().receive(f'{{"event":"pusher:error","data":{data}}}').ended
    assert (ended.code, ended.stop) == (4001, StopCause.SERVER_REFUSED)


@pytest.mark.parametrize(
    "data", [..., None, "", "text", [], 5, {"code": "4001"}, {"code": True}, {}]
)
def test_an_error_without_a_code_before_established_is_waited_out(data: object) -> None:
    machine = Machine().receive(frame("pusher:error", data=data))
    assert [type(event) for event in machine.events] == [ProtocolWarning]
    assert machine.establish().protocol.socket_id == SOCKET_ID


IN_BAND: list[tuple[int, int, Retry | None]] = [
    (4201, 1006, Retry.IMMEDIATE),
    (4200, 1006, Retry.IMMEDIATE),
    (4200, 1005, Retry.IMMEDIATE),
    (4001, 1006, None),
    (4001, 1005, None),
    (4100, 1000, Retry.OVER_CAPACITY),
    (4302, 1006, Retry.BACK_OFF),
    # A close with a code of its own.
    (4200, 1011, Retry.BACK_OFF),
    (4001, 1011, Retry.BACK_OFF),
    (4001, 4200, Retry.IMMEDIATE),
]


@pytest.mark.case(118)
@pytest.mark.parametrize(("said", "code", "retry"), IN_BAND)
def test_an_in_band_error_explains_an_end_that_does_not(
    said: int, code: int, retry: Retry | None
) -> None:
    machine = Machine().subscribe().error(said)
    assert machine.goes_on
    ended = machine.close(code).ended
    assert (ended.retry, ended.stop) == (retry, None if retry else StopCause.SERVER_REFUSED)


@pytest.mark.case(118)
@pytest.mark.parametrize("text", [MESSAGE, PONG, PING])
def test_an_in_band_error_followed_by_a_frame_explains_nothing(text: str) -> None:
    machine = Machine().subscribe().error(4001).receive(text)
    assert machine.close(1006).ended.retry is Retry.BACK_OFF


@pytest.mark.parametrize("code", [4000, 4001, 4009, 4100, 4200, 4201, 4301, None, 10**25])
def test_an_in_band_error_alone_ends_nothing(code: int | None) -> None:
    machine = Machine().subscribe().error(code)
    assert machine.goes_on
    assert isinstance(machine.events[-1], ProtocolWarning)
    assert "made up" in machine.events[-1].reason


# --- subscriptions ------------------------------------------------------------------------------


@pytest.mark.case(55, 72)
def test_public_channels_go_out_before_any_auth_is_waited_for() -> None:
    machine = Machine(A, PUBLIC, B, "weather").establish()
    assert machine.requests == [{"channel": PUBLIC}, {"channel": "weather"}]
    assert machine.all(AuthRequested) == [AuthRequested(A, SOCKET_ID), AuthRequested(B, SOCKET_ID)]


def test_exactly_the_granted_auth_is_sent_and_nothing_beside_it() -> None:
    machine = Machine().establish().answer(A, Granted('k:"\\é'))
    assert machine.requests == [{"channel": A, "auth": 'k:"\\é'}]


@pytest.mark.case(57)
def test_a_channel_named_twice_is_subscribed_once() -> None:
    machine = Machine(A, A).subscribe(A)
    assert machine.requested == [A]
    assert machine.all(SubscriptionsSettled) == [SubscriptionsSettled([A], [])]


@pytest.mark.case(34)
@pytest.mark.parametrize(
    ("channel", "socket_id"),
    [(A, "old"), (A, ""), (B, SOCKET_ID), (PUBLIC, SOCKET_ID), ("", SOCKET_ID)],
    ids=["old socket", "no socket", "not wanted", "public", "empty"],
)
def test_an_answer_for_something_else_is_thrown_away(channel: str, socket_id: str) -> None:
    machine = Machine(A, PUBLIC).establish()
    before = list(machine.sent)
    for answer in (Granted("k:s"), Denied("no"), TokenRefused("no"), Unavailable("no"), Bug("no")):
        machine.answer(channel, answer, socket_id)
    assert machine.goes_on
    assert machine.sent == before


def test_a_second_answer_is_thrown_away() -> None:
    machine = Machine(A, B).establish().grant(A, A).answer(A, Denied("late"))
    assert len(machine.requests) == 1
    assert machine.refused == []


@pytest.mark.case(62)
@pytest.mark.parametrize(
    "data",
    ["", ',"data":"{}"', ',"data":{}', ',"data":null', ',"data":[]', ',"data":"x"'],
    ids=lambda data: data or "no data",
)
@pytest.mark.parametrize("prefix", ["pusher_internal", "pusher"])
def test_success_in_any_shape(prefix: str, data: str) -> None:
    machine = Machine().establish().grant()
    machine.receive(f'{{"event":"{prefix}:subscription_succeeded","channel":"{A}"{data}}}')
    assert machine.events[-2:] == [SubscriptionSucceeded(A), SubscriptionsSettled([A], [])]
    assert machine.protocol.ready


def test_ready_is_said_when_the_last_channel_is_confirmed() -> None:
    machine = Machine(A, B, PUBLIC).establish().grant(A, B).confirm(A, PUBLIC)
    assert not machine.protocol.ready
    machine.confirm(B)
    assert machine.protocol.ready
    assert machine.all(SubscriptionsSettled) == [SubscriptionsSettled([A, B, PUBLIC], [])]


@pytest.mark.case(64)
def test_a_second_success_vouches_and_announces_nothing_new() -> None:
    machine = Machine(A, B).subscribe()
    again = machine.outcome(succeeded(A), succeeded(B))
    assert again == [SubscriptionReconfirmed(A), SubscriptionReconfirmed(B)]


def test_a_success_for_another_channel_is_noted() -> None:
    machine = Machine().subscribe().confirm("stranger")
    assert isinstance(machine.events[-1], ProtocolWarning)
    assert "stranger" in machine.events[-1].reason


def test_one_refused_channel_leaves_the_others_alone() -> None:
    machine = Machine(A, B).establish().answer(A, Denied("403")).grant(B).confirm(B)
    assert machine.all(SubscriptionRefused) == [SubscriptionRefused(A, "403")]
    assert machine.all(SubscriptionsSettled) == [SubscriptionsSettled([B], [A])]
    assert machine.goes_on


def test_every_channel_refused_stops_and_says_why() -> None:
    ended = Machine(A, B).establish().answer(A, Denied("x")).answer(B, Denied("y")).ended
    assert ended.stop is StopCause.CHANNELS_REFUSED
    assert A in ended.reason
    assert "x" in ended.reason


def test_strict_allows_no_refusal() -> None:
    machine = Machine(A, B, strict=True).establish().grant(B).confirm(B)
    ended = machine.answer(A, Denied("made up")).ended
    assert ended.stop is StopCause.CHANNELS_REFUSED
    assert "--strict" in ended.reason


@pytest.mark.case(28)
def test_a_refused_channel_is_asked_again_slowly_and_said_once() -> None:
    machine = Machine(A, B, timing=ALIVE).subscribe(B).answer(A, Denied("no"))
    assert machine.protocol.ready
    assert machine.after(299.0).asked == [A, B]
    assert machine.after(1.5).asked == [A, B, A]
    assert machine.goes_on
    machine.answer(A, Denied("no"))
    assert machine.all(SubscriptionRefused) == [SubscriptionRefused(A, "no")]
    machine.after(301.0).grant(A).confirm(A)
    assert machine.confirmed == [B, A]
    assert len(machine.all(SubscriptionsSettled)) == 1


@pytest.mark.parametrize(
    ("answer", "stop"),
    [(TokenRefused("made up"), StopCause.CREDENTIALS), (Bug("made up"), StopCause.BUG)],
    ids=["a refused token", "a bug in asking"],
)
def test_an_answer_that_is_about_no_channel_stops(answer: AuthAnswer, stop: StopCause) -> None:
    ended = Machine(A, B).establish().grant(B).answer(A, answer).ended
    assert (ended.stop, ended.reason) == (stop, "made up")


@pytest.mark.case(30)
def test_no_answer_this_time_is_asked_again_with_growing_patience() -> None:
    machine = Machine(timing=ALIVE).establish()
    waits = [machine.answer(A, Unavailable("503")).wait_asked() for _ in range(8)]
    assert waits == pytest.approx([0.75, 1.5, 3, 6, 12, 22.5, 22.5, 22.5])
    assert machine.goes_on
    assert set(machine.warned) == {A}
    assert machine.grant().confirm().confirmed == [A]


@pytest.mark.case(30)
@pytest.mark.parametrize("retry_after", [7.0, 40.0, 120.0])
def test_retry_after_is_honoured(retry_after: float) -> None:
    machine = Machine(timing=ALIVE).establish().answer(A, Unavailable("429", retry_after))
    assert machine.after(retry_after - 0.1).asked == [A]
    assert machine.after(0.2).asked == [A, A]


@pytest.mark.parametrize("retry_after", [1e300, inf], ids=["centuries", "infinity"])
def test_retry_after_cannot_silence_a_channel_for_good(retry_after: float) -> None:
    machine = Machine(timing=ALIVE).establish()
    machine.answer(A, Unavailable("429", retry_after)).after(86_400.0)
    assert len(machine.asked) > 1


@pytest.mark.case(44, 65)
def test_no_confirmation_asks_again_with_a_new_auth() -> None:
    machine = Machine(timing=ALIVE).establish().grant().after(9.9)
    assert machine.warned == []
    machine.after(1.0)
    (noted,) = machine.all(ProtocolWarning)
    assert (noted.channel, "10 s" in noted.reason) == (A, True)
    assert machine.all(AuthRequested) == [AuthRequested(A, SOCKET_ID)] * 2
    machine.answer(A, Granted("key:new")).confirm()
    assert [data["auth"] for data in machine.requests] == [f"key:{A}", "key:new"]
    assert machine.protocol.ready


@pytest.mark.case(33)
def test_an_auth_request_that_is_never_answered_is_not_waited_for_in_silence() -> None:
    machine = Machine(A, PUBLIC).establish().confirm(PUBLIC).live(61)
    assert machine.warned[:1] == [A]


SUBSCRIPTION_ERRORS = {
    "401": ({"type": "AuthError", "error": "made up", "status": 401}, True),
    "403": ({"error": "made up", "status": 403}, True),
    "4009": ({"error": "made up", "status": 4009}, True),
    "401 in a string": ('{"error":"made up","status":401}', True),
    "4100": ({"error": "made up", "status": 4100}, False),
    "4301": ({"error": "made up", "status": 4301}, False),
    "4302": ({"error": "made up", "status": 4302}, False),
    "500": ({"error": "made up", "status": 500}, False),
    "null": ({"error": "made up", "status": None}, False),
    "a status in a string": ({"error": "made up", "status": "401"}, False),
    "no status": ({"error": "made up"}, False),
}


@pytest.mark.case(66)
@pytest.mark.parametrize(
    ("data", "refused"), SUBSCRIPTION_ERRORS.values(), ids=SUBSCRIPTION_ERRORS.keys()
)
@pytest.mark.parametrize("prefix", ["pusher", "pusher_internal"])
def test_subscription_error(prefix: str, data: object, refused: bool) -> None:
    machine = Machine(A, B, timing=ALIVE).establish().grant()
    machine.receive(frame(f"{prefix}:subscription_error", A, data))
    said = machine.events[-1]
    assert isinstance(said, SubscriptionRefused if refused else ProtocolWarning)
    assert said.channel == A
    assert "made up" in said.reason
    assert machine.confirm(B).confirmed == [B]
    assert machine.protocol.ready == refused
    assert machine.wait_asked() == pytest.approx(300.0 if refused else 0.75)


@pytest.mark.parametrize("data", [..., None, "", "x", [], 5, {"error": {}, "status": []}])
def test_a_subscription_error_that_says_nothing_is_tried_again(data: object) -> None:
    machine = Machine().establish().grant(A).receive(rejected(A, data))
    assert machine.after(5.0).asked == [A, A]


def test_a_subscription_error_of_a_stranger_refuses_nobody() -> None:
    machine = Machine().establish().grant(A)
    machine.receive(rejected("stranger", {"status": 401}))
    assert machine.refused == []
    assert machine.goes_on


@pytest.mark.case(67)
@pytest.mark.parametrize(
    "data",
    [
        {"code": 4009, "message": "made up"},
        {"code": 4009},
        '{"code":4009,"message":"Connection is unauthorized"}',
        {"code": None, "message": "Invalid signature"},
        {"code": None, "message": "Auth value for subscription is bad"},
    ],
)
def test_an_error_without_a_channel_is_about_the_only_pending_one(data: object) -> None:
    machine = Machine(A, B).establish().grant().confirm(A)
    assert machine.receive(frame("pusher:error", data=data)).refused == [B]


@pytest.mark.defect("A2.16b")
def test_an_error_about_anything_refuses_only_when_it_comes_again_and_again() -> None:
    machine = Machine(timing=ALIVE).establish()
    for second in range(30):
        machine.grant(A).error(None, "Server is overloaded")
        assert machine.goes_on
        machine.after(1.0)
        if second == 20:
            assert 3 <= len(machine.requests) <= 6
    while machine.goes_on and machine.now < 300.0:
        machine.grant(A).error(None, "Server is overloaded").after(1.0)
    assert machine.ended.stop is StopCause.CHANNELS_REFUSED
    assert "Server is overloaded" in machine.ended.reason


@pytest.mark.defect("A2.16b")
def test_a_confirmation_after_an_error_about_anything_counts() -> None:
    machine = Machine(timing=ALIVE).establish().grant().error(None, "Rate limit").confirm()
    assert machine.protocol.ready
    assert len(machine.after(20.0).requests) == 1


@pytest.mark.defect("A2.16b")
def test_an_error_about_anything_that_passes_costs_a_repeated_request() -> None:
    machine = Machine(timing=ALIVE).establish().grant(A).error(None, "Rate limit")
    assert machine.after(6.0).grant().confirm().protocol.ready


REFUSALS: dict[str, Callable[["Machine"], "Machine"]] = {
    "by the auth endpoint": lambda machine: machine.answer(A, Denied("no")),
    "with channel, 403": lambda machine: machine.grant(A).receive(
        rejected(A, {"error": "no", "status": 403})
    ),
    "without channel, 4009": lambda machine: machine.grant(A).error(4009, "no"),
    "by name": lambda machine: machine.grant(A).error(None, f"no {A}"),
}


@pytest.mark.parametrize("refuse", REFUSALS.values(), ids=REFUSALS)
def test_a_channel_that_never_was_confirmed_is_refused_at_once(
    refuse: Callable[[Machine], Machine],
) -> None:
    assert refuse(Machine().establish()).ended.stop is StopCause.CHANNELS_REFUSED


@pytest.mark.defect("A2.16b", "A2.16c")
@pytest.mark.parametrize("refuse", REFUSALS.values(), ids=REFUSALS)
def test_a_channel_that_was_confirmed_before_is_refused_when_it_lasts(
    refuse: Callable[[Machine], Machine],
) -> None:
    refusals = ChannelRefusals(30.0)
    Machine(refusals=refusals).subscribe().close(1006)
    machine = Machine(timing=ALIVE, refusals=refusals).establish()
    begun = machine.now
    while machine.goes_on:
        assert machine.now - begun < 100.0
        refuse(machine)
        if machine.goes_on:
            machine.at(machine.protocol.deadline())
    assert machine.ended.stop is StopCause.CHANNELS_REFUSED
    assert machine.now - begun >= 30.0
    assert len(machine.asked) <= 8


@pytest.mark.defect("A2.16b", "A2.16c")
@pytest.mark.parametrize("refuse", REFUSALS.values(), ids=REFUSALS)
def test_a_refusal_that_passes_ends_nothing(refuse: Callable[[Machine], Machine]) -> None:
    refusals = ChannelRefusals(30.0)
    Machine(refusals=refusals).subscribe().close(1006)
    machine = refuse(Machine(timing=ALIVE, refusals=refusals).establish())
    assert (machine.goes_on, machine.refused) == (True, [])
    assert "asking again" in machine.all(ProtocolWarning)[0].reason
    assert machine.after(6.0).grant().confirm().protocol.ready


@pytest.mark.defect("A2.23c")
def test_a_channel_that_errs_after_each_confirmation_is_asked_again_ever_more_slowly() -> None:
    machine, failed = Machine(timing=ALIVE).subscribe(), rejected(A, {"status": 500})
    waits = []
    for _ in range(6):
        waits.append(machine.receive(failed).wait_asked())
        machine.grant().confirm()
    assert waits == pytest.approx([0.75, 1.5, 3, 6, 12, 22.5])
    assert machine.after(30.0).receive(failed).wait_asked() == pytest.approx(0.75)


@pytest.mark.defect("A2.7")
def test_a_confirmation_after_a_refusal_is_not_taken_for_a_new_one() -> None:
    machine = Machine(timing=ALIVE).subscribe()
    machine.receive(rejected(A, {"status": 500}), succeeded(A), succeeded(A))
    assert machine.confirmed == [A]
    machine.after(1.0).grant(A).confirm(A)
    assert machine.confirmed == [A] * 2


def test_requests_that_time_out_together_end_the_connection_once() -> None:
    machine = Machine(PUBLIC, "weather", "sport", timing=ALIVE).establish().after(100.0)
    assert machine.ended.retry is Retry.BACK_OFF


@pytest.mark.defect("A2.15")
def test_a_server_that_answers_no_request_for_a_channel_is_left() -> None:
    machine = Machine(timing=ALIVE).establish()
    while machine.goes_on:
        assert machine.now < 200.0
        machine.grant().after(1.0)
    assert machine.ended.retry is Retry.BACK_OFF
    assert "answers no request" in machine.ended.reason
    assert len(machine.requests) == 3


def test_a_server_that_answers_for_one_channel_is_not_left_for_the_other() -> None:
    machine = Machine(A, B, timing=ALIVE).establish().grant(A).confirm(A)
    for _ in range(150):
        machine.grant(B).after(1.0)
    assert machine.goes_on


@pytest.mark.case(67, 68)
@pytest.mark.parametrize(
    "message",
    [
        "Invalid signature: expected digest of 1.1:{}, but got x",
        "Auth value for subscription to {} is invalid: should be of format",
        "Existing subscription to channel {}",
    ],
)
@pytest.mark.parametrize("channels", [(A, A_LONGER), (A_LONGER, A), (B, B_LONGER), (B_LONGER, B)])
@pytest.mark.parametrize("number", [0, 1])
def test_an_error_is_about_the_channel_it_names(
    message: str, channels: tuple[str, str], number: int
) -> None:
    """Also when one channel's name begins the other's."""
    machine = Machine(*channels, PUBLIC).establish().grant()
    machine.error(None, message.format(channels[number]))
    assert machine.refused + machine.confirmed == [channels[number]]
    assert bool(machine.confirmed) == message.startswith("Existing")


@pytest.mark.case(67)
@pytest.mark.parametrize("apart", [0.0, 1.0], ids=["in one instant", "one after the other"])
@pytest.mark.parametrize("order", [(A, B), (B, A)], ids=["A, B", "B, A"])
def test_4009_without_a_name_is_about_the_oldest_asked_with_auth(
    order: tuple[str, str], apart: float
) -> None:
    machine = Machine(PUBLIC, A, B).establish().grant(order[0])
    machine.now += apart
    machine.grant(order[1]).error(4009, "Connection is unauthorized")
    assert machine.refused == [order[0]]


@pytest.mark.case(67)
def test_an_error_without_a_name_among_several_refuses_nobody() -> None:
    """The timer notices which channel it was about."""
    machine = Machine(A, B).establish().grant().error(None, "something")
    assert machine.refused == []
    assert B in machine.confirm(A).after(11).warned


@pytest.mark.parametrize("code", [4200, 4301, 4302, 4100])
def test_another_code_refuses_nobody(code: int) -> None:
    machine = Machine().establish().grant(A).error(code, f"about {A}")
    assert machine.refused == []
    assert machine.goes_on


@pytest.mark.case(68)
def test_existing_subscription_is_a_subscription() -> None:
    machine = Machine().establish().grant().error(None, f"Existing subscription to channel {A}")
    assert (machine.confirmed, machine.refused) == ([A], [])
    assert machine.protocol.ready


@pytest.mark.parametrize("message", ["Existing subscription to channel", "Invalid signature for"])
@pytest.mark.parametrize("named", [A, "stranger"])
def test_an_error_about_another_channel_decides_nothing(message: str, named: str) -> None:
    machine = Machine(A, B).establish().grant(A, B).confirm(A)
    machine.error(None, f"{message} {named}")
    assert machine.confirmed == [A]
    if named == A:
        assert machine.refused == []


# --- events -------------------------------------------------------------------------------------

DATA = {
    "absent": ("", None),
    "null": (',"data":null', b"null"),
    "JSON in a string": (r',"data":"{\"a\":1.10}"', b'{"a":1.10}'),
    "text": (',"data":"hi"', b"hi"),
    "empty string": (',"data":""', b""),
    "object as it stands": (',"data":{"b":1e400,"a":1,"a":2}', b'{"b":1e400,"a":1,"a":2}'),
    "number": (',"data":123456789012345678901234567890', b"123456789012345678901234567890"),
    "lone surrogate": (r',"data":"a\ud800"', b"a?"),
    "escape of a surrogate": (r',"data":"a\\ud800"', rb"a\ud800"),
    "lone surrogate in a document": (
        r',"data":"{\"a\":\"\u00e9\ud800\"}"',
        rb'{"a":"' b"\xc3\xa9" rb'\ud800"}',
    ),
    "lone surrogate beside": (r',"x":"\ud800","data":"{}"', b"{}"),
    "empty string after a number": (',"data":1,"data":""', b""),
    "text after an object": (',"data":{},"data":"hi"', b"hi"),
    "object after text": (',"data":"hi","data":{}', b"{}"),
    "spaces around": (',"data" : [1, 2] ', b"[1, 2]"),
    "named twice": (',"data":1,"data":2', b"2"),
}


@pytest.mark.parametrize(("members", "data"), DATA.values(), ids=DATA.keys())
def test_an_event_comes_out_as_it_came_in(members: str, data: bytes | None) -> None:
    machine = Machine().subscribe().receive(f'{{"event":"message","channel":"{A}"{members}}}')
    assert machine.events[-1] == ChannelEvent(RECEIVED, "message", A, data)


@pytest.mark.parametrize("channel", ["", ',"channel":null'])
def test_an_event_may_have_no_channel(channel: str) -> None:
    machine = Machine().subscribe().receive(f'{{"event":"message"{channel},"data":1}}')
    assert machine.events[-1] == ChannelEvent(RECEIVED, "message", None, b"1")


@pytest.mark.case(81)
def test_an_event_before_the_confirmation_is_delivered_in_order() -> None:
    machine = Machine().establish().receive(MESSAGE).grant()
    assert len(machine.all(ChannelEvent)) == 1
    assert [type(event) for event in machine.outcome(MESSAGE, succeeded(A))] == [
        ChannelEvent,
        SubscriptionSucceeded,
        SubscriptionsSettled,
    ]


def test_events_keep_the_order_of_the_wire() -> None:
    machine = Machine(A, B).subscribe()
    machine.receive(*(frame(f"e{n}", (A, B)[n % 2], str(n)) for n in range(50)))
    assert [event.event for event in machine.all(ChannelEvent)] == [f"e{n}" for n in range(50)]


DEEP = "[" * 100_000
SKIPPED = ["{}", "[]", "5", '"x"', "null", "true", "", " ", "{", "not json", "NaN", "9" * 10_000]
SKIPPED += ['{"event":5}', '{"event":null}', '{"event":{}}', '{"event":true}', '{"event":["m"]}']
SKIPPED += [f'{{"event":"m","channel":{odd}}}' for odd in ("5", "true", "{}", '["a"]')]
SKIPPED += ['{"event":"\\ud800","channel":5}', '{"Event":"m"}', "\ufeff{}"]
SKIPPED += ['{"event":"m","data":NaN}', '{"event":"m","data":01}', '{"event":"m"} x']
SKIPPED += ['{"event":"m"}}', DEEP, '{"event":"m","data":' + DEEP + "]" * len(DEEP) + "}"]


@pytest.mark.case(144, 145)
@pytest.mark.parametrize("text", SKIPPED, ids=lambda text: text[:40] or "empty")
def test_what_is_no_event_is_counted_and_said_once(text: str) -> None:
    machine = Machine().subscribe()
    assert [type(event) for event in machine.outcome(*[text] * 20)] == [ProtocolWarning]
    assert list(machine.protocol.skipped.values()) == [20]
    assert machine.receive(MESSAGE).all(ChannelEvent)
    assert machine.goes_on


def test_binary_messages_are_counted_and_said_once() -> None:
    machine = Machine().subscribe()
    before = len(machine.events)
    for _ in range(20):
        machine.receive_binary()
    assert machine.protocol.skipped == {"a binary frame": 20}
    assert [type(event) for event in machine.events[before:]] == [ProtocolWarning]


FLOODS = {
    "unknown protocol events": (frame("pusher:made_up"), 1),
    "unknown internal events": (frame("pusher_internal:made_up", A), 1),
    "confirmations nobody asked for": (succeeded("stranger"), 1),
    "refusals nobody asked for": (rejected("stranger", {}), 1),
    "a second establishment": (ESTABLISHED, 1),
    "another establishment": (ESTABLISHED.replace(SOCKET_ID, "2.2"), 1),
    "failures of a channel": (rejected(A, {}), 20),
    "errors": (error(4301), 20),
}


@pytest.mark.parametrize(("text", "most"), FLOODS.values(), ids=FLOODS.keys())
def test_a_flood_of_oddities_is_said_a_few_times_and_not_each(text: str, most: int) -> None:
    machine = Machine().subscribe()
    assert 1 <= len(machine.outcome(*[text] * 1000)) <= most
    assert machine.all(ProtocolWarning)
    assert machine.all(ChannelEvent) == []
    assert machine.goes_on


def test_text_that_is_not_utf_8_ends_the_link_with_1007() -> None:
    ended = Machine().subscribe().receive(b'{"event":"m","data":"\xff"}').ended
    assert (ended.code, ended.retry) == (1007, Retry.BACK_OFF)


# --- keep-alive ---------------------------------------------------------------------------------


def test_pings_go_out_on_a_clock_when_nothing_comes() -> None:
    machine = Machine().subscribe()
    for _ in range(10):
        machine.after(14.9).receive(PONG).after(0.1).receive(PONG)
    assert len(machine.pings) == 10


@pytest.mark.case(98)
@pytest.mark.parametrize("members", [{}, {"activity_timeout": 120}])
def test_pings_go_out_on_a_clock_while_events_flow(members: dict[str, Any]) -> None:
    machine = Machine().establish(**members).grant().confirm()
    for _ in range(3000):
        machine.receive(MESSAGE).after(0.1)
    assert len(machine.pings) in (19, 20)
    assert all(after - before <= 15.2 for before, after in pairwise(machine.pings))
    assert machine.goes_on


LIFE: dict[str, Callable[[Machine], Machine]] = {
    "pong": lambda machine: machine.receive(PONG),
    "ping": lambda machine: machine.receive(PING),
    "event": lambda machine: machine.receive(MESSAGE),
    "junk": lambda machine: machine.receive("not JSON"),
    "WebSocket ping or pong": lambda machine: machine.receive_control(),
    "binary": lambda machine: machine.receive_binary(),
}


@pytest.mark.case(100)
@pytest.mark.parametrize("live", LIFE.values(), ids=LIFE)
def test_anything_that_comes_is_an_answer_to_a_ping(live: Callable[[Machine], Machine]) -> None:
    machine = Machine().subscribe().after(24.9)
    assert live(machine).after(14.0).goes_on
    assert machine.after(16.0).ended.retry is Retry.BACK_OFF


@pytest.mark.case(99)
def test_no_answer_to_a_ping_ends_the_link() -> None:
    machine = Machine().subscribe().after(24.99)
    assert machine.goes_on
    ended = machine.after(0.02).ended
    assert ended.retry is Retry.BACK_OFF
    assert "10 s" in ended.reason


@pytest.mark.parametrize(
    "interval", [2.0, 5.0, 9.0, 15.0, 120.0], ids=lambda interval: f"interval {interval:g}"
)
def test_later_pings_do_not_put_off_the_deadline_of_the_first(interval: float) -> None:
    machine = Machine(timing=Timing(ping_interval=interval, pong_timeout=10.0)).subscribe()
    machine.after(interval + 9.99)
    assert machine.goes_on
    assert machine.after(0.02).ended.retry is Retry.BACK_OFF


@pytest.mark.case(101)
@pytest.mark.parametrize("data", [..., None, {}, "{}", "", "text", 5, [1]])
def test_a_ping_is_answered_whatever_its_data(data: object) -> None:
    machine = Machine().subscribe()
    before = len(machine.sent)
    machine.receive(frame("pusher:ping", data=data))
    assert machine.sent[before:] == [(machine.now, {"event": "pusher:pong", "data": {}})]


def test_a_flood_of_pings_costs_one_pong() -> None:
    machine = Machine().subscribe().receive(*[PING] * 10_000)
    assert machine.names_sent.count("pusher:pong") == 1


@pytest.mark.case(108)
def test_a_probe_pings_at_once_with_a_deadline() -> None:
    machine = Machine().subscribe().after(3.0).probe()
    assert machine.pings == [machine.now]
    assert machine.after(10.0).ended.retry is Retry.BACK_OFF


@pytest.mark.case(108)
def test_a_probe_before_established_sends_nothing() -> None:
    machine = Machine().probe().after(1.0)
    assert machine.sent == []
    assert machine.subscribe().confirmed == [A]
    assert machine.warned == []


@given(
    st.lists(st.floats(min_value=0.01, max_value=20), max_size=30),
    st.sampled_from((2.0, 9.0, 15.0, 40.0)),
    st.sampled_from((1.0, 10.0, 30.0)),
)
def test_no_silence_is_longer_than_ping_interval_and_pong_timeout(
    gaps: list[float], interval: float, pong: float
) -> None:
    machine = Machine(timing=Timing(ping_interval=interval, pong_timeout=pong)).subscribe()
    last = machine.now
    for gap in [*gaps, inf]:
        while (due := machine.protocol.deadline()) <= last + gap and machine.goes_on:
            assert due - last <= interval + pong + 1e-6
            assert machine.at(due).protocol.deadline() > due, "due for ever"
        if not machine.goes_on:
            break
        machine.at(last + gap).receive(MESSAGE)
        last = machine.now
    assert machine.ended.retry is Retry.BACK_OFF
    assert machine.now - last <= interval + pong + 1e-6


@given(st.lists(st.floats(min_value=0.0, max_value=9.9), min_size=1, max_size=80))
def test_pings_are_never_further_apart_than_the_interval(gaps: list[float]) -> None:
    machine = Machine().subscribe()
    began = machine.now
    for gap in gaps:
        machine.after(gap).receive(MESSAGE)
    assert machine.goes_on
    moments = [began, *machine.pings, machine.now]
    assert all(later - sooner <= 15.0 + 1e-6 for sooner, later in pairwise(moments))


# --- rechecks -------------------------------------------------------------------------------------


def rechecks(machine: Machine) -> list[str]:
    """The channels asked for once more, in order."""
    return machine.requested[len(machine.channels) :]


@pytest.mark.case(56)
def test_every_subscription_is_asked_for_again_with_the_same_signature() -> None:
    machine = Machine(PUBLIC, A, timing=ALIVE).subscribe().after(179.0)
    assert rechecks(machine) == []
    machine.after(1.5)
    assert machine.requests[2:] == machine.requests[:2]
    existing = error(None, f"Existing subscription to channel {A}")
    assert machine.outcome(existing, succeeded(PUBLIC)) == [
        SubscriptionReconfirmed(A, certain=True),
        SubscriptionReconfirmed(PUBLIC),
    ]
    assert machine.asked == [A]
    machine.after(180.0)
    assert rechecks(machine) == [PUBLIC, A] * 2


def test_a_server_that_never_answers_rechecks_is_left_alone() -> None:
    machine = Machine(PUBLIC, A, timing=ALIVE).subscribe().after(2000.0)
    assert rechecks(machine) == [PUBLIC, A]
    assert (machine.all(SubscriptionLost), machine.warned) == ([], [])


def test_a_server_that_stops_answering_rechecks_has_forgotten_us() -> None:
    machine = Machine(A, B, timing=ALIVE).subscribe().after(180.5).confirm(A, B)
    machine.after(180.5).confirm(A).after(10.0)
    assert machine.all(SubscriptionLost) == [SubscriptionLost(B)]
    machine.after(2.0).grant(B).confirm(B)
    assert machine.confirmed == [A, B, B]
    assert len(machine.all(SubscriptionsSettled)) == 1


LOST_PERMISSIONS = {
    "soketi, 401": rejected(A, {"error": "made up", "status": 401}),
    "soketi, 500": rejected(A, {"error": "made up", "status": 500}),
    "in band, 4009": error(4009, "made up"),
    "in band, by name": error(None, f"Invalid signature for {A}"),
}


@pytest.mark.parametrize("text", LOST_PERMISSIONS.values(), ids=LOST_PERMISSIONS.keys())
def test_an_recheck_that_is_refused_makes_the_channel_doubtful(text: str) -> None:
    """Whatever came between the refusal and the next confirmation is a gap to be said."""
    machine = Machine(timing=ALIVE).subscribe().after(180.5).receive(text)
    assert machine.goes_on
    assert machine.after(2.0).grant().confirm().confirmed == [A, A]
    assert machine.all(SubscriptionLost) == [SubscriptionLost(A)]


def test_a_channel_confirmed_before_it_was_asked_for_is_subscribed_all_the_same() -> None:
    machine = Machine(timing=ALIVE).establish().confirm().grant().after(400.0)
    assert {"channel": A, "auth": f"key:{A}"} in machine.requests


# --- quiet --------------------------------------------------------------------------------------


def test_quiet_is_said_once_an_interval_while_no_event_comes() -> None:
    machine = Machine().subscribe()
    for _ in range(60):
        machine.after(3.0).receive(PONG)
    quiet = machine.all(Idle)
    assert [round(idle.last_event) for idle in quiet] == [60, 120, 180]
    assert all(idle.last_frame <= 3.0 for idle in quiet)
    assert all(idle.last_pong is not None and idle.last_pong <= 3.0 for idle in quiet)


def test_nothing_is_quiet_while_events_come() -> None:
    machine = Machine().subscribe()
    for _ in range(40):
        machine.after(9.0).receive(MESSAGE)
    assert machine.all(Idle) == []


# --- ends ---------------------------------------------------------------------------------------

ENDS: dict[str, Callable[[Machine], object]] = {
    "close": lambda machine: machine.close(1006),
    "not UTF-8": lambda machine: machine.receive(b"\xff"),
    "abandoned": lambda machine: machine.protocol.fail("made up", 1002),
    "token refused": lambda machine: machine.at(machine.now).answer(A, TokenRefused("made up")),
    "no pong": lambda machine: machine.after(26.0),
}


@pytest.mark.case(136)
@pytest.mark.parametrize("end", ENDS.values(), ids=ENDS.keys())
def test_nothing_happens_after_the_end(end: Callable[[Machine], object]) -> None:
    machine = Machine(A, PUBLIC).establish()
    end(machine)
    machine.drain()
    events, sent = list(machine.events), list(machine.sent)
    assert machine.ended is events[-1]
    machine.receive(ESTABLISHED, PING, MESSAGE, error(4001), b"\xff")
    machine.grant(A).close(4001).receive_binary().receive_control().probe()
    machine.protocol.fail("again")
    machine.at(machine.now + 1000.0)
    assert (machine.events, machine.sent) == (events, sent)
    assert machine.protocol.deadline() == inf


@pytest.mark.parametrize("text", [PING, ESTABLISHED], ids=["a pong owed", "a subscription"])
def test_what_was_not_sent_before_the_end_is_not_sent_after_it(text: str) -> None:
    """RFC 6455 section 5.5.1: no more data frames once a close frame was sent."""
    machine = Machine(PUBLIC) if text == ESTABLISHED else Machine(PUBLIC).establish()
    machine.protocol.receive_text(text.encode(), machine.now, RECEIVED)
    machine.protocol.receive_close(1000, "")
    assert machine.protocol.take_outgoing() == []


# --- whatever the network does ------------------------------------------------------------------

CHANNELS = (A, B, PUBLIC, "presence-room")
json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=10),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=10), inner, max_size=3)
    ),
    max_leaves=8,
)
events_known = st.sampled_from(
    (
        "message",
        "pusher:connection_established",
        "pusher:ping",
        "pusher:pong",
        "pusher:error",
        "pusher:subscription_error",
        "pusher:made_up",
        "pusher_internal:subscription_succeeded",
        "pusher_internal:subscription_error",
        "pusher_internal:made_up",
    )
)
codes = st.sampled_from((None, 4000, 4001, 4009, 4100, 4200, 4201, 4301, "4001", 10**30, 1.5, True))
messages = st.sampled_from(
    ("", "x", f"Existing subscription to channel {A}", f"Invalid signature for 1.2:{B}", None, 5)
)
documents = (
    st.fixed_dictionaries(
        {},
        optional={
            "socket_id": st.sampled_from(("1.2", "3.4", "", 5)),
            "activity_timeout": st.sampled_from((0, 1, 30, 1e300, -5, "x", True)),
            "code": codes,
            "message": messages,
            "status": st.sampled_from((401, 403, 4009, 500, None, "401")),
            "error": messages,
            "junk": json_values,
        },
    )
    | json_values
)
frames = st.fixed_dictionaries(
    {"event": events_known | st.text(max_size=5) | json_values},
    optional={
        "channel": st.sampled_from((*CHANNELS, "", "stranger")) | json_values,
        "data": documents | documents.map(json.dumps),
        "junk": json_values,
    },
).map(lambda text: json.dumps(text).encode())
Step = tuple[Any, ...]
steps: st.SearchStrategy[Step] = st.one_of(
    st.tuples(st.just("text"), frames | json_values.map(lambda v: json.dumps(v).encode())),
    st.tuples(st.just("text"), st.binary(max_size=30)),
    st.tuples(st.just("established"), st.sampled_from((ESTABLISHED, SHAPES["object"]))),
    st.tuples(st.just("confirm"), st.sampled_from(CHANNELS)),
    st.tuples(
        st.just("answer"),
        st.sampled_from((*CHANNELS, "stranger")),
        st.booleans(),
        st.sampled_from(
            (
                None,
                None,
                None,
                Denied("no"),
                TokenRefused("no"),
                Unavailable("no"),
                Unavailable("no", 3.0),
                Bug("trace"),
            )
        ),
    ),
    st.tuples(st.just("after"), st.integers(0, 40_000).map(lambda ms: ms / 1000)),
    st.tuples(st.just("alive"), st.integers(1, 60)),
    st.tuples(st.just("jump"), st.integers(0, 40_000).map(lambda ms: ms / 1000)),
    st.tuples(st.sampled_from(("binary", "control", "probe"))),
    st.tuples(st.just("close"), st.sampled_from((1000, 1005, 1006, 4001, 4200, 4100, 70000))),
    st.tuples(st.just("abandon")),
)


@dataclass
class Checked:
    """Takes steps and checks, after each, what must hold after every one."""

    machine: Machine
    granted: set[tuple[str, str]] = field(default_factory=set)

    def take(self, steps: Iterable[Step]) -> Machine:
        for step in steps:
            self._take(step)
        return self.machine

    def _take(self, step: Step) -> None:
        machine, protocol = self.machine, self.machine.protocol
        was_ended, was_established = protocol.ended is not None, protocol.socket_id is not None
        said, sent = len(machine.events), len(machine.sent)
        self._do(step)
        machine.at(machine.now)
        if was_ended:
            assert (len(machine.events), len(machine.sent)) == (said, sent)
        if not was_established and protocol.socket_id is None:
            assert len(machine.sent) == sent
        self._check()

    def _do(self, step: Step) -> None:
        machine = self.machine
        match step:
            case ("text" | "established", payload):
                machine.receive(payload)
            case ("confirm", channel):
                machine.confirm(channel)
            case ("answer", channel, right, answer):
                self._answer(channel, right, answer)
            case ("after", seconds):
                machine.after(seconds)
            case ("alive", times):
                for _ in range(times):
                    machine.after(5.0).receive_control()
            case ("jump", seconds):
                machine.at(machine.now + seconds)
            case ("binary",):
                machine.receive_binary()
            case ("control",):
                machine.receive_control()
            case ("probe",):
                machine.probe()
            case ("close", code):
                machine.close(code)
            case _:
                machine.protocol.fail("made up")

    def _answer(self, channel: str, right: bool, answer: AuthAnswer | None) -> None:
        socket_id = (self.machine.protocol.socket_id if right else "old") or "none"
        auth = f"{socket_id}:{channel}"
        if right:
            self.granted.add((channel, auth))
        self.machine.answer(channel, answer or Granted(auth), socket_id)

    def _check(self) -> None:
        machine, protocol = self.machine, self.machine.protocol
        kinds = Counter(type(event) for event in machine.events)
        assert kinds[CloseReason] == (protocol.ended is not None)
        assert kinds[CloseReason] == 0 or isinstance(machine.events[-1], CloseReason)
        assert kinds[SubscriptionsSettled] == protocol.ready
        assert kinds[ConnectionEstablished] == (protocol.socket_id is not None)
        if protocol.ended:
            assert protocol.deadline() == inf
            assert (protocol.ended.stop is None) == (protocol.ended.retry is not None)
        else:
            assert machine.now < protocol.deadline() < machine.now + 1000.0
        for data in machine.requests:
            assert data["channel"] in machine.channels
            if "auth" in data:
                assert (data["channel"], data["auth"]) in self.granted
            else:
                assert data == {"channel": PUBLIC}
        assert set(machine.names_sent) <= {"pusher:ping", "pusher:pong", "pusher:subscribe"}
        for wanted in machine.all(AuthRequested):
            assert wanted.socket_id == protocol.socket_id
        for decided in machine.all(SubscriptionsSettled):
            assert decided.confirmed
            assert set(decided.confirmed) <= set(machine.confirmed)
            assert sorted(decided.confirmed + decided.refused) == sorted(machine.channels)


openings: st.SearchStrategy[list[Step]] = st.sampled_from(
    ((), (("established", ESTABLISHED),))
).map(list)
jitters = st.floats(0, 0.999)


@settings(max_examples=200)
@given(
    st.lists(st.sampled_from(CHANNELS), min_size=1, unique=True),
    st.booleans(),
    openings,
    st.lists(steps, max_size=40),
    jitters,
)
@example(
    list(CHANNELS), False, [("established", ESTABLISHED)], [("confirm", c) for c in CHANNELS], 0.5
)
def test_whatever_comes_in_any_order(
    channels: list[str], strict: bool, opening: list[Step], then: list[Step], jitter: float
) -> None:
    machine = Machine(*channels, strict=strict, random=lambda: jitter)
    # A server that is mute in the end is left within ping interval and pong timeout.
    Checked(machine).take([*opening, *then, ("after", 25.1)])
    assert not machine.goes_on


links = st.one_of(
    st.none(),  # the dial fails
    st.lists(steps, max_size=6),
    st.sampled_from((4200, 4201, 4299, 4100, 1000, 1006, 4300)).map(lambda code: [("close", code)]),
)


@settings(max_examples=200)
@given(
    st.lists(st.tuples(links, openings), min_size=1, max_size=6),
    st.lists(jitters, min_size=1, max_size=5),
)
def test_no_script_of_a_server_ever_gets_more_than_five_dials_in_ten_seconds(
    links: list[tuple[list[Step] | None, list[Step]]], jitter: list[float]
) -> None:
    jittered = cycle(jitter)
    backoff, now, dials = Backoff(lambda: next(jittered)), 0.0, []
    for script, opening in islice(cycle(links), 30):
        backoff.dialled(now)
        dials.append(now)
        retry, stable_for = Retry.BACK_OFF, 0.0
        if script is not None:
            machine = Machine(*CHANNELS, random=lambda: next(jittered))
            began = machine.now
            Checked(machine).take([*opening, *script, ("after", 60.0)])
            if machine.ended.stop:
                break
            retry, lived = machine.ended.retry or Retry.BACK_OFF, machine.now - began
            stable_for = lived if machine.protocol.ready else 0.0
            now += lived
        now = backoff.next_dial(now, retry, stable_for=stable_for)
    assert all(later - first > 10.0 for first, later in zip(dials, dials[5:], strict=False))


@given(st.lists(st.binary(max_size=80) | frames, max_size=20), st.booleans())
def test_any_frames_are_survived(payloads: list[bytes], established: bool) -> None:
    machine = Machine(*CHANNELS)
    if established:
        machine.establish()
    assert_reportable(machine.receive(*payloads).events)


def assert_reportable(events: Iterable[Event]) -> None:
    for event in events:
        assert repr(event)
        if isinstance(event, ChannelEvent):
            assert event.event.encode() is not None
            assert (event.channel or "").encode() is not None
            if event.data is not None:
                json.loads(event.data, parse_int=str)
