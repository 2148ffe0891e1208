"""EV: what channels say reaches the writer, all of it, as it was, in order."""

import json
import os
import select
from pathlib import Path

import pytest

from chatapp_tail import items
from chatapp_tail.chatapp.records import decode
from chatapp_tail.errors import ExitStatus
from chatapp_tail.formats.ndjson import format_ndjson
from chatapp_tail.items import ChannelEvent
from chatapp_tail.pusher.events import ProtocolWarning
from chatapp_tail.spool import Spool
from chatapp_tail.threads import Waker
from tests.conftest import TIMEOUT_SCALE
from tests.pusher_machine import CHANNEL, MESSAGE, OTHER, Machine, frame
from tests.servers import HttpEndpoint

from .frames import PING, PONG, TEXT, encode
from .harness import Client, Link, Program
from .server import Server


def delivered(*texts: str) -> list[ChannelEvent]:
    """Return the events a subscribed machine hands on for these frames."""
    return Machine().subscribe().receive(*texts).all(ChannelEvent)


def with_data(data: str) -> str:
    """Return an event frame with this text as its `data` member."""
    return f'{{"event":"message","channel":"{CHANNEL}","data":{data}}}'


def records(event: ChannelEvent) -> list[tuple[bytes, str | None]]:
    """Return (data, encoding) of each record the program makes of an event."""
    return [(record.data, record.encoding) for record in decode(event).records]


def test_ev_077_a_string_that_holds_json_is_available_raw_and_parsed() -> None:
    document = '{"b":1.10,"a":[1e2,"\\u00e9"],"b":2}'
    (event,) = delivered(with_data(json.dumps(document)))
    assert event.data == document.encode()
    assert records(event) == [(document.encode(), None)]


@pytest.mark.parametrize("text", ["hello", "", "{", "NaN", "\ud83d\ude00", 'a"b\\c', "a\nb"])
def test_ev_078_plain_text_is_delivered_as_text(text: str) -> None:
    (event,) = delivered(with_data(json.dumps(text)))
    ((data, encoding),) = records(event)
    assert (json.loads(data), encoding) == (
        text.encode("utf-16", "surrogatepass").decode("utf-16"),
        "text",
    )


@pytest.mark.parametrize(
    "data",
    ['{"a":1}', "[1]", "5", "1e400", "null", "true", '{"x":{"y":[]}}', "123456789012345678901"],
)
def test_ev_079_data_that_is_no_string_is_delivered_as_it_is(data: str) -> None:
    (event,) = delivered(with_data(data))
    assert event.data == data.encode()
    assert records(event) == [(data.encode(), None)]


def test_ev_079_missing_data_is_delivered() -> None:
    (event,) = delivered(f'{{"event":"message","channel":"{CHANNEL}"}}')
    assert (event.event, event.data) == ("message", None)
    assert len(records(event)) == 1


@pytest.mark.parametrize(
    "member", ['"user_id":"7"', '"x":{"y":[1]}', '"time":1e999', '"event2":"x"']
)
def test_ev_079_unknown_members_of_a_frame_are_no_obstacle(member: str) -> None:
    text = f'{{{member},"channel":"{CHANNEL}","data":{{}},"event":"message"}}'
    assert len(delivered(text)) == 1


@pytest.mark.defect("A2.24g")
@pytest.mark.parametrize("channel", [OTHER, CHANNEL + "x", CHANNEL.upper(), ""])
def test_ev_082_an_event_of_a_channel_that_was_not_asked_for_is_counted_and_said_once(
    channel: str,
) -> None:
    machine = Machine().subscribe().receive(*[frame("message", channel, "{}")] * 20)
    assert machine.all(ChannelEvent) == []
    assert [repr(channel) in noted.reason for noted in machine.all(ProtocolWarning)] == [True]
    assert list(machine.protocol.skipped.values()) == [20]
    assert [event.channel for event in machine.receive(MESSAGE).all(ChannelEvent)] == [CHANNEL]


def test_ev_082_an_event_without_a_channel_is_delivered_without_one() -> None:
    (event,) = delivered('{"event":"message","channel":null,"data":"{}"}')
    (record,) = decode(event).records
    assert (event.channel, record.channel) == (None, None)


def test_ev_083_an_unknown_internal_event_is_noted_and_not_delivered() -> None:
    unknown = [frame(name, CHANNEL, "{}") for name in ("pusher_internal:made_up", "pusher:made_up")]
    machine = Machine().subscribe().receive(*unknown * 3)
    assert machine.all(ChannelEvent) == []
    (noted,) = machine.all(ProtocolWarning)
    assert "pusher_internal:made_up" in noted.reason
    assert list(machine.protocol.skipped.values()) == [6]


@pytest.mark.defect("A.26a")
@pytest.mark.parametrize(
    "event",
    ["pusher_internal:subscription_count", "pusher_internal:member_added", "pusher:cache_miss",
     "pusher_internal:member_removed", "pusher:signin_success"],
)  # fmt: skip
def test_ev_083_a_known_event_that_is_not_used_is_counted_in_silence(event: str) -> None:
    machine = Machine().subscribe()
    machine.receive(*[frame(event, CHANNEL, '{"subscription_count":3}')] * 3)
    assert (machine.all(ChannelEvent), machine.warned) == ([], [])
    assert machine.protocol.skipped == {event: 3}


def test_ev_083_an_unknown_internal_event_is_visible_in_debug(link: Link) -> None:
    client, peer = link
    peer.send_json(event="pusher_internal:made_up", channel=CHANNEL, data="{}")
    client.wait_for(items.ConnectionWarning)
    assert any("pusher_internal:made_up" in line for line in client.traced)
    assert client.events == []


def test_ev_086_the_order_is_the_order_on_the_wire() -> None:
    with Server() as server, Client(server, (CHANNEL, OTHER)) as client:
        client.wait_for(items.Ready)
        for number in range(500):
            channel = (CHANNEL, OTHER)[number % 3 == 0]
            server.peer().send_json(event=f"event-{number}", channel=channel, data=str(number))
        client.wait_for(ChannelEvent, count=500)
        assert client.events == [f"event-{number}" for number in range(500)]


def test_ev_087_a_failing_writer_is_reported_once_and_ends_the_program(home: Path) -> None:
    with (
        HttpEndpoint() as api,
        Server() as server,
        Path("/dev/full").open("wb") as full,
        Program(server, api.url, home, full.fileno()) as program,
    ):
        peer = server.peer()
        peer.wait_event("pusher:subscribe")
        peer.send_raw(b"".join(encode(TEXT, with_data(str(n)).encode()) for n in range(50)))
        status, said = program.wait()
        assert status == ExitStatus.OUTPUT_FAILED
        assert said.count("No space left on device") == 1
        assert peer.close_code == 1000


@pytest.mark.parametrize(
    "data",
    [
        '"{\\"payload\\":{\\"data\\":[1,"',
        '{"payload":{"data":{"not":"a list"}}}',
        '"\\ud800"',
        '{"payload":{"data":[{"id":{}}],"meta":5}}',
        f'"{"[" * 50_000}"',
        '"\\u0000"',
    ],
)
def test_ev_087_no_payload_can_make_the_decoder_fail(data: str) -> None:
    odd, after = delivered(with_data(data), with_data('{"id":1}'))
    assert all(json.loads(line) for line in format_ndjson(decode(odd), decode(odd).records))
    assert records(after) == [(b'{"id":1}', None)]


def test_ev_088_a_reader_of_stdout_that_leaves_in_the_middle_ends_it_quietly(home: Path) -> None:
    reader, writer = os.pipe()
    with (
        HttpEndpoint() as api,
        Server() as server,
        Program(server, api.url, home, writer) as program,
    ):
        os.close(writer)
        server.peer().wait_event("pusher:subscribe")
        server.peer().send_text(with_data('{"id":1}'))
        assert select.select([reader], [], [], 10 * TIMEOUT_SCALE)[0]
        os.close(reader)
        assert program.wait() == (0, "")


def test_ev_089_a_blocked_stdout_stops_neither_reading_nor_pinging(home: Path) -> None:
    reader, writer = os.pipe()
    count, padding = 50_000, "x" * 1000
    with (
        HttpEndpoint() as api,
        Server() as server,
        Program(server, api.url, home, writer, "--ping-interval", "1s") as program,
    ):
        os.close(writer)
        peer = server.peer()
        peer.wait_event("pusher:subscribe")
        for number in range(count):  # 50 MB: more than is kept in memory
            peer.send(TEXT, with_data(json.dumps({"id": number, "p": padding})).encode())
        peer.send(PING, b"after the flood")
        assert peer.wait_frame(PONG).payload == b"after the flood"
        peer.wait_event("pusher:ping", count=len(peer.events("pusher:ping")) + 1)
        with os.fdopen(reader, "rb") as stream:
            for number in range(count):
                assert f'"data":{{"id": {number},'.encode() in stream.readline()
        assert program.process.poll() is None


def test_ev_089_the_sink_never_waits_for_a_taker() -> None:
    alarm = Waker()
    spool = Spool(1 << 30, alarm, memory=1 << 16)
    event = ChannelEvent(1, "message", CHANNEL, b"x" * 1000)
    for _ in range(10_000):  # nobody takes: all of it is kept without waiting
        spool.put([event])
    taken = 0
    while batch := spool.take():
        taken += len(batch)
    assert taken == 10_000
    spool.close()
    alarm.close()
