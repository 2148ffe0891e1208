"""SU: how channels are joined, and which answer belongs to which."""

import pytest

from chatapp_tail import items
from chatapp_tail.chatapp.channels import parse_channel
from chatapp_tail.items import StopCause
from chatapp_tail.pusher.answers import Granted, Unavailable
from chatapp_tail.pusher.connection import Timing
from chatapp_tail.pusher.events import (
    ProtocolWarning,
    SubscriptionRefused,
    SubscriptionsSettled,
    SubscriptionSucceeded,
)

from .harness import CHANNEL, OTHER, PUBLIC, Client, Machine
from .server import Peer, Server

COMPANY = "private-v1.companies.2224"
EMPLOYEE = "private-v1.companies.2224.users.685"


def confirmed(machine: Machine) -> list[str]:
    """The channels confirmed so far, in order."""
    return [event.channel for event in machine.all(SubscriptionSucceeded)]


def refused(machine: Machine) -> list[str]:
    """The channels refused so far, in order."""
    return [event.channel for event in machine.all(SubscriptionRefused)]


def test_su_054_nothing_is_sent_before_established_and_all_after() -> None:
    machine = Machine(PUBLIC, CHANNEL)
    machine.advance(5)
    machine.receive(event="pusher:ping", data={})
    assert machine.sent == []
    machine.establish()
    machine.grant(CHANNEL)
    assert machine.subscribed == [PUBLIC, CHANNEL]


def test_su_055_a_public_channel_is_subscribed_at_once_without_auth() -> None:
    machine = Machine(PUBLIC)
    machine.establish()
    assert machine.asked == []
    message = machine.sent_events("pusher:subscribe")[0][1]
    assert message == {"event": "pusher:subscribe", "data": {"channel": PUBLIC}}


def test_su_056_a_subscribed_channel_is_not_subscribed_again() -> None:
    machine = Machine(CHANNEL, PUBLIC)
    machine.subscribe(CHANNEL, PUBLIC)
    machine.live(150)  # the recheck, which asks again on purpose, comes later
    assert machine.subscribed == [PUBLIC, CHANNEL]
    assert machine.asked == [CHANNEL]


def test_su_056_the_recheck_asks_again_with_the_same_signature_and_announces_nothing() -> None:
    machine = Machine()
    machine.subscribe()
    machine.live(181)
    (_, first), (_, second) = machine.sent_events("pusher:subscribe")
    assert (first, machine.asked) == (second, [CHANNEL])
    before = len(machine.out)
    machine.error(None, f"Existing subscription to channel {CHANNEL}")
    assert announced(machine, before) == []
    assert machine.protocol.ended is None


def announced(machine: Machine, since: int) -> list[object]:
    """What people and scripts would be told of what came out after the first `since`."""
    told = (SubscriptionSucceeded, SubscriptionRefused, SubscriptionsSettled, ProtocolWarning)
    return [event for event in machine.out[since:] if isinstance(event, told)]


@pytest.mark.defect("A.21")
def test_su_056_a_channel_that_would_announce_or_replay_is_not_rechecked() -> None:
    channels = ("cache-a", "private-cache-b", "private-encrypted-cache-c", "presence-d")
    machine = Machine(*channels, CHANNEL, "private-not-a-cache-e")
    machine.subscribe(*channels[1:], CHANNEL, "private-not-a-cache-e")
    machine.confirm("cache-a")
    before = len(machine.subscribed)
    machine.live(181)
    assert machine.subscribed[before:] == [CHANNEL, "private-not-a-cache-e"]


def test_su_057_a_channel_wanted_twice_is_one_subscription() -> None:
    machine = Machine(CHANNEL, CHANNEL)
    machine.subscribe()
    assert machine.subscribed == [CHANNEL]
    assert machine.all(SubscriptionsSettled) == [SubscriptionsSettled([CHANNEL], [])]


@pytest.mark.defect("A.26b")
def test_su_060_a_presence_channel_is_refused_as_one() -> None:
    with pytest.raises(ValueError, match="presence channels are not supported"):
        parse_channel("presence-room")


@pytest.mark.parametrize("name", ["#channel", "a" * 165, "a b", "a/b/c", "é", "a\n", ""])
def test_su_060_an_improper_channel_name_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match=r"\w+ \w+"):
        parse_channel(name)


def test_su_060_the_longest_and_oddest_proper_names_are_taken() -> None:
    for name in ("a" * 164, "aZ0_-=@,.;"):
        assert parse_channel(name) == name


@pytest.mark.parametrize("data", [{}, {"data": "{}"}, {"data": {}}, {"data": None}, {"data": "x"}])
def test_su_062_success_is_accepted_with_any_data(data: dict[str, object]) -> None:
    machine = Machine()
    machine.establish()
    machine.grant()
    machine.receive(event="pusher_internal:subscription_succeeded", channel=CHANNEL, **data)
    assert confirmed(machine) == [CHANNEL]


def test_su_064_a_second_success_is_not_announced() -> None:
    machine = Machine()
    machine.subscribe()
    before = len(machine.out)
    machine.confirm()
    assert announced(machine, before) == []


def test_su_065_no_answer_is_reported_and_subscribed_again_with_a_new_signature() -> None:
    machine = Machine(timing=Timing(confirm_timeout=10))
    machine.establish()
    machine.grant()
    machine.advance(9.9)
    assert machine.all(ProtocolWarning) == []
    machine.advance(0.2)
    (noted,) = machine.all(ProtocolWarning)
    assert (noted.channel, "10 s" in noted.reason) == (CHANNEL, True)
    machine.advance(2)
    assert machine.asked == [CHANNEL, CHANNEL]
    machine.answer(CHANNEL, Granted("MadeUpKey:new"))
    assert machine.sent[-1][1]["data"]["auth"] == "MadeUpKey:new"
    machine.confirm()
    assert machine.protocol.ready


def test_su_065_a_late_success_counts() -> None:
    machine = Machine(timing=Timing(confirm_timeout=3))
    machine.establish()
    machine.grant()
    machine.advance(3.1)
    machine.confirm()
    assert confirmed(machine) == [CHANNEL]
    machine.advance(10)
    assert machine.subscribed == [CHANNEL]


@pytest.mark.parametrize("status", [401, 403, 4009])
@pytest.mark.parametrize(
    "event", ["pusher:subscription_error", "pusher_internal:subscription_error"]
)
def test_su_066_a_refusal_with_channel_is_retried_slowly(status: int, event: str) -> None:
    machine = Machine(CHANNEL, OTHER)
    machine.subscribe(CHANNEL)
    machine.grant(OTHER)
    data = {"type": "AuthError", "error": "made up", "status": status}
    machine.receive(event=event, channel=OTHER, data=data)
    assert refused(machine) == [OTHER]
    assert "made up" in machine.all(SubscriptionRefused)[0].reason
    assert machine.protocol.ready
    machine.live(290)
    assert machine.asked.count(OTHER) == 1
    machine.live(20)
    assert machine.asked.count(OTHER) == 2


@pytest.mark.parametrize("status", [4100, 4301, 4302, 500, None, "401"])
def test_su_066_another_failure_with_channel_is_retried_with_back_off(status: object) -> None:
    machine = Machine(CHANNEL, OTHER)
    machine.subscribe(CHANNEL)
    machine.grant(OTHER)
    machine.receive(event="pusher:subscription_error", channel=OTHER, data={"status": status})
    assert refused(machine) == []
    assert machine.all(ProtocolWarning)[0].channel == OTHER
    machine.advance(2)
    assert machine.asked.count(OTHER) == 2


@pytest.mark.parametrize("as_string", [False, True])
def test_su_067_an_error_without_channel_is_about_the_one_pending(as_string: bool) -> None:
    machine = Machine(CHANNEL, OTHER)
    machine.establish()
    machine.grant(CHANNEL)
    machine.confirm(CHANNEL)
    machine.grant(OTHER)
    data = '{"code":4009,"message":"Connection is unauthorized"}'
    machine.receive(event="pusher:error", data=data if as_string else {"code": 4009})
    assert refused(machine) == [OTHER]


def test_su_067_an_error_that_names_a_channel_is_about_that() -> None:
    machine = Machine(CHANNEL, OTHER, PUBLIC)
    machine.establish()
    machine.grant(CHANNEL, OTHER)
    machine.error(None, f"Invalid signature: Expected HMAC SHA256 hex digest of 1.1:{OTHER}")
    assert refused(machine) == [OTHER]


@pytest.mark.parametrize("order", [(COMPANY, EMPLOYEE), (EMPLOYEE, COMPANY)])
@pytest.mark.parametrize("named", [COMPANY, EMPLOYEE])
def test_su_067_a_name_inside_another_name_is_not_mistaken(
    order: tuple[str, str], named: str
) -> None:
    machine = Machine(*order)
    machine.establish()
    machine.grant(*order)
    machine.error(None, f"Auth value for subscription to {named} is invalid: should be of format")
    assert refused(machine) == [named]


@pytest.mark.parametrize("order", [(CHANNEL, OTHER), (OTHER, CHANNEL)])
def test_su_067_an_error_without_any_name_is_about_the_oldest_sent(order: tuple[str, str]) -> None:
    machine = Machine(CHANNEL, OTHER, PUBLIC)
    machine.establish()
    machine.grant(*order)  # two answers that came in the same instant
    machine.error(4009, "Connection is unauthorized")
    assert refused(machine) == [order[0]]


def test_su_067_what_cannot_be_attributed_ends_by_the_timer() -> None:
    machine = Machine(CHANNEL, OTHER)
    machine.establish()
    machine.grant(CHANNEL, OTHER)
    machine.error(None, "made up")
    assert refused(machine) == []
    machine.confirm(CHANNEL)
    machine.advance(11)
    assert OTHER in [noted.channel for noted in machine.all(ProtocolWarning)]


def test_su_068_existing_subscription_counts_as_subscribed() -> None:
    machine = Machine()
    machine.establish()
    machine.grant()
    machine.error(None, f"Existing subscription to channel {CHANNEL}")
    assert confirmed(machine) == [CHANNEL]
    assert machine.protocol.ready


@pytest.mark.parametrize("order", [(COMPANY, EMPLOYEE), (EMPLOYEE, COMPANY)])
@pytest.mark.parametrize("named", [COMPANY, EMPLOYEE])
def test_su_068_existing_subscription_is_about_exactly_the_named_channel(
    order: tuple[str, str], named: str
) -> None:
    machine = Machine(*order)
    machine.establish()
    machine.grant(*order)
    machine.error(None, f"Existing subscription to channel {named}")
    assert confirmed(machine) == [named]


def test_su_068_existing_subscription_counts_while_the_next_signature_is_awaited() -> None:
    machine = Machine(timing=Timing(confirm_timeout=3))
    machine.establish()
    machine.grant()
    machine.advance(5)  # unconfirmed, and being signed again
    machine.error(None, f"Existing subscription to channel {CHANNEL}")
    assert confirmed(machine) == [CHANNEL]


def test_su_069_no_current_subscription_is_said_and_harms_nothing() -> None:
    machine = Machine()
    machine.subscribe()
    machine.error(None, f"No current subscription to channel {CHANNEL}, or in progress")
    assert "No current subscription" in machine.all(ProtocolWarning)[0].reason
    assert (refused(machine), machine.protocol.ended) == ([], None)


def test_su_070_one_refused_channel_leaves_the_others_alone() -> None:
    def script(peer: Peer) -> None:
        peer.upgrade()
        peer.establish()
        peer.wait_event("pusher:subscribe", count=2)
        data = {"type": "AuthError", "error": "no", "status": 401}
        peer.send_json(event="pusher:subscription_error", channel=OTHER, data=data)
        peer.confirm(CHANNEL)
        peer.send_json(event="message", channel=CHANNEL, data="{}")
        peer.serve()

    with Server(script) as server, Client(server, (OTHER, CHANNEL)) as client:
        ready = client.wait_for(items.Ready)
        assert (ready.channels, ready.refused) == ([CHANNEL], [OTHER])
        client.wait_for(items.ChannelEvent)
        assert client.all(items.Lost) == []


def test_su_070_all_channels_refused_stops() -> None:
    machine = Machine(CHANNEL, OTHER)
    machine.establish()
    machine.grant(CHANNEL, OTHER)
    machine.error(4009)
    assert machine.protocol.ended is None
    machine.error(4009)
    assert machine.ended.stop is StopCause.CHANNELS_REFUSED


def test_su_072_public_channels_go_before_any_auth_is_awaited() -> None:
    machine = Machine(CHANNEL, PUBLIC, OTHER, "weather")
    machine.establish()
    assert machine.subscribed == [PUBLIC, "weather"]
    assert machine.asked == [CHANNEL, OTHER]


@pytest.mark.parametrize("data", [{}, {"data": "{}"}, {"data": {"a": 1}}])
def test_su_076_a_cache_miss_is_reported_and_no_error(data: dict[str, object]) -> None:
    machine = Machine()
    machine.subscribe()
    machine.receive(event="pusher:cache_miss", channel=CHANNEL, **data)
    assert machine.protocol.skipped == {"pusher:cache_miss": 1}  # and -vv shows every frame
    assert (machine.all(ProtocolWarning), machine.protocol.ended) == ([], None)
    machine.answer(CHANNEL, Unavailable("too late"))
    assert machine.all(ProtocolWarning) == []
