"""The machine of one Pusher connection: every rule with time as an argument."""

import json
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from math import inf
from typing import Any, TypeVar

import pytest
from hypothesis import example, given
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
from chatapp_tail.pusher.backoff import Retry
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
from chatapp_tail.pusher.protocol import Protocol
from chatapp_tail.pusher.refusals import ChannelRefusals
from chatapp_tail.pusher.timing import Timing

E = TypeVar("E")

A = "private-v1.licenses.1229.messengers.telegram"
B = "private-v1.companies.2224"
PUBLIC = "news"
TIMING = Timing()
ALIVE = Timing(pong_timeout=1e9)
RECEIVED = 1_763_800_000_000_000_000
ESTABLISHED = '{"event":"pusher:connection_established","data":"{\\"socket_id\\":\\"12.34\\"}"}'


def text(event: str, channel: str | None = None, data: Any = None) -> str:
    members = {"event": event}
    if channel is not None:
        members["channel"] = channel
    if data is not None:
        members["data"] = data
    return json.dumps(members)


def succeeded(channel: str) -> str:
    return text("pusher_internal:subscription_succeeded", channel)


def error(code: int | None, message: str = "") -> str:
    return text("pusher:error", data={"code": code, "message": message})


@dataclass
class Wire:
    """A machine, its clock, and everything it ever said."""

    channels: Sequence[str] = (A,)
    timing: Timing = TIMING
    strict: bool = False
    refusals: ChannelRefusals | None = None
    random: Callable[[], float] = lambda: 0.5
    now: float = 100.0
    events: list[Event] = field(default_factory=list)
    sent: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.machine = Protocol(
            self.channels,
            now=self.now,
            timing=self.timing,
            random=self.random,
            strict=self.strict,
            refusals=self.refusals,
        )

    def drain(self) -> "Wire":
        self.events += self.machine.take_events()
        self.sent += self.machine.take_outgoing()
        return self

    def get(self, *frames: str | bytes) -> "Wire":
        for each in frames:
            payload = each.encode() if isinstance(each, str) else each
            self.machine.receive_text(payload, self.now, RECEIVED)
        return self.drain()

    def establish(self) -> "Wire":
        return self.get(ESTABLISHED)

    def grant(self, *channels: str) -> "Wire":
        for channel in channels:
            self.answer(channel, Granted(f"key:{channel}"))
        return self

    def answer(self, channel: str, answer: AuthAnswer, socket_id: str = "12.34") -> "Wire":
        self.machine.receive_auth(channel, socket_id, answer, self.now)
        return self.drain()

    def ready(self) -> "Wire":
        self.establish().grant(*self.channels)
        return self.get(*map(succeeded, self.channels))

    def at(self, now: float) -> "Wire":
        """Jump to `now`, without a wake-up in between."""
        self.now = now
        self.machine.tick(now)
        return self.drain()

    def after(self, seconds: float) -> "Wire":
        """Let time pass, waking at each deadline as the shell does."""
        until = self.now + seconds
        while (due := self.machine.deadline()) <= until:
            self.at(max(due, self.now))
        return self.at(until)

    def close(self, code: int, reason: str = "") -> "Wire":
        self.machine.receive_close(code, reason)
        return self.drain()

    def of(self, kind: type[E]) -> list[E]:
        return [event for event in self.events if isinstance(event, kind)]

    @property
    def ended(self) -> CloseReason:
        (ended,) = self.of(CloseReason)
        assert self.events[-1] is ended
        return ended

    def sent_events(self) -> list[str]:
        return [json.loads(each)["event"] for each in self.sent]

    def subscribes(self) -> list[Any]:
        frames = map(json.loads, self.sent)
        return [each["data"] for each in frames if each["event"] == "pusher:subscribe"]


# --- the handshake ------------------------------------------------------------------------------

SHAPES = {
    "string": '{"event":"pusher:connection_established","data":"{\\"socket_id\\":\\"1.2\\"}"}',
    "object": '{"event":"pusher:connection_established","data":{"socket_id":"1.2"}}',
    "junk beside": (
        '{"x":[1],"data":{"socket_id":"1.2","y":null},'
        '"channel":null,"event":"pusher:connection_established"}'
    ),
}


@pytest.mark.parametrize("frame", SHAPES.values(), ids=SHAPES.keys())
def test_established_in_any_shape(frame: str) -> None:
    wire = Wire().get(frame)
    assert wire.events == [ConnectionEstablished("1.2"), AuthRequested(A, "1.2")]
    assert wire.sent == []


@pytest.mark.parametrize(
    "data",
    [None, "{}", "not JSON", {}, [], {"socket_id": 5}, {"socket_id": ""}, {"socket_id": None}],
)
def test_established_without_a_socket_id_is_no_connection(data: object) -> None:
    ended = Wire().get(text("pusher:connection_established", data=data)).ended
    assert ended.retry is Retry.BACK_OFF
    assert "socket id" in ended.reason


@pytest.mark.parametrize(
    ("timeout", "interval"),
    [
        pytest.param("30", 15.0, id="the server's is longer"),
        pytest.param("7", 7.0, id="the server's is shorter"),
        pytest.param("7.5", 7.5, id="a fraction"),
        pytest.param("0.01", 1.0, id="too short, clamped"),
        pytest.param("0", 15.0, id="zero"),
        pytest.param("-1", 15.0, id="negative"),
        pytest.param("true", 15.0, id="boolean"),
        pytest.param("null", 15.0, id="null"),
        pytest.param('"7"', 15.0, id="text"),
        pytest.param("[7]", 15.0, id="array"),
        pytest.param("1e300", 15.0, id="huge"),
        pytest.param("1" * 400, 15.0, id="huge integer"),
        pytest.param("1e400", 15.0, id="beyond a double"),
    ],
)
def test_activity_timeout(timeout: str, interval: float) -> None:
    wire = Wire().get(
        '{"event":"pusher:connection_established",'
        f'"data":{{"socket_id":"1.2","activity_timeout":{timeout}}}}}'
    )
    assert wire.events[0] == ConnectionEstablished("1.2")
    wire.at(wire.now + interval - 0.01)
    assert wire.sent_events() == []
    wire.at(wire.now + 0.02)
    assert wire.sent_events() == ["pusher:ping"]


def test_a_second_established_changes_nothing() -> None:
    wire = Wire().ready()
    wire.get('{"event":"pusher:connection_established","data":{"socket_id":"9.9"}}')
    assert wire.machine.socket_id == "12.34"
    assert len(wire.of(ConnectionEstablished)) == 1
    assert isinstance(wire.events[-1], ProtocolWarning)


@pytest.mark.parametrize(
    "frame",
    [
        text("message", A, "{}"),
        text("pusher:subscription_succeeded", A),
        text("pusher_internal:subscription_succeeded", A),
        text("pusher:subscription_error", A, {"status": 403}),
        text("pusher:whatever"),
        text(""),
    ],
)
def test_another_event_first_is_no_connection(frame: str) -> None:
    ended = Wire().get(frame).ended
    assert ended.retry is Retry.BACK_OFF
    assert json.loads(frame)["event"] in ended.reason


def test_silence_after_the_upgrade_ends_at_the_deadline() -> None:
    wire = Wire()
    wire.at(109.99)
    assert wire.events == []
    wire.at(110.0)
    assert wire.ended.retry is Retry.BACK_OFF


def test_pings_do_not_stretch_the_handshake() -> None:
    wire = Wire()
    for second in range(9):
        wire.now = 100.0 + second
        wire.machine.receive_control(wire.now)
        wire.get(text("pusher:ping"), text("pusher:pong"), "[]", error(None, "hm"))
        wire.at(wire.now)
    wire.at(110.0)
    assert wire.ended.retry is Retry.BACK_OFF
    assert wire.sent == []


# --- errors and ends in the server's words ------------------------------------------------------


@pytest.mark.parametrize("code", [4001, 4100, 4200, 4300, 4009])
@pytest.mark.parametrize("as_string", [True, False], ids=["Reverb's string", "object"])
def test_an_error_before_established_ends_it(code: int, as_string: bool) -> None:
    data = {"code": code, "message": "made up"}
    frame = text("pusher:error", data=json.dumps(data) if as_string else data)
    assert Wire().get(frame).ended == classify(code, "made up", established=False)


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
    ended = Wire().get(f'{{"event":"pusher:error","data":{data}}}').ended
    assert (ended.code, ended.stop) == (4001, StopCause.SERVER_REFUSED)


@pytest.mark.parametrize("data", [None, "", "text", [], 5, {"code": "4001"}, {"code": True}, {}])
def test_an_error_without_a_code_before_established_is_waited_out(data: object) -> None:
    wire = Wire().get(text("pusher:error", data=data))
    assert [type(event) for event in wire.events] == [ProtocolWarning]
    assert wire.establish().machine.socket_id == "12.34"


IN_BAND = {
    "4201, then TCP ends": (4201, 1006, Retry.IMMEDIATE),
    "4001, then TCP ends": (4001, 1006, None),
    "4100, then 1000": (4100, 1000, Retry.OVER_CAPACITY),
    "4200, then no code": (4200, 1005, Retry.IMMEDIATE),
    "4200, then a code of its own": (4200, 1011, Retry.BACK_OFF),
    "4001, then 4200": (4001, 4200, Retry.IMMEDIATE),
}


@pytest.mark.parametrize(("said", "code", "retry"), IN_BAND.values(), ids=IN_BAND.keys())
def test_an_in_band_error_explains_an_end_that_does_not(
    said: int, code: int, retry: Retry | None
) -> None:
    wire = Wire().ready().get(error(said, "made up"))
    assert wire.machine.ended is None
    assert wire.close(code).ended.retry is retry


@pytest.mark.parametrize(
    "frame", [text("message", A, "{}"), text("pusher:pong"), text("pusher:ping")]
)
def test_an_in_band_error_followed_by_a_frame_explains_nothing(frame: str) -> None:
    wire = Wire().ready().get(error(4001), frame)
    assert wire.close(1006).ended.retry is Retry.BACK_OFF


@pytest.mark.parametrize("code", [4000, 4001, 4009, 4100, 4200, 4201, 4301, None, 10**25])
def test_an_in_band_error_alone_ends_nothing(code: int | None) -> None:
    wire = Wire().ready().get(error(code, "made up"))
    assert wire.machine.ended is None
    assert isinstance(wire.events[-1], ProtocolWarning)
    assert "made up" in wire.events[-1].reason


# --- subscriptions ------------------------------------------------------------------------------


def test_public_channels_go_out_before_any_auth_is_waited_for() -> None:
    wire = Wire((A, PUBLIC, B)).establish()
    assert wire.subscribes() == [{"channel": PUBLIC}]
    assert wire.of(AuthRequested) == [AuthRequested(A, "12.34"), AuthRequested(B, "12.34")]


def test_exactly_the_granted_auth_is_sent_and_nothing_beside_it() -> None:
    wire = Wire().establish().answer(A, Granted('k:"\\é'))
    assert wire.subscribes() == [{"channel": A, "auth": 'k:"\\é'}]


def test_a_channel_named_twice_is_subscribed_once() -> None:
    wire = Wire((A, A)).establish().grant(A).get(succeeded(A))
    assert len(wire.subscribes()) == 1
    assert wire.of(SubscriptionsSettled) == [SubscriptionsSettled([A], [])]


@pytest.mark.parametrize(
    ("channel", "socket_id"),
    [(A, "old"), (A, ""), (B, "12.34"), (PUBLIC, "12.34"), ("", "12.34")],
    ids=["old socket", "no socket", "not wanted", "public", "empty"],
)
def test_an_answer_for_something_else_is_thrown_away(channel: str, socket_id: str) -> None:
    wire = Wire((A, PUBLIC)).establish()
    before = list(wire.sent)
    for answer in (Granted("k:s"), Denied("no"), TokenRefused("no"), Unavailable("no"), Bug("no")):
        wire.answer(channel, answer, socket_id)
    assert wire.machine.ended is None
    assert wire.sent == before


def test_a_second_answer_is_thrown_away() -> None:
    wire = Wire((A, B)).establish().grant(A, A).answer(A, Denied("late"))
    assert len(wire.subscribes()) == 1
    assert wire.of(SubscriptionRefused) == []


@pytest.mark.parametrize("data", ["", ',"data":"{}"', ',"data":{}', ',"data":null', ',"data":[]'])
@pytest.mark.parametrize("prefix", ["pusher_internal", "pusher"])
def test_success_in_any_shape(prefix: str, data: str) -> None:
    wire = Wire().establish().grant(A)
    wire.get(f'{{"event":"{prefix}:subscription_succeeded","channel":"{A}"{data}}}')
    assert wire.events[-2:] == [SubscriptionSucceeded(A), SubscriptionsSettled([A], [])]
    assert wire.machine.ready


def test_ready_is_said_when_the_last_channel_is_confirmed() -> None:
    wire = Wire((A, B, PUBLIC)).establish().grant(A, B).get(succeeded(A), succeeded(PUBLIC))
    assert not wire.machine.ready
    wire.get(succeeded(B))
    assert wire.machine.ready
    assert wire.of(SubscriptionsSettled) == [SubscriptionsSettled([A, B, PUBLIC], [])]


def test_a_second_success_vouches_and_announces_nothing_new() -> None:
    wire = Wire((A, B)).ready()
    before = len(wire.events)
    wire.get(succeeded(A), succeeded(B))
    assert wire.events[before:] == [SubscriptionReconfirmed(A), SubscriptionReconfirmed(B)]


def test_a_success_for_another_channel_is_noted() -> None:
    wire = Wire().ready().get(succeeded("stranger"))
    assert isinstance(wire.events[-1], ProtocolWarning)
    assert "stranger" in wire.events[-1].reason


def test_one_refused_channel_leaves_the_others_alone() -> None:
    wire = Wire((A, B)).establish().answer(A, Denied("403")).grant(B).get(succeeded(B))
    assert wire.of(SubscriptionRefused) == [SubscriptionRefused(A, "403")]
    assert wire.of(SubscriptionsSettled) == [SubscriptionsSettled([B], [A])]
    assert wire.machine.ended is None


def test_every_channel_refused_stops_and_says_why() -> None:
    ended = Wire((A, B)).establish().answer(A, Denied("x")).answer(B, Denied("y")).ended
    assert ended.stop is StopCause.CHANNELS_REFUSED
    assert A in ended.reason
    assert "x" in ended.reason


def test_strict_allows_no_refusal() -> None:
    wire = Wire((A, B), strict=True).establish().grant(B).get(succeeded(B))
    ended = wire.answer(A, Denied("made up")).ended
    assert ended.stop is StopCause.CHANNELS_REFUSED
    assert "--strict" in ended.reason


def test_a_refused_channel_is_asked_again_slowly_and_said_once() -> None:
    wire = Wire((A, B), timing=Timing(pong_timeout=1e9)).establish().grant(B).get(succeeded(B))
    wire.answer(A, Denied("no")).after(299.0)
    assert len([each for each in wire.of(AuthRequested) if each.channel == A]) == 1
    wire.after(1.5)
    assert len([each for each in wire.of(AuthRequested) if each.channel == A]) == 2
    wire.answer(A, Denied("no"))
    assert len(wire.of(SubscriptionRefused)) == 1
    wire.after(301.0).grant(A).get(succeeded(A))
    assert wire.of(SubscriptionSucceeded) == [SubscriptionSucceeded(B), SubscriptionSucceeded(A)]
    assert len(wire.of(SubscriptionsSettled)) == 1


def test_a_refused_token_stops() -> None:
    ended = Wire((A, B)).establish().grant(B).answer(A, TokenRefused("made up")).ended
    assert (ended.stop, ended.reason) == (StopCause.CREDENTIALS, "made up")


def test_a_bug_in_asking_is_not_lost() -> None:
    ended = Wire().establish().answer(A, Bug("Traceback")).ended
    assert (ended.stop, ended.reason) == (StopCause.BUG, "Traceback")


def test_no_answer_this_time_is_asked_again_with_growing_patience() -> None:
    wire = Wire(timing=Timing(pong_timeout=1e9)).establish()
    waits = []
    for _ in range(8):
        wire.answer(A, Unavailable("503"))
        start, asked = wire.now, len(wire.of(AuthRequested))
        while len(wire.of(AuthRequested)) == asked:
            wire.at(wire.machine.deadline())
        waits.append(wire.now - start)
    assert waits == pytest.approx([0.75, 1.5, 3, 6, 12, 22.5, 22.5, 22.5])
    assert wire.machine.ended is None


def test_retry_after_is_honoured() -> None:
    wire = Wire(timing=Timing(pong_timeout=1e9)).establish().answer(A, Unavailable("429", 40.0))
    assert len(wire.after(39.9).of(AuthRequested)) == 1
    assert len(wire.after(0.2).of(AuthRequested)) == 2


@pytest.mark.parametrize("retry_after", [1e300, inf], ids=["centuries", "infinity"])
def test_retry_after_cannot_silence_a_channel_for_good(retry_after: float) -> None:
    wire = Wire(timing=Timing(pong_timeout=1e9)).establish()
    wire.answer(A, Unavailable("429", retry_after)).after(86_400.0)
    assert len(wire.of(AuthRequested)) > 1


def test_no_confirmation_asks_again_with_a_new_auth() -> None:
    wire = Wire(timing=Timing(pong_timeout=1e9)).establish().grant(A).after(9.9)
    assert wire.of(ProtocolWarning) == []
    wire.after(1.0)
    (noted,) = wire.of(ProtocolWarning)
    assert noted.channel == A
    assert wire.of(AuthRequested) == [AuthRequested(A, "12.34")] * 2
    wire.answer(A, Granted("key:new")).get(succeeded(A))
    assert [each["auth"] for each in wire.subscribes()] == [f"key:{A}", "key:new"]
    assert wire.machine.ready


def test_an_auth_request_that_is_never_answered_is_not_waited_for_in_silence() -> None:
    wire = Wire((A, PUBLIC)).establish().get(succeeded(PUBLIC))
    for _ in range(12):
        wire.get(text("pusher:pong")).after(5.0)
    assert [noted.channel for noted in wire.of(ProtocolWarning)][:1] == [A]


SUBSCRIPTION_ERRORS = {
    "401": ({"type": "AuthError", "error": "made up", "status": 401}, True),
    "403": ({"error": "made up", "status": 403}, True),
    "4009": ({"error": "made up", "status": 4009}, True),
    "401 in a string": ('{"error":"made up","status":401}', True),
    "4100": ({"error": "made up", "status": 4100}, False),
    "4301": ({"error": "made up", "status": 4301}, False),
    "500": ({"error": "made up", "status": 500}, False),
    "no status": ({"error": "made up"}, False),
}


@pytest.mark.parametrize(
    ("data", "refused"), SUBSCRIPTION_ERRORS.values(), ids=SUBSCRIPTION_ERRORS.keys()
)
@pytest.mark.parametrize("prefix", ["pusher", "pusher_internal"])
def test_subscription_error(prefix: str, data: object, refused: bool) -> None:
    wire = Wire((A, B)).establish().grant(A, B)
    wire.get(text(f"{prefix}:subscription_error", A, data))
    said = wire.events[-1]
    assert isinstance(said, SubscriptionRefused if refused else ProtocolWarning)
    assert said.channel == A
    assert "made up" in said.reason
    assert wire.get(succeeded(B)).of(SubscriptionSucceeded) == [SubscriptionSucceeded(B)]


@pytest.mark.parametrize("data", [None, "", "x", [], 5, {"error": {}, "status": []}])
def test_a_subscription_error_that_says_nothing_is_tried_again(data: object) -> None:
    wire = Wire().establish().grant(A).get(text("pusher:subscription_error", A, data))
    assert len(wire.after(5.0).of(AuthRequested)) == 2


def test_a_subscription_error_of_a_stranger_refuses_nobody() -> None:
    wire = Wire().establish().grant(A)
    wire.get(text("pusher:subscription_error", "stranger", {"status": 401}))
    assert wire.of(SubscriptionRefused) == []
    assert wire.machine.ended is None


@pytest.mark.parametrize(
    ("code", "message"),
    [(4009, "made up"), (None, "Invalid signature"), (None, "Auth value for subscription is bad")],
)
def test_an_error_without_a_channel_is_about_the_only_pending_one(
    code: int | None, message: str
) -> None:
    wire = Wire((A, B)).establish().grant(A, B).get(succeeded(A), error(code, message))
    assert [refused.channel for refused in wire.of(SubscriptionRefused)] == [B]


@pytest.mark.defect("A2.16b")
def test_an_error_about_anything_refuses_only_when_it_comes_again_and_again() -> None:
    wire = Wire(timing=ALIVE).establish()
    for second in range(30):
        wire.grant(A).get(error(None, "Server is overloaded"))
        assert wire.machine.ended is None
        wire.after(1.0)
        if second == 20:
            assert 3 <= len(wire.subscribes()) <= 6
    while wire.machine.ended is None and wire.now < 300.0:
        wire.grant(A).get(error(None, "Server is overloaded")).after(1.0)
    assert wire.ended.stop is StopCause.CHANNELS_REFUSED
    assert "Server is overloaded" in wire.ended.reason


@pytest.mark.defect("A2.16b")
def test_a_confirmation_after_an_error_about_anything_counts() -> None:
    wire = Wire(timing=ALIVE).establish().grant(A).get(error(None, "Rate limit"), succeeded(A))
    assert wire.machine.ready
    assert len(wire.after(20.0).subscribes()) == 1


@pytest.mark.defect("A2.16b")
def test_an_error_about_anything_that_passes_costs_a_repeated_request() -> None:
    wire = Wire(timing=ALIVE).establish().grant(A).get(error(None, "Rate limit"))
    wire.after(6.0).grant(A).get(succeeded(A))
    assert wire.machine.ready


REFUSALS: dict[str, Callable[["Wire"], "Wire"]] = {
    "by the auth endpoint": lambda wire: wire.answer(A, Denied("no")),
    "with channel, 403": lambda wire: wire.grant(A).get(
        text("pusher:subscription_error", A, {"error": "no", "status": 403})
    ),
    "without channel, 4009": lambda wire: wire.grant(A).get(error(4009, "no")),
    "by name": lambda wire: wire.grant(A).get(error(None, f"no {A}")),
}


@pytest.mark.parametrize("refuse", REFUSALS.values(), ids=REFUSALS)
def test_a_channel_that_never_was_confirmed_is_refused_at_once(
    refuse: Callable[[Wire], Wire],
) -> None:
    assert refuse(Wire().establish()).ended.stop is StopCause.CHANNELS_REFUSED


@pytest.mark.defect("A2.16b", "A2.16c")
@pytest.mark.parametrize("refuse", REFUSALS.values(), ids=REFUSALS)
def test_a_channel_that_was_confirmed_before_is_refused_when_it_lasts(
    refuse: Callable[[Wire], Wire],
) -> None:
    refusals = ChannelRefusals(30.0)
    Wire(refusals=refusals).ready().close(1006)
    wire = Wire(timing=ALIVE, refusals=refusals).establish()
    begun = wire.now
    while wire.machine.ended is None:
        assert wire.now - begun < 100.0
        refuse(wire)
        if wire.machine.ended is None:
            wire.at(wire.machine.deadline())
    assert wire.ended.stop is StopCause.CHANNELS_REFUSED
    assert wire.now - begun >= 30.0
    assert len(wire.of(AuthRequested)) <= 8


@pytest.mark.defect("A2.16b", "A2.16c")
@pytest.mark.parametrize("refuse", REFUSALS.values(), ids=REFUSALS)
def test_a_refusal_that_passes_ends_nothing(refuse: Callable[[Wire], Wire]) -> None:
    refusals = ChannelRefusals(30.0)
    Wire(refusals=refusals).ready().close(1006)
    wire = refuse(Wire(timing=ALIVE, refusals=refusals).establish())
    assert (wire.machine.ended, wire.of(SubscriptionRefused)) == (None, [])
    assert "asking again" in wire.of(ProtocolWarning)[0].reason
    wire.after(6.0).grant(A).get(succeeded(A))
    assert wire.machine.ready


@pytest.mark.defect("A2.23c")
def test_a_channel_that_errs_after_each_confirmation_is_asked_again_ever_more_slowly() -> None:
    wire = Wire(timing=ALIVE).ready()
    waits = []
    for _ in range(6):
        wire.get(text("pusher:subscription_error", A, {"status": 500}))
        begun, asked = wire.now, len(wire.of(AuthRequested))
        while len(wire.of(AuthRequested)) == asked:
            wire.at(wire.machine.deadline())
        waits.append(wire.now - begun)
        wire.grant(A).get(succeeded(A))
    assert waits == pytest.approx([0.75, 1.5, 3, 6, 12, 22.5])
    wire.after(30.0).get(text("pusher:subscription_error", A, {"status": 500}))
    assert wire.machine.deadline() - wire.now == pytest.approx(0.75)


@pytest.mark.defect("A2.7")
def test_a_confirmation_after_a_refusal_is_not_taken_for_a_new_one() -> None:
    wire = Wire(timing=ALIVE).ready()
    wire.get(text("pusher:subscription_error", A, {"status": 500}), succeeded(A), succeeded(A))
    assert wire.of(SubscriptionSucceeded) == [SubscriptionSucceeded(A)]
    wire.after(1.0).grant(A).get(succeeded(A))
    assert wire.of(SubscriptionSucceeded) == [SubscriptionSucceeded(A)] * 2


def test_requests_that_time_out_together_end_the_connection_once() -> None:
    wire = Wire((PUBLIC, "weather", "sport"), timing=ALIVE).establish().after(100.0)
    assert wire.ended.retry is Retry.BACK_OFF


@pytest.mark.defect("A2.15")
def test_a_server_that_answers_no_request_for_a_channel_is_left() -> None:
    wire = Wire(timing=ALIVE).establish()
    while wire.machine.ended is None:
        assert wire.now < 200.0
        wire.grant(A).after(1.0)
    assert (wire.ended.retry, "answers no request" in wire.ended.reason) == (Retry.BACK_OFF, True)
    assert len(wire.subscribes()) == 3


def test_a_server_that_answers_for_one_channel_is_not_left_for_the_other() -> None:
    wire = Wire((A, B), timing=ALIVE).establish().grant(A).get(succeeded(A))
    for _ in range(150):
        wire.grant(B).after(1.0)
    assert wire.machine.ended is None


def test_an_error_is_about_the_channel_it_names() -> None:
    wire = Wire((A, B)).establish().grant(A, B).get(error(None, f"invalid signature for 12.34:{B}"))
    assert [refused.channel for refused in wire.of(SubscriptionRefused)] == [B]


@pytest.mark.parametrize("longer_first", [False, True])
def test_a_name_that_begins_another_is_not_that_other(longer_first: bool) -> None:
    longer = f"{A}Bot"
    channels = (longer, A) if longer_first else (A, longer)
    wire = Wire(channels).establish()
    for channel in channels:
        wire.grant(channel)
        wire.now += 0.1
    wire.get(error(None, f"Invalid signature: expected digest of 12.34:{longer}, but got x"))
    assert [refused.channel for refused in wire.of(SubscriptionRefused)] == [longer]


def test_4009_without_a_name_is_about_the_oldest_asked_with_auth() -> None:
    wire = Wire((PUBLIC, A, B)).establish().grant(B)
    wire.now += 1
    wire.grant(A).get(error(4009, "Connection is unauthorized"))
    assert [refused.channel for refused in wire.of(SubscriptionRefused)] == [B]


def test_an_error_without_a_name_among_several_refuses_nobody() -> None:
    wire = Wire((A, B)).establish().grant(A, B).get(error(None, "something"))
    assert wire.of(SubscriptionRefused) == []


@pytest.mark.parametrize("code", [4200, 4301, 4302, 4100])
def test_another_code_refuses_nobody(code: int) -> None:
    wire = Wire().establish().grant(A).get(error(code, f"about {A}"))
    assert wire.of(SubscriptionRefused) == []
    assert wire.machine.ended is None


def test_existing_subscription_is_a_subscription() -> None:
    wire = Wire((A, B)).establish().grant(A, B)
    wire.get(error(None, f"Existing subscription to channel {A}"))
    assert wire.of(SubscriptionSucceeded) == [SubscriptionSucceeded(A)]
    assert wire.of(SubscriptionRefused) == []


@pytest.mark.parametrize("message", ["Existing subscription to channel", "Invalid signature for"])
@pytest.mark.parametrize("named", [A, "stranger"])
def test_an_error_about_another_channel_decides_nothing(message: str, named: str) -> None:
    wire = Wire((A, B)).establish().grant(A, B).get(succeeded(A))
    wire.get(error(None, f"{message} {named}"))
    assert wire.of(SubscriptionSucceeded) == [SubscriptionSucceeded(A)]
    if named == A:
        assert wire.of(SubscriptionRefused) == []


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
    wire = Wire().ready().get(f'{{"event":"message","channel":"{A}"{members}}}')
    assert wire.events[-1] == ChannelEvent(RECEIVED, "message", A, data)


@pytest.mark.parametrize("channel", ["", ',"channel":null'])
def test_an_event_may_have_no_channel(channel: str) -> None:
    wire = Wire().ready().get(f'{{"event":"message"{channel},"data":1}}')
    assert wire.events[-1] == ChannelEvent(RECEIVED, "message", None, b"1")


def test_an_event_before_the_confirmation_is_delivered_in_order() -> None:
    wire = Wire().establish().grant(A).get(text("message", A, "1"), succeeded(A))
    assert [type(event) for event in wire.events[-3:]] == [
        ChannelEvent,
        SubscriptionSucceeded,
        SubscriptionsSettled,
    ]


def test_events_keep_the_order_of_the_wire() -> None:
    wire = Wire((A, B)).ready()
    wire.get(*(text(f"e{n}", (A, B)[n % 2], str(n)) for n in range(50)))
    assert [event.event for event in wire.of(ChannelEvent)] == [f"e{n}" for n in range(50)]


SKIPPED = ["{}", "[]", "5", '"x"', "null", "true", "", "{", '{"event":5}', '{"event":null}']
SKIPPED += ['{"event":"m","channel":5}', '{"event":"m","channel":["a"]}', '{"event":["m"]}']
SKIPPED += ['{"event":"m","data":NaN}', '{"event":"m","data":01}', '{"event":"m"} x', "﻿{}"]
SKIPPED += ["[" * 100_000, '{"event":"m","data":' + "[" * 100_000 + "]" * 100_000 + "}"]


@pytest.mark.parametrize("frame", SKIPPED, ids=lambda frame: frame[:30] or "empty")
def test_what_is_no_event_is_counted_and_said_once(frame: str) -> None:
    wire = Wire().ready()
    before = len(wire.events)
    wire.get(*[frame] * 20)
    assert sum(wire.machine.skipped.values()) == 20
    assert [type(event) for event in wire.events[before:]] == [ProtocolWarning]
    assert wire.get(text("message", A, "1")).of(ChannelEvent)


def test_binary_messages_are_counted_and_said_once() -> None:
    wire = Wire().ready()
    before = len(wire.events)
    for _ in range(20):
        wire.machine.receive_binary(wire.now)
    assert wire.drain().machine.skipped == {"a binary frame": 20}
    assert [type(event) for event in wire.events[before:]] == [ProtocolWarning]


FLOODS = {
    "unknown protocol events": text("pusher:made_up"),
    "unknown internal events": text("pusher_internal:made_up", A),
    "confirmations nobody asked for": succeeded("stranger"),
    "refusals nobody asked for": text("pusher:subscription_error", "stranger", {}),
    "a second establishment": ESTABLISHED,
}


@pytest.mark.parametrize("frame", FLOODS.values(), ids=FLOODS.keys())
def test_a_flood_of_oddities_is_said_once(frame: str) -> None:
    wire = Wire().ready()
    before = len(wire.events)
    wire.get(*[frame] * 50)
    assert len(wire.events) - before <= 1
    assert wire.of(ChannelEvent) == []


def test_text_that_is_not_utf_8_ends_the_link_with_1007() -> None:
    ended = Wire().ready().get(b'{"event":"m","data":"\xff"}').ended
    assert (ended.code, ended.retry) == (1007, Retry.BACK_OFF)


# --- keep-alive ---------------------------------------------------------------------------------


def pings(wire: Wire) -> int:
    return wire.sent_events().count("pusher:ping")


def test_pings_go_out_on_a_clock_when_nothing_comes() -> None:
    wire = Wire().ready()
    for _ in range(10):
        wire.after(14.9).get(text("pusher:pong")).after(0.1).get(text("pusher:pong"))
    assert pings(wire) == 10


def test_pings_go_out_on_a_clock_while_events_flow() -> None:
    wire = Wire().ready()
    for _ in range(3000):
        wire.get(text("message", A, "1")).after(0.1)
    assert pings(wire) == 19 or pings(wire) == 20


@pytest.mark.parametrize(
    "life",
    [
        lambda wire: wire.get(text("pusher:pong")),
        lambda wire: wire.get(text("pusher:ping")),
        lambda wire: wire.get(text("message", A, "1")),
        lambda wire: wire.get("not JSON"),
        lambda wire: wire.machine.receive_control(wire.now),
        lambda wire: wire.machine.receive_binary(wire.now),
    ],
    ids=["pong", "ping", "event", "junk", "WebSocket ping or pong", "binary"],
)
def test_anything_that_comes_is_an_answer_to_a_ping(life: Callable[[Wire], object]) -> None:
    wire = Wire().ready().after(24.9)
    life(wire)
    wire.after(14.0)
    assert wire.machine.ended is None


def test_no_answer_to_a_ping_ends_the_link() -> None:
    wire = Wire().ready().after(24.99)
    assert wire.machine.ended is None
    ended = wire.after(0.02).ended
    assert ended.retry is Retry.BACK_OFF
    assert "10 s" in ended.reason


@pytest.mark.parametrize(
    "interval", [2.0, 5.0, 9.0, 15.0, 120.0], ids=lambda interval: f"interval {interval:g}"
)
def test_later_pings_do_not_put_off_the_deadline_of_the_first(interval: float) -> None:
    wire = Wire(timing=Timing(ping_interval=interval, pong_timeout=10.0)).ready()
    wire.after(interval + 9.99)
    assert wire.machine.ended is None
    assert wire.after(0.02).ended.retry is Retry.BACK_OFF


@pytest.mark.parametrize("data", [None, {}, "{}", "", "text", 5, [1]])
def test_a_ping_is_answered_whatever_its_data(data: object) -> None:
    wire = Wire().ready()
    before = len(wire.sent)
    wire.get(text("pusher:ping", data=data))
    assert [json.loads(each)["event"] for each in wire.sent[before:]] == ["pusher:pong"]


def test_a_flood_of_pings_costs_one_pong() -> None:
    wire = Wire().ready()
    before = len(wire.sent)
    wire.get(*[text("pusher:ping")] * 10_000)
    assert len(wire.sent) - before == 1


def test_a_probe_pings_at_once_with_a_deadline() -> None:
    wire = Wire().ready().after(3.0)
    wire.machine.ping_now(wire.now)
    assert pings(wire.drain()) == 1
    assert wire.after(10.0).ended.retry is Retry.BACK_OFF


def test_a_probe_before_established_sends_nothing() -> None:
    wire = Wire()
    wire.machine.ping_now(wire.now)
    assert wire.drain().sent == []


@given(
    st.lists(st.floats(min_value=0.01, max_value=20), max_size=30),
    st.sampled_from((2.0, 9.0, 15.0, 40.0)),
    st.sampled_from((1.0, 10.0, 30.0)),
)
def test_no_silence_is_longer_than_ping_interval_and_pong_timeout(
    gaps: list[float], interval: float, pong: float
) -> None:
    wire = Wire(timing=Timing(ping_interval=interval, pong_timeout=pong)).ready()
    last = wire.now
    for gap in [*gaps, inf]:
        while (due := wire.machine.deadline()) <= last + gap and wire.machine.ended is None:
            assert due - last <= interval + pong + 1e-6
            assert wire.at(due).machine.deadline() > due, "due for ever"
        if wire.machine.ended:
            break
        wire.at(last + gap).get(text("message", A, "1"))
        last = wire.now
    assert wire.ended.retry is Retry.BACK_OFF
    assert wire.now - last <= interval + pong + 1e-6


@given(st.lists(st.floats(min_value=0.0, max_value=9.9), min_size=1, max_size=80))
def test_pings_are_never_further_apart_than_the_interval(gaps: list[float]) -> None:
    wire = Wire().ready()
    pinged = wire.now
    for gap in gaps:
        until = wire.now + gap
        while wire.machine.deadline() <= until:
            before = pings(wire)
            wire.at(wire.machine.deadline())
            if pings(wire) > before:
                assert wire.now - pinged <= 15.0 + 1e-6
                pinged = wire.now
        wire.at(until).get(text("message", A, "1"))
    assert wire.machine.ended is None
    assert wire.now - pinged <= 15.0 + 1e-6


# --- rechecks -----------------------------------------------------------------------------------


def rechecks(wire: Wire) -> list[str]:
    """The channels asked for once more, in order."""
    first = len(wire.channels)
    return [data["channel"] for data in wire.subscribes()[first:]]


def test_every_subscription_is_asked_for_again_with_the_same_signature() -> None:
    wire = Wire((PUBLIC, A), timing=ALIVE).ready().after(179.0)
    assert rechecks(wire) == []
    wire.after(1.5)
    assert wire.subscribes()[2:] == wire.subscribes()[:2]
    wire.get(error(None, f"Existing subscription to channel {A}"), succeeded(PUBLIC))
    assert wire.of(SubscriptionReconfirmed) == [
        SubscriptionReconfirmed(A, certain=True),
        SubscriptionReconfirmed(PUBLIC),
    ]
    assert len(wire.of(AuthRequested)) == 1
    assert len(wire.of(SubscriptionSucceeded)) == 2
    wire.after(180.0)
    assert rechecks(wire) == [PUBLIC, A] * 2


def test_a_server_that_never_answers_rechecks_is_left_alone() -> None:
    wire = Wire((PUBLIC, A), timing=ALIVE).ready().after(2000.0)
    assert rechecks(wire) == [PUBLIC, A]
    assert wire.of(SubscriptionLost) == []
    assert wire.of(ProtocolWarning) == []


def test_a_server_that_stops_answering_rechecks_has_forgotten_us() -> None:
    wire = Wire((A, B), timing=ALIVE).ready().after(180.5).get(succeeded(A), succeeded(B))
    wire.after(180.5).get(succeeded(A)).after(10.0)
    assert wire.of(SubscriptionLost) == [SubscriptionLost(B)]
    wire.after(2.0).grant(B).get(succeeded(B))
    assert wire.of(SubscriptionSucceeded)[2:] == [SubscriptionSucceeded(B)]
    assert len(wire.of(SubscriptionsSettled)) == 1


LOST_PERMISSIONS = {
    "soketi, 401": text("pusher:subscription_error", A, {"error": "made up", "status": 401}),
    "soketi, 500": text("pusher:subscription_error", A, {"error": "made up", "status": 500}),
    "in band, 4009": error(4009, "made up"),
    "in band, by name": error(None, f"Invalid signature for {A}"),
}


@pytest.mark.parametrize("frame", LOST_PERMISSIONS.values(), ids=LOST_PERMISSIONS.keys())
def test_a_recheck_that_is_refused_makes_the_channel_doubtful(frame: str) -> None:
    """Whatever came between the refusal and the next confirmation is a gap to be said."""
    wire = Wire(timing=ALIVE).ready().after(180.5).get(frame)
    assert wire.machine.ended is None
    wire.after(2.0).grant(A).get(succeeded(A))
    assert wire.of(SubscriptionSucceeded) == [SubscriptionSucceeded(A)] * 2
    assert wire.of(SubscriptionLost) == [SubscriptionLost(A)]


def test_a_channel_confirmed_before_it_was_asked_for_is_subscribed_all_the_same() -> None:
    wire = Wire(timing=ALIVE).establish().get(succeeded(A)).grant(A).after(400.0)
    assert "" not in wire.sent
    assert {"channel": A, "auth": f"key:{A}"} in wire.subscribes()


# --- quiet --------------------------------------------------------------------------------------


def test_quiet_is_said_once_an_interval_while_no_event_comes() -> None:
    wire = Wire().ready()
    for _ in range(60):
        wire.after(3.0).get(text("pusher:pong"))
    assert [round(quiet.last_event) for quiet in wire.of(Idle)] == [60, 120, 180]
    assert all(quiet.last_frame <= 3.0 for quiet in wire.of(Idle))
    assert all(quiet.last_pong is not None and quiet.last_pong <= 3.0 for quiet in wire.of(Idle))


def test_nothing_is_quiet_while_events_come() -> None:
    wire = Wire().ready()
    for _ in range(40):
        wire.after(9.0).get(text("message", A, "1"))
    assert wire.of(Idle) == []


# --- ends ---------------------------------------------------------------------------------------

ENDS: dict[str, Callable[[Wire], object]] = {
    "close": lambda wire: wire.close(1006),
    "not UTF-8": lambda wire: wire.get(b"\xff"),
    "abandoned": lambda wire: wire.machine.fail("made up", 1002),
    "token refused": lambda wire: wire.at(wire.now).answer(A, TokenRefused("made up")),
    "no pong": lambda wire: wire.after(26.0),
}


@pytest.mark.parametrize("end", ENDS.values(), ids=ENDS.keys())
def test_nothing_happens_after_the_end(end: Callable[[Wire], object]) -> None:
    wire = Wire((A, PUBLIC)).establish()
    end(wire)
    wire.drain()
    events, sent = list(wire.events), list(wire.sent)
    assert wire.ended is events[-1]
    wire.get(ESTABLISHED, text("pusher:ping"), text("message", A, "1"), error(4001), b"\xff")
    wire.grant(A).close(4001)
    wire.machine.receive_binary(wire.now)
    wire.machine.receive_control(wire.now)
    wire.machine.fail("again")
    wire.machine.ping_now(wire.now)
    wire.at(wire.now + 1000.0)
    assert (wire.events, wire.sent) == (events, sent)
    assert wire.machine.deadline() == inf


@pytest.mark.parametrize(
    "frame", [text("pusher:ping"), ESTABLISHED], ids=["a pong owed", "a subscription"]
)
def test_what_was_not_sent_before_the_end_is_not_sent_after_it(frame: str) -> None:
    """RFC 6455 section 5.5.1: no more data frames once a close frame was sent."""
    wire = Wire((PUBLIC,)) if frame == ESTABLISHED else Wire((PUBLIC,)).establish()
    wire.machine.receive_text(frame.encode(), wire.now, RECEIVED)
    wire.machine.receive_close(1000, "")
    assert wire.machine.take_outgoing() == []


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
).map(lambda frame: json.dumps(frame).encode())
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

    wire: Wire
    granted: set[tuple[str, str]] = field(default_factory=set)

    def take(self, step: Step) -> None:
        wire, machine = self.wire, self.wire.machine
        was_ended, was_established = machine.ended is not None, machine.socket_id is not None
        said, sent = len(wire.events), len(wire.sent)
        match step:
            case ("text" | "established", payload):
                wire.get(payload)
            case ("confirm", channel):
                wire.get(succeeded(channel))
            case ("answer", channel, right, answer):
                self.answer(channel, right, answer)
            case ("after", seconds):
                wire.after(seconds)
            case ("alive", times):
                for _ in range(times):
                    wire.after(5.0)
                    machine.receive_control(wire.now)
            case ("jump", seconds):
                wire.at(wire.now + seconds)
            case ("binary",):
                machine.receive_binary(wire.now)
            case ("control",):
                machine.receive_control(wire.now)
            case ("probe",):
                machine.ping_now(wire.now)
            case ("close", code):
                wire.close(code)
            case _:
                machine.fail("made up")
        wire.at(wire.now)
        if was_ended:
            assert (len(wire.events), len(wire.sent)) == (said, sent)
        if not was_established and machine.socket_id is None:
            assert len(wire.sent) == sent
        self.check()

    def answer(self, channel: str, right: bool, answer: AuthAnswer | None) -> None:
        socket_id = (self.wire.machine.socket_id if right else "old") or "none"
        auth = f"{socket_id}:{channel}"
        if right:
            self.granted.add((channel, auth))
        self.wire.answer(channel, answer or Granted(auth), socket_id)

    def check(self) -> None:
        wire, machine = self.wire, self.wire.machine
        kinds = Counter(type(event) for event in wire.events)
        assert kinds[CloseReason] == (machine.ended is not None)
        assert kinds[CloseReason] == 0 or isinstance(wire.events[-1], CloseReason)
        assert kinds[SubscriptionsSettled] == machine.ready
        assert kinds[ConnectionEstablished] == (machine.socket_id is not None)
        if machine.ended:
            assert machine.deadline() == inf
        else:
            assert wire.now < machine.deadline() < wire.now + 1000.0
        for data in wire.subscribes():
            assert data["channel"] in wire.channels
            if "auth" in data:
                assert (data["channel"], data["auth"]) in self.granted
            else:
                assert data == {"channel": PUBLIC}
        known = {"pusher:ping", "pusher:pong", "pusher:subscribe"}
        assert set(wire.sent_events()) <= known
        for wanted in wire.of(AuthRequested):
            assert wanted.socket_id == machine.socket_id
        for decided in wire.of(SubscriptionsSettled):
            assert decided.confirmed
            assert sorted(decided.confirmed + decided.refused) == sorted(wire.channels)


openings = st.sampled_from(((), (("established", ESTABLISHED),))).map(list)


@given(
    st.lists(st.sampled_from(CHANNELS), min_size=1, unique=True),
    st.booleans(),
    openings,
    st.lists(steps, max_size=40),
)
@example(list(CHANNELS), False, [("established", ESTABLISHED)], [("confirm", c) for c in CHANNELS])
def test_whatever_comes_in_any_order(
    channels: list[str], strict: bool, opening: list[Step], then: list[Step]
) -> None:
    checked = Checked(Wire(channels, strict=strict))
    for step in [*opening, *then]:
        checked.take(step)


@given(st.lists(st.binary(max_size=80) | frames, max_size=20), st.booleans())
def test_any_frames_are_survived(payloads: list[bytes], established: bool) -> None:
    wire = Wire(CHANNELS)
    if established:
        wire.establish()
    wire.get(*payloads)
    assert_reportable(wire.events)


def assert_reportable(events: Iterable[Event]) -> None:
    for event in events:
        assert repr(event)
        if isinstance(event, ChannelEvent):
            assert event.event.encode() is not None
            assert (event.channel or "").encode() is not None
            if event.data is not None:
                json.loads(event.data, parse_int=str)
