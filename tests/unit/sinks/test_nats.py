"""Publishing to real servers of NATS: what the stream has, whatever happens to the connection."""

import json
import select
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import trustme
from nats.js.api import DiscardPolicy

from chatapp_tail.chatapp.records import Record, Source
from chatapp_tail.errors import ExitStatus, UsageError
from chatapp_tail.formats.ndjson import encode
from chatapp_tail.sinks import nats as nats_module
from chatapp_tail.sinks.delivery import (
    Advice,
    Delivered,
    Delivery,
    Failed,
    Outcome,
    Refused,
    Trouble,
)
from chatapp_tail.sinks.nats import NatsSink
from chatapp_tail.sinks.nats_url import NatsSettings, parse_nats_url
from tests.conftest import TIMEOUT_SCALE
from tests.factories import CHANNEL, record
from tests.nats_servers import (
    BINARIES,
    NatsServer,
    add_stream,
    kill_all,
    leader,
    on_stream,
    start_cluster,
    start_server,
    stored,
)
from tests.soak.proxy import FaultyProxy

pytestmark = pytest.mark.skipif(not BINARIES, reason="nats-server is not installed")

LONG = 60.0 * TIMEOUT_SCALE
QUICK = 1.5 * TIMEOUT_SCALE
"""Seconds within which a sink is closed."""

Start = Callable[..., NatsSink]


@pytest.fixture(autouse=True)
def no_server_is_left() -> Iterator[None]:
    yield
    kill_all()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[NatsServer]:
    """A server with the stream EVENTS."""
    started = start_server(tmp_path / "nats")
    add_stream([started])
    yield started
    started.kill()


@pytest.fixture
def start() -> Iterator[Start]:
    sinks: list[NatsSink] = []

    def make(*servers: NatsServer | FaultyProxy, user: str = "", **settings: Any) -> NatsSink:
        hosts = ",".join(f"127.0.0.1:{server.port}" for server in servers)
        url = parse_nats_url(f"nats://{user}{hosts}/chatapp")
        sinks.append(NatsSink(NatsSettings(url, **settings)))
        sinks[-1].relink(CHANNEL)
        return sinks[-1]

    yield make
    for sink in sinks:
        sink.close()


def deliver(sink: NatsSink, records: Sequence[Record], first: int = 1) -> None:
    sink.give(
        [
            Delivery(number, "", [item], encode(item)[:-1])
            for number, item in enumerate(records, first)
        ]
    )


def messages(count: int, first: int = 0) -> list[Record]:
    return [numbered(number) for number in range(first, first + count)]


def numbered(number: int, **members: Any) -> Record:
    name = f"message:1229:telegram:c:{number}"
    return record(id=name, data=b'{"id":%d}' % number, **members)


TAG = record(event="chatTag", id="chatTag:1", data=b'{"tag":"new"}')


def take(sink: NatsSink, until: Callable[[list[Outcome]], bool]) -> list[Outcome]:
    """Take outcomes until they are enough."""
    outcomes: list[Outcome] = []
    deadline = time.monotonic() + LONG
    while not until(outcomes):
        left = deadline - time.monotonic()
        assert left > 0, outcomes[-3:]
        select.select([sink], [], [], left)
        outcomes += sink.take()
    return outcomes


def delivered(sink: NatsSink, count: int) -> list[Delivered]:
    """Take the outcomes of so many deliveries that the stream has."""
    outcomes = take(sink, lambda so_far: len(of(Delivered, so_far)) >= count)
    return of(Delivered, outcomes)


def of(kind: type[Any], outcomes: Sequence[Outcome]) -> list[Any]:
    return [one for one in outcomes if isinstance(one, kind)]


def ids(servers: Sequence[NatsServer], name: str = "EVENTS") -> list[str]:
    return [json.loads(message.data)["id"] for message in stored(list(servers), name)]


def names(records: Sequence[Record]) -> list[str]:
    return [item.id for item in records]


@pytest.mark.parametrize("binary", sorted(BINARIES))
def test_each_record_is_a_message_with_a_key(binary: str, tmp_path: Path, start: Start) -> None:
    server = start_server(tmp_path, binary)
    add_stream([server])
    sink = start(server)
    records = messages(300)
    deliver(sink, records)
    done = delivered(sink, 300)
    first = stored([server])[0]
    everything = ids([server])
    server.kill()

    assert [one.delivery.number for one in done] == list(range(1, 301))
    assert done[0].answer == "stored as 1"
    assert everything == names(records)
    assert first.subject == "chatapp.1229.telegram.message"
    assert first.data == encode(records[0])[:-1]
    assert first.headers == {
        "Nats-Msg-Id": f"{records[0].id}@{records[0].hash}",
        "Nats-Expected-Stream": "EVENTS",
        "Content-Type": "application/json",
    }


@pytest.mark.parametrize("binary", sorted(BINARIES))
def test_two_hosts_publish_each_event_once_and_repeats_too(
    binary: str, tmp_path: Path, start: Start
) -> None:
    server = start_server(tmp_path, binary)
    add_stream([server])
    hosts = [start(server), start(server)]
    records = [item for number in range(200) for item in (numbered(number), TAG)]
    for begin in range(0, 400, 50):
        for sink in hosts:
            deliver(sink, records[begin : begin + 50], begin + 1)
    for sink in hosts:
        delivered(sink, 400)
    everything = ids([server])
    server.kill()

    assert everything == names(records)


def test_nothing_is_lost_or_doubled_when_the_server_is_killed(
    server: NatsServer, start: Start
) -> None:
    hosts = [start(server), start(server)]
    records = messages(3000)
    troubles = []
    for begin in range(0, 3000, 1000):
        for sink in hosts:
            deliver(sink, records[begin : begin + 1000], begin + 1)
        time.sleep(0.05)
        server.kill()
        server.start()
        for sink in hosts:
            outcomes = take(sink, lambda so_far: len(of(Delivered, so_far)) >= 1000)
            troubles += of(Trouble, outcomes)

    assert ids([server]) == names(records)
    assert troubles


def test_nothing_is_lost_or_doubled_when_a_leader_is_killed(tmp_path: Path, start: Start) -> None:
    cluster = start_cluster(tmp_path)
    add_stream(cluster, num_replicas=3)
    hosts = [start(*cluster), start(*cluster)]
    records = messages(4000)
    for begin in range(0, 4000, 2000):
        for sink in hosts:
            deliver(sink, records[begin : begin + 2000], begin + 1)
        victim = leader(cluster)
        victim.kill()
        for sink in hosts:
            delivered(sink, 2000)
        victim.start()
    everything = ids(cluster)
    for one in cluster:
        one.kill()

    assert sorted(everything) == sorted(names(records))


@pytest.mark.parametrize("reset", [False, True])
def test_nothing_is_lost_or_doubled_when_the_connection_is_cut(
    server: NatsServer, start: Start, reset: bool
) -> None:
    records = messages(2000)
    with FaultyProxy(server.port, seed=1) as proxy:
        sink = start(proxy)
        for begin in range(0, 2000, 400):
            deliver(sink, records[begin : begin + 400], begin + 1)
            time.sleep(0.03)
            proxy.cut(reset=reset)
        delivered(sink, 2000)
        sink.close()

    assert ids([server]) == names(records)


def test_acknowledgements_that_are_lost_are_asked_for_again(
    server: NatsServer, start: Start
) -> None:
    records = messages(50)
    with FaultyProxy(server.port, seed=1) as proxy:
        sink = start(proxy)
        deliver(sink, records[:10])
        delivered(sink, 10)
        proxy.stall(up=False, down=True)
        deliver(sink, records[10:], 11)
        (trouble,) = of(Trouble, take(sink, lambda so_far: bool(of(Trouble, so_far))))
        proxy.cut()
        proxy.behave()
        done = delivered(sink, 40)
        sink.close()

    assert "acknowledgement" in trouble.reason
    assert ids([server]) == names(records)
    assert done[0].answer == "duplicate of 11"
    assert done[0].attempts > 1


def test_a_server_that_is_not_there_is_said_and_waited_for(tmp_path: Path, start: Start) -> None:
    server = start_server(tmp_path)
    add_stream([server])
    server.kill()
    sink = start(server)
    deliver(sink, messages(3))
    outcomes = take(sink, lambda so_far: len(so_far) >= 2)
    server.start()
    delivered(sink, 3)
    server.kill()

    assert {type(one) for one in outcomes} == {Trouble}
    assert outcomes[0].reason == "connection refused"  # type: ignore[union-attr]


def test_without_a_stream_the_command_that_makes_one_is_named(tmp_path: Path, start: Start) -> None:
    server = start_server(tmp_path)
    (failed,) = take(start(server), bool)
    server.kill()

    assert isinstance(failed, Failed)
    assert failed.status is ExitStatus.USAGE
    assert "nats stream add CHATAPP --subjects 'chatapp.>'" in failed.reason
    assert "--create-stream" in failed.reason


@pytest.mark.parametrize("binary", sorted(BINARIES))
def test_a_stream_is_made_where_that_is_wanted(binary: str, tmp_path: Path, start: Start) -> None:
    server = start_server(tmp_path, binary)
    sink = start(server, create_stream=True)
    deliver(sink, messages(2))
    delivered(sink, 2)
    info = on_stream([server], lambda jetstream: jetstream.stream_info("CHATAPP"))
    server.kill()

    assert info.config.subjects == ["chatapp.>"]
    assert info.config.duplicate_window == 86400.0
    assert info.config.storage == "file"
    assert info.state.messages == 2


@pytest.mark.parametrize(
    ("stream", "server_settings", "advice"),
    [
        ({"duplicate_window": 120.0}, "", "nats stream edit EVENTS --dupe-window 24h"),
        ({"discard": DiscardPolicy.NEW, "max_msgs": 10}, "", "discard new"),
        ({}, "max_payload: 65536", "65,536 bytes"),
    ],
)
def test_what_should_be_changed_is_said(
    stream: dict[str, Any], server_settings: str, advice: str, tmp_path: Path, start: Start
) -> None:
    server = start_server(tmp_path, settings=server_settings)
    add_stream([server], **stream)
    outcomes = take(start(server), bool)
    server.kill()

    assert [advice in one.text for one in of(Advice, outcomes)] == [True]


def test_a_record_that_is_too_large_is_refused_alone(server: NatsServer, start: Start) -> None:
    sink = start(server)
    large = record(id="large", data=b'{"text":"%s"}' % (b"x" * 1_100_000))
    deliver(sink, [numbered(1), large, numbered(2)])
    outcomes = take(sink, lambda so_far: len(so_far) >= 3)

    assert [type(one) for one in outcomes] == [Delivered, Refused, Delivered]
    assert "1,048,576" in of(Refused, outcomes)[0].reason


def test_a_record_that_is_too_large_for_the_stream_is_refused(tmp_path: Path, start: Start) -> None:
    server = start_server(tmp_path)
    add_stream([server], max_msg_size=2000)
    sink = start(server)
    deliver(sink, [numbered(1), record(id="large", data=b'"%s"' % (b"x" * 3000)), numbered(2)])
    outcomes = take(sink, lambda so_far: len(so_far) >= 3)
    server.kill()

    assert [type(one) for one in outcomes] == [Delivered, Refused, Delivered]


@pytest.mark.parametrize("name", ["event with spaces", "a.b", ">", "", "\r\n", "событие"])
def test_names_and_ids_of_any_characters_are_published(
    name: str, server: NatsServer, start: Start
) -> None:
    sink = start(server)
    deliver(sink, [record(event=name, messenger=None, id=f"id {name}")])

    assert delivered(sink, 1)


def test_a_full_stream_is_waited_for(tmp_path: Path, start: Start) -> None:
    server = start_server(tmp_path)
    add_stream([server], discard=DiscardPolicy.NEW, max_msgs=3)
    sink = start(server)
    deliver(sink, messages(5))
    outcomes = take(sink, lambda so_far: bool(of(Trouble, so_far)))
    on_stream([server], lambda jetstream: jetstream.purge_stream("EVENTS"))
    delivered(sink, 5 - len(of(Delivered, outcomes)))
    everything = ids([server])
    server.kill()

    assert "maximum messages exceeded" in of(Trouble, outcomes)[0].reason
    assert everything == names(messages(2, first=3))


def test_a_stream_that_is_deleted_is_waited_for(server: NatsServer, start: Start) -> None:
    sink = start(server)
    deliver(sink, [TAG, *messages(3)])
    delivered(sink, 4)
    on_stream([server], lambda jetstream: jetstream.delete_stream("EVENTS"))
    deliver(sink, [TAG, *messages(2, first=3)], 5)
    troubles = take(sink, lambda so_far: any("no stream" in str(one) for one in so_far))
    add_stream([server])
    delivered(sink, 3)

    assert {type(one) for one in troubles} == {Trouble}
    assert ids([server]) == [TAG.id, *names(messages(2, first=3))]


# --- what an earlier run and other hosts published


def test_a_repeat_after_a_restart_is_there_twice(
    server: NatsServer, start: Start, tmp_path: Path
) -> None:
    for _ in range(2):
        sink = start(server, state=tmp_path / "state" / "bus.json")
        deliver(sink, [TAG])
        delivered(sink, 1)
        time.sleep(2.5)  # the file is written every second, one second behind
        sink.close()

    assert ids([server]) == [TAG.id, TAG.id]


def test_what_was_acknowledged_and_not_settled_is_no_repeat_in_the_next_run(
    server: NatsServer, start: Start, tmp_path: Path
) -> None:
    state = tmp_path / "bus.json"
    first = start(server, state=state)
    deliver(first, [TAG])
    select.select([first], [], [], LONG)
    time.sleep(1.0)
    first.close()
    later = NatsSink(NatsSettings(parse_nats_url(f"nats://{server.address}/chatapp"), state=state))
    deliver(later, [TAG])
    (done,) = delivered(later, 1)
    later.close()

    assert done.answer == "duplicate of 1"


def test_what_an_earlier_run_had_published_is_not_published_again(
    server: NatsServer, start: Start
) -> None:
    first = start(server)
    deliver(first, [TAG, *messages(3)])
    delivered(first, 4)
    first.close()
    later = NatsSink(NatsSettings(parse_nats_url(f"nats://{server.address}/chatapp")))
    deliver(later, [TAG, *messages(3)])
    done = delivered(later, 4)
    later.close()

    assert [one.answer for one in done] == [f"duplicate of {number}" for number in range(1, 5)]
    assert len(ids([server])) == 4


def test_history_is_published_only_if_the_stream_has_not_the_message(
    server: NatsServer, start: Start
) -> None:
    other, sink = start(server), start(server)
    deliver(sink, messages(1))
    delivered(sink, 1)
    live = [numbered(number) for number in (1, 3)]
    deliver(other, live)
    delivered(other, 2)
    sink.relink(CHANNEL)
    now = time.time_ns()
    history = [
        record(id=numbered(n).id, data=b'{"n":%d}' % n, source=Source.BACKFILL, received=now)
        for n in (1, 2, 3)
    ]
    deliver(sink, history, 2)
    done = delivered(sink, 3)

    assert [one.answer for one in done] == [
        "in the stream already",
        "stored as 4",
        "in the stream already",
    ]


def test_the_stream_is_read_for_each_channel_with_history(server: NatsServer, start: Start) -> None:
    other, sink = start(server), start(server)
    lines = [{"channel": f"private-{n}", "license": n} for n in (1, 2, 3)]
    deliver(other, [record(**line, id=f"message:{n}") for n, line in enumerate(lines)])
    delivered(other, 3)
    history = {"source": Source.BACKFILL, "data": b'{"copy":1}', "received": time.time_ns()}
    deliver(sink, [record(**line, **history, id=f"message:{n}") for n, line in enumerate(lines)])

    assert {one.answer for one in delivered(sink, 3)} == {"in the stream already"}


# --- credentials, the end


def test_credentials_are_used_and_never_said(tmp_path: Path, start: Start) -> None:
    settings = "authorization { user: bus, password: 'p@ss/word' }"
    server = start_server(tmp_path, settings=settings)
    sink = start(server, user="bus:p%40ss%2Fword@", create_stream=True)
    deliver(sink, messages(1))
    delivered(sink, 1)
    refused = start(server, user="bus:wrong-one@")
    # The connection may be reset before the server's reason is read.
    reason = "the server refuses the credentials"
    take(refused, lambda so_far: reason in [one.reason for one in of(Trouble, so_far)])
    server.kill()

    assert sink.name == f"nats://127.0.0.1:{server.port}/chatapp"


def test_a_token_is_a_user_without_a_password(tmp_path: Path, start: Start) -> None:
    server = start_server(tmp_path, settings="authorization { token: secret-token }")
    sink = start(server, user="secret-token@", create_stream=True)
    deliver(sink, messages(1))
    assert delivered(sink, 1)
    server.kill()


def test_tls_is_verified(tmp_path: Path) -> None:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    certificate = authority.issue_cert("localhost")
    certificate.private_key_pem.write_to_path(tmp_path / "key.pem")
    certificate.cert_chain_pems[0].write_to_path(tmp_path / "cert.pem")
    tls = f'tls {{ cert_file: "{tmp_path}/cert.pem", key_file: "{tmp_path}/key.pem" }}'
    server = start_server(tmp_path / "nats", settings=tls)
    url = parse_nats_url(f"tls://localhost:{server.port}/chatapp")
    trusting = NatsSink(NatsSettings(url, ca_file=f"{tmp_path}/ca.pem", create_stream=True))
    deliver(trusting, messages(1))
    delivered(trusting, 1)
    trusting.close()
    doubting = NatsSink(NatsSettings(url))
    (trouble,) = take(doubting, bool)[:1]
    doubting.close()
    server.kill()

    assert isinstance(trouble, Trouble)
    assert "certificate" in trouble.reason


@pytest.mark.parametrize("how", ["working", "stalled", "refused", "no name"])
def test_it_closes_within_a_second(how: str, server: NatsServer, start: Start) -> None:
    with FaultyProxy(server.port, seed=1) as proxy:
        url = f"nats://127.0.0.1:{proxy.port}/chatapp"
        sink = NatsSink(
            NatsSettings(
                parse_nats_url("nats://nowhere.invalid/chatapp" if how == "no name" else url)
            )
        )
        if how == "refused":
            proxy.refuse()
        if how in ("working", "stalled"):
            deliver(sink, messages(1))
            delivered(sink, 1)
        if how == "stalled":
            proxy.stall(up=True, down=True)
        deliver(sink, messages(2000, first=10))
        time.sleep(0.1)
        begin = time.monotonic()
        sink.close()

    assert time.monotonic() - begin < QUICK


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nats_module, "find_spec", lambda _: None)

    with pytest.raises(UsageError, match=r"pip install 'chatapp-tail\[nats\]'"):
        NatsSink(NatsSettings(parse_nats_url("nats://localhost/chatapp")))
