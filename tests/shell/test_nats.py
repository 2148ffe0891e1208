"""`--forward-to nats://…` as a process: two hosts and one stream, what is said, how it ends."""

import json
import signal
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from chatapp_tail.sandbox import Sandbox
from tests.conftest import RunTail, StartTail, wait_until
from tests.nats_servers import BINARIES, NatsServer, add_stream, on_stream, start_server, stored

from .conftest import CHANNEL, PROMPT, SELECT, message, publish, scaled

pytestmark = pytest.mark.skipif(not BINARIES, reason="nats-server is not installed")


@pytest.fixture
def server(tmp_path: Path) -> Iterator[NatsServer]:
    """A server without a stream."""
    started = start_server(tmp_path / "nats")
    yield started
    started.kill()


def url_of(server: NatsServer, user: str = "") -> str:
    return f"nats://{user}{server.address}/chatapp"


def count(server: NatsServer) -> int:
    return on_stream([server], lambda context: context.stream_info("EVENTS")).state.messages


def linked(sandbox: Sandbox, hosts: int) -> None:
    sandbox.wait_for(lambda box: box.subscribers(CHANNEL) == hosts, scaled(15))


def test_two_hosts_of_which_one_is_killed_now_and_then_publish_each_event_once(
    server: NatsServer, sandbox: Sandbox, start: StartTail
) -> None:
    add_stream([server])
    options = (*SELECT, "--forward-to", url_of(server))
    with start(*options, "--resume=one"):
        linked(sandbox, 1)
        tag = json.dumps({"payload": {"data": [{"chat": {"id": "private-7"}, "tag": 1}]}})
        for run in range(4):
            with start(*options, "--resume=two") as two:
                linked(sandbox, 2)
                for number in range(run * 100, run * 100 + 50):
                    sandbox.publish(CHANNEL, "message", message(number))
                    if number % 10 == 0:
                        sandbox.publish(CHANNEL, "chatTag", tag)
                two.send_signal(signal.SIGKILL)
                two.wait()
            for number in range(run * 100 + 50, run * 100 + 100):
                sandbox.publish(CHANNEL, "message", message(number))
        wait_until(lambda: count(server) >= 420, "the stream to have all", timeout=30)
        with start(*options, "--resume=two"):
            linked(sandbox, 2)
            time.sleep(scaled(1.0))
            records = [json.loads(one.data) for one in stored([server])]

    ids = [record["data"]["id"] for record in records if record["event"] == "message"]
    assert ids == list(range(400))
    assert Counter(record["event"] for record in records) == {"message": 400, "chatTag": 20}


def test_the_count_is_of_what_the_stream_has(
    server: NatsServer, sandbox: Sandbox, start: StartTail
) -> None:
    with start(*SELECT, "-n", "3", "--forward-to", url_of(server), "--create-stream", "-v") as tail:
        linked(sandbox, 1)
        publish(sandbox, range(3))
        assert tail.wait() == 0

    assert tail.stdout.text == ""
    assert f"forwarding to {url_of(server)}" in tail.stderr.text
    assert "stored as 3" in tail.stderr.text


def test_without_a_stream_it_ends_with_the_command_that_makes_one(
    server: NatsServer, run: RunTail
) -> None:
    done = run(*SELECT, "--forward-to", url_of(server))

    assert done.returncode == 2
    assert "nats stream add CHATAPP" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_server_that_is_not_there_does_not_keep_it_from_subscribing(
    server: NatsServer, sandbox: Sandbox, start: StartTail
) -> None:
    add_stream([server])
    server.kill()
    with start(*SELECT, "-n", "2", "--forward-to", url_of(server)) as tail:
        linked(sandbox, 1)
        tail.stderr.wait_for("connection refused; .* trying again")
        publish(sandbox, range(2))
        server.start()
        assert tail.wait(timeout=20) == 0

    assert count(server) == 2


def test_it_ends_at_once_where_nothing_waits(
    server: NatsServer, sandbox: Sandbox, start: StartTail
) -> None:
    add_stream([server])
    with start(*SELECT, "--forward-to", url_of(server), "-v") as tail:
        linked(sandbox, 1)
        publish(sandbox, range(1))
        tail.stderr.wait_for("stored as 1")
        tail.send_signal(signal.SIGTERM)
        assert tail.wait(timeout=PROMPT) == -signal.SIGTERM


def test_a_password_in_argv_gets_a_warning_without_it(
    server: NatsServer, sandbox: Sandbox, start: StartTail
) -> None:
    add_stream([server])
    url = url_of(server, "bus:top-secret@")
    with start(*SELECT, "--forward-to", url) as tail:
        linked(sandbox, 1)
        tail.stderr.wait_for("CHATAPP_TAIL_FORWARD_TO")
    with start(*SELECT, env={"CHATAPP_TAIL_FORWARD_TO": url}) as quiet:
        linked(sandbox, 1)

    assert "top-secret" not in tail.stderr.text + quiet.stderr.text
    assert "CHATAPP_TAIL_FORWARD_TO" not in quiet.stderr.text


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (("--forward-to", "nats://user:hidden@h"), "names no subject prefix"),
        (("--forward-to", "3000", "--create-stream"), "--forward-to nats://HOST/PREFIX"),
        (("--forward-to", "nats://h/x", "-H", "A: b"), "--header does nothing for NATS"),
        (("--forward-to", "nats://h/x", "-j", "3"), "--jobs does nothing for NATS"),
    ],
)
def test_what_contradicts_is_said(options: tuple[str, ...], sentence: str, run: RunTail) -> None:
    done = run(*SELECT, *options)

    assert done.returncode == 2
    assert sentence in done.stderr
    assert "hidden" not in done.stderr
