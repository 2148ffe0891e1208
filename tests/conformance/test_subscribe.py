"""SU: how channels are joined, and which answer belongs to which."""

import pytest

from chatapp_tail import items
from chatapp_tail.chatapp.channels import parse_channel
from chatapp_tail.items import StopCause
from chatapp_tail.pusher.answers import Unavailable
from chatapp_tail.pusher.connection import Timing
from chatapp_tail.pusher.events import (
    ProtocolWarning,
)
from tests.pusher_machine import CHANNEL, OTHER, PING, PUBLIC, Machine, frame

from .harness import Client
from .server import Peer, Server

COMPANY = "private-v1.companies.2224"
EMPLOYEE = "private-v1.companies.2224.users.685"


def test_su_054_nothing_is_sent_before_established_and_all_after() -> None:
    machine = Machine(PUBLIC, CHANNEL).after(5).receive(PING)
    assert machine.sent == []
    assert machine.establish().grant(CHANNEL).requested == [PUBLIC, CHANNEL]


@pytest.mark.defect("A.21")
def test_su_056_a_channel_that_would_announce_or_replay_is_not_rechecked() -> None:
    rechecked = [CHANNEL, "private-not-a-cache-e"]
    others = ("cache-a", "private-cache-b", "private-encrypted-cache-c", "presence-d")
    machine = Machine(*others, *rechecked).subscribe()
    before = len(machine.requested)
    assert machine.live(181).requested[before:] == rechecked


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


def test_su_065_a_late_success_counts() -> None:
    machine = Machine(timing=Timing(confirm_timeout=3)).establish().grant().after(3.1).confirm()
    assert machine.confirmed == [CHANNEL]
    assert machine.after(10).requested == [CHANNEL]


def test_su_068_existing_subscription_counts_while_the_next_signature_is_awaited() -> None:
    machine = Machine(timing=Timing(confirm_timeout=3)).establish().grant()
    machine.after(5).error(None, f"Existing subscription to channel {CHANNEL}")
    assert machine.confirmed == [CHANNEL]


def test_su_069_no_current_subscription_is_said_and_harms_nothing() -> None:
    machine = Machine().subscribe()
    machine.error(None, f"No current subscription to channel {CHANNEL}, or in progress")
    assert "No current subscription" in machine.all(ProtocolWarning)[0].reason
    assert (machine.refused, machine.goes_on) == ([], True)


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
    machine = Machine(CHANNEL, OTHER).establish().grant().error(4009)
    assert machine.goes_on
    assert machine.error(4009).ended.stop is StopCause.CHANNELS_REFUSED


@pytest.mark.parametrize("data", [..., "{}", {"a": 1}])
def test_su_076_a_cache_miss_is_reported_and_no_error(data: object) -> None:
    machine = Machine().subscribe().receive(frame("pusher:cache_miss", CHANNEL, data))
    assert machine.protocol.skipped == {"pusher:cache_miss": 1}  # and -vv shows every frame
    assert machine.answer(CHANNEL, Unavailable("too late")).warned == []
    assert machine.goes_on
