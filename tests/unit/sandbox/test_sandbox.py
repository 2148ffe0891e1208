import ast
import gc
import json
import socket
import subprocess
import sys
import threading
import time
from contextlib import ExitStack
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import requests
from websockets.exceptions import ConnectionClosed

import chatapp_tail.sandbox
from chatapp_tail.sandbox import Sandbox, Subscribed, messenger_channel

from .client import SCALE, TELEGRAM, TEST_TIMEOUT, WAIT, WHATSAPP, ask_api, ask_auth, client

pytestmark = pytest.mark.timeout(TEST_TIMEOUT)


def test_says_where_it_is_and_whom_it_knows(sandbox: Sandbox) -> None:
    assert sandbox.ws_url.startswith("ws://127.0.0.1:")
    assert sandbox.api_url.startswith("http://127.0.0.1:")
    assert sandbox.app_key == "ChatsAppApiProdKey"
    assert sandbox.token.startswith("$2y$10$")
    assert "telegram" in sandbox.licenses[1229]
    assert sandbox.ca_file is None


def own_threads() -> set[threading.Thread]:
    # The clients of these tests run threads too, which end in their own time.
    return {thread for thread in threading.enumerate() if thread.name.startswith("sandbox-")}


def test_takes_the_token_key_and_licences_it_is_given() -> None:
    own = Sandbox(token="secret", app_key="Key", licenses={5: ("max",)})
    with own as sandbox, client(sandbox) as opened:
        opened.subscribe("private-v1.licenses.5.messengers.max")
        assert ask_auth(sandbox, opened.socket_id, TELEGRAM).status_code == 403


def test_has_no_address_before_it_is_started() -> None:
    with pytest.raises(RuntimeError, match="started"):
        _ = Sandbox().ws_url


def test_refuses_a_negative_rate() -> None:
    with pytest.raises(ValueError, match="negative"):
        Sandbox(rate=-1)


def test_is_started_once_and_stopped_as_often_as_you_like(sandbox: Sandbox) -> None:
    with pytest.raises(RuntimeError, match="already"):
        sandbox.start()
    sandbox.stop()
    sandbox.stop()


def test_a_taken_port_is_an_os_error_and_leaks_nothing(sandbox: Sandbox) -> None:
    before = own_threads()
    taken = urlsplit(sandbox.api_url).port
    assert taken is not None
    with pytest.raises(OSError, match="in use"):
        Sandbox(api_port=taken).start()
    assert own_threads() == before


@pytest.mark.parametrize("tls", [False, True])
def test_stop_ends_every_thread_and_frees_every_port(tls: bool) -> None:
    before = own_threads()
    sandbox = Sandbox(tls=tls, rate=100).start()
    assert len(own_threads() - before) >= 3
    ports = [urlsplit(url).port for url in (sandbox.ws_url, sandbox.api_url)]
    with requests.Session() as kept_alive, ExitStack() as stuck:
        for port in ports:  # clients that connect and then say nothing
            stuck.enter_context(socket.create_connection(("127.0.0.1", port), timeout=WAIT))
        kept_alive.get(sandbox.api_url, verify=str(sandbox.ca_file), timeout=WAIT)
        with client(sandbox) as opened:
            opened.subscribe(TELEGRAM)
            started = time.monotonic()
            sandbox.stop()
            assert time.monotonic() - started < WAIT
            with pytest.raises(ConnectionClosed) as closed:
                opened.read_to_the_end()
            assert closed.value.rcvd is not None
            assert closed.value.rcvd.code == 1001
    assert own_threads() == before
    for port in ports:
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", port), timeout=WAIT)
    del sandbox
    gc.collect()  # an unclosed socket would warn here, and a warning is an error


@pytest.mark.parametrize("tls", [False, True])
def test_started_again_it_is_found_at_the_same_place(tls: bool) -> None:
    sandbox = Sandbox(tls=tls)
    with sandbox, client(sandbox):
        first = (sandbox.ws_url, sandbox.api_url)
    with sandbox, client(sandbox) as opened:
        opened.subscribe(TELEGRAM)
        assert (sandbox.ws_url, sandbox.api_url) == first
    assert sandbox.connections == 2


def test_tls_on_both_ports_under_its_own_authority() -> None:
    with Sandbox(tls=True) as sandbox:
        assert sandbox.ws_url.startswith("wss://")
        assert sandbox.api_url.startswith("https://")
        ca_file = sandbox.ca_file
        assert ca_file is not None
        with client(sandbox) as opened:
            opened.subscribe(TELEGRAM)
            sandbox.publish(TELEGRAM, "message", "{}")
            assert opened.receive()["event"] == "message"
        by_name = sandbox.api_url.replace("127.0.0.1", "localhost")
        assert requests.get(by_name, verify=str(ca_file), timeout=WAIT).status_code == 404
        with pytest.raises(requests.exceptions.SSLError):
            requests.get(sandbox.api_url, timeout=WAIT)
    assert not ca_file.exists()
    assert sandbox.ca_file is None


def test_waits_for_a_subscription(sandbox: Sandbox) -> None:
    with pytest.raises(TimeoutError):
        sandbox.wait_subscribed(TELEGRAM, 0.01)
    with client(sandbox) as opened:
        asker = threading.Timer(0.05, opened.subscribe, [TELEGRAM])
        asker.start()
        sandbox.wait_subscribed(TELEGRAM, WAIT)
        asker.join()
        assert sandbox.subscribers(TELEGRAM) == 1


def test_counts_what_clients_do(sandbox: Sandbox) -> None:
    with client(sandbox) as opened:
        opened.subscribe(TELEGRAM)
        opened.send("pusher:ping")
        sandbox.wait_for(lambda s: s.pings >= 1, WAIT)
        assert (sandbox.connections, sandbox.open_sockets, sandbox.auth_requests) == (1, 1, 1)
    sandbox.wait_for(lambda s: s.open_sockets == 0, WAIT)
    assert sandbox.connections == 1


def test_without_a_rate_nothing_comes_by_itself(sandbox: Sandbox) -> None:
    with client(sandbox) as opened:
        opened.subscribe(TELEGRAM)
        assert opened.receives_nothing()


def test_the_first_live_event_follows_the_confirmation() -> None:
    with Sandbox(rate=0.01) as sandbox, client(sandbox) as opened:
        assert opened.subscribe(TELEGRAM)["event"] == "pusher_internal:subscription_succeeded"
        started = time.monotonic()
        event = opened.receive()
        assert time.monotonic() - started < SCALE
        assert (event["event"], event["channel"]) == ("message", TELEGRAM)
        assert isinstance(event["data"], str)
        item = json.loads(event["data"])["payload"]["data"][0]
        assert abs(item["time"] - time.time()) < 60 * SCALE


def test_the_first_ten_live_events_hold_all_kinds_on_two_channels_too() -> None:
    with Sandbox(rate=200) as sandbox, client(sandbox) as opened:
        opened.send("pusher:subscribe", channel=TELEGRAM, auth=opened.auth(TELEGRAM))
        opened.send("pusher:subscribe", channel=WHATSAPP, auth=opened.auth(WHATSAPP))
        kinds = {opened.receive()["event"] for _ in range(12)}
    assert kinds >= {"message", "messageStatus", "chatTag"}


def test_the_same_seed_gives_the_same_live_events() -> None:
    stories = [live_ids(seed=9), live_ids(seed=9), live_ids(seed=10)]
    assert stories[0] == stories[1] != stories[2]


def live_ids(seed: int) -> list[str]:
    with Sandbox(rate=500, seed=seed) as sandbox, client(sandbox) as opened:
        opened.subscribe(TELEGRAM)
        return [without_time(opened.receive()["data"]) for _ in range(30)]


def without_time(data: str) -> str:
    envelope = json.loads(data)
    for item in envelope["payload"]["data"]:
        item.pop("time", None)
    return json.dumps(envelope)


def test_live_events_end_with_the_subscription() -> None:
    with Sandbox(rate=100) as sandbox, client(sandbox) as opened:
        opened.subscribe(TELEGRAM)
        opened.send("pusher:unsubscribe", channel=TELEGRAM)
        sandbox.wait_for(lambda s: s.subscribers(TELEGRAM) == 0, WAIT)
        while not opened.receives_nothing():
            pass
        opened.subscribe(TELEGRAM)
        assert opened.receive()["event"] in ("message", "messageStatus", "chatTag")
    assert len(sandbox.journal.of(Subscribed)) == 2


def test_a_repeated_subscription_is_not_greeted_again() -> None:
    with Sandbox(rate=0.01) as sandbox, client(sandbox) as opened:
        opened.subscribe(TELEGRAM)
        assert opened.receive()["event"] == "message"
        assert opened.subscribe(TELEGRAM)["event"] == "pusher_internal:subscription_succeeded"
        assert opened.receives_nothing()


def test_prints_nothing() -> None:
    # In a process of its own: pytest's log handlers would hide what logging prints by itself.
    script = """
import socket
from chatapp_tail.sandbox import Sandbox
with Sandbox(rate=50) as sandbox:
    for url in (sandbox.ws_url, sandbox.api_url):
        port = int(url.rsplit(":", 1)[1])
        with socket.create_connection(("127.0.0.1", port), timeout=5) as raw:
            raw.sendall(b"GET nonsense" + bytes([13, 10, 13, 10]))
            while raw.recv(65536):
                pass
print("done")
"""
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=TEST_TIMEOUT
    )
    assert (done.stdout, done.stderr) == ("done\n", "")


def test_shares_no_code_with_the_client() -> None:
    directory = Path(chatapp_tail.sandbox.__file__).parent
    own = {path.stem for path in directory.glob("*.py")}
    for path in directory.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and node.level:
                assert node.level == 1, path
                assert node.module is None or node.module in own, path
            if isinstance(node, ast.ImportFrom) and not node.level:
                assert not (node.module or "").startswith("chatapp_tail"), path
            if isinstance(node, ast.Import):
                assert not any(alias.name.startswith("chatapp_tail") for alias in node.names), path


def test_unheard_live_events_are_history() -> None:
    with Sandbox(rate=500, publish_unheard=True) as sandbox:
        sandbox.add_license(5, ["max"])
        path = "/v1/chats"
        deadline = time.monotonic() + WAIT
        seen: set[int] = set()
        while seen != {1229, 1230, 1315, 5} and time.monotonic() < deadline:
            items = ask_api(sandbox, path, limit=100).json()["data"]["items"]
            seen = {item["licenseId"] for item in items}
    assert seen == {1229, 1230, 1315, 5}


def test_without_listeners_nothing_happens_unless_asked_for() -> None:
    with Sandbox(rate=500) as sandbox, client(sandbox) as opened:
        assert opened.receives_nothing()
        assert ask_api(sandbox, "/v1/chats").json()["data"]["items"] == []


def test_what_came_live_can_be_read_again() -> None:
    with Sandbox(rate=500) as sandbox, client(sandbox) as opened:
        opened.subscribe(TELEGRAM)
        event = opened.receive()
        item = json.loads(event["data"])["payload"]["data"][0]
        path = f"/v1/licenses/1229/messengers/telegram/chats/{item['chat']['id']}/messages"
        answer = ask_api(sandbox, path, direction="next", lastTime=item["time"] - 1, limit=1)
    assert answer.json()["data"]["items"] == [item]


def test_a_licence_that_has_ended_is_silent() -> None:
    ended = messenger_channel(1402, "telegram")
    with Sandbox(rate=500) as sandbox, client(sandbox) as opened:
        assert opened.subscribe(ended)["event"] == "pusher_internal:subscription_succeeded"
        assert opened.receives_nothing()
        opened.subscribe(TELEGRAM)
        assert {opened.receive()["channel"] for _ in range(30)} == {TELEGRAM}


def test_a_licence_made_active_again_is_heard_at_once() -> None:
    ended = messenger_channel(1402, "telegram")
    with Sandbox(rate=0.01) as sandbox, client(sandbox) as opened:
        opened.subscribe(ended)
        sandbox.add_license(1402, ["telegram"])
        assert opened.receive()["channel"] == ended
