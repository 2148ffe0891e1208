"""--forward-to: what arrives, what is said of it, and how the program ends."""

import json
import signal
import time
from collections.abc import Mapping
from pathlib import Path

import pytest

from chatapp_tail.sandbox import Sandbox
from tests.conftest import LiveProcess, RunTail, StartTail
from tests.receivers import OK, Exchange, Receiver, Request, Script, answer, in_turn, then_close
from tests.shell.conftest import (
    AT_ONCE,
    CHANNEL,
    PROMPT,
    SELECT,
    StartShell,
    StartTerminal,
    is_one_line,
    message,
    numbers_in,
    publish,
    received,
    scaled,
    subscribed,
)

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
ONE_LANE = ("--jobs", "1")


def forwarding(receiver: Receiver, *argv: str) -> tuple[str, ...]:
    return (*SELECT, "--forward-to", receiver.url, *argv)


def texts(requests: list[Request]) -> list[int]:
    """The ids of the messages in bodies of webhooks."""
    return [item["id"] for request in requests for item in json.loads(request.body)["data"]]


def status(number: int) -> str:
    """The data of a `messageStatus` event, which no history has."""
    item = {"id": number, "type": "delivered", "chat": {"id": "private-7"}}
    meta = {"type": "messageStatus", "licenseId": 1229, "messengerType": "telegram"}
    return json.dumps({"queue": "Q", "payload": {"data": [item], "meta": meta}})


def slowly(seconds: float) -> Script:
    """Return a script that takes its time and is then content."""

    def take(exchange: Exchange) -> None:
        exchange.closing.wait(scaled(seconds))
        exchange.send(OK)

    return take


def hang(exchange: Exchange) -> None:
    exchange.hang()


def stopped(tail: LiveProcess, *, timeout: float = PROMPT) -> None:
    tail.send_signal(signal.SIGTERM)
    assert tail.wait(timeout=timeout) == -signal.SIGTERM


# --- what arrives, and what stdout has


def test_what_arrives(start_tail: StartTail, sandbox: Sandbox, env: Mapping[str, str]) -> None:
    with Receiver() as receiver:
        tail = start_tail(*forwarding(receiver), "-n", "1", env=env)
        subscribed(sandbox)
        publish(sandbox, [7])
        assert tail.wait() == 0
        (request,) = receiver.requests
    assert (tail.stdout.text, tail.stderr.text) == ("", "")
    payload = message(7).partition('"payload":')[2][:-1]
    assert request.body.decode() == payload, "byte for byte"
    assert request.line == "POST /hook HTTP/1.1"
    assert request.headers["webhook-id"].startswith("message:1229:telegram:private-7:7:")
    assert request.headers["content-type"] == "application/json"
    assert "webhook-signature" not in request.headers


def test_one_record_per_request(
    start_tail: StartTail, sandbox: Sandbox, env: Mapping[str, str]
) -> None:
    with Receiver() as receiver:
        argv = ("--forward-body", "record", "--json", "-n", "1")
        tail = start_tail(*forwarding(receiver, *argv), env=env)
        subscribed(sandbox)
        publish(sandbox, [7])
        assert tail.wait() == 0
        (request,) = receiver.requests
    assert json.loads(tail.stdout.text) == json.loads(request.body), "stdout has it as well"


def test_stdout_beside_it_if_asked_for(
    start_tail: StartTail, sandbox: Sandbox, env: Mapping[str, str]
) -> None:
    with Receiver() as receiver:
        tail = start_tail(*forwarding(receiver, "-o", "json", "-n", "3"), env=env)
        subscribed(sandbox)
        publish(sandbox, range(3))
        assert tail.wait() == 0
        assert texts(receiver.requests) == [0, 1, 2]
    assert numbers_in(tail.stdout.text) == [0, 1, 2]


def test_on_a_terminal(
    start_terminal: StartTerminal, sandbox: Sandbox, env: Mapping[str, str]
) -> None:
    with Receiver() as receiver:
        terminal = start_terminal(*forwarding(receiver), env=env)
        terminal.wait_for(b"forwarding to " + receiver.url.encode())
        subscribed(sandbox)
        publish(sandbox, [1], "good morning")
        terminal.wait_for(b"good morning")
        receiver.wait(1)
        terminal.type(b"\x03")
        assert terminal.wait() == -signal.SIGINT
    assert b"1 delivered" in terminal.shown


def test_only_what_the_filters_keep(
    start_tail: StartTail, sandbox: Sandbox, env: Mapping[str, str]
) -> None:
    with Receiver() as receiver:
        tail = start_tail(*forwarding(receiver, "-g", "wanted", "-n", "1"), env=env)
        subscribed(sandbox)
        publish(sandbox, [1], "other")
        publish(sandbox, [2], "wanted")
        assert tail.wait() == 0
        assert texts(receiver.requests) == [2]


# --- what is said


def test_trouble_is_said_once_and_when_it_changes(
    start_tail: StartTail, sandbox: Sandbox, env: Mapping[str, str]
) -> None:
    scripts = in_turn([answer(503), answer(503), answer(500)])
    with Receiver(*scripts) as receiver:
        tail = start_tail(*forwarding(receiver, "-n", "1"), env=env)
        subscribed(sandbox)
        publish(sandbox, [1])
        assert tail.wait(timeout=15) == 0
        first, second, well = tail.stderr.all
        name = f"chatapp-tail: {receiver.url}"
    assert first.startswith(f"{name}: answered 503; 1 event waiting; trying again ")
    assert second.startswith(f"{name}: answered 500; 1 event waiting; trying again ")
    assert well == f"{name}: takes events again"


def test_each_delivery_is_said_with_verbose(
    start_tail: StartTail, sandbox: Sandbox, env: Mapping[str, str]
) -> None:
    with Receiver(*in_turn([answer(429, "Retry-After: 0")])) as receiver:
        tail = start_tail(*forwarding(receiver, "-v", "-n", "2"), env=env)
        subscribed(sandbox)
        publish(sandbox, [1, 2])
        assert tail.wait() == 0
    assert f"chatapp-tail: forwarding to {receiver.url}" in tail.stderr.all
    tail.stderr.wait_for(r"→ message 1229/telegram:1  200 in \d+ ms \(attempt 2\)$")
    tail.stderr.wait_for(r"→ message 1229/telegram:2  200 in \d+ ms$")
    assert tail.stderr.all[-1].endswith("; 2 delivered, 1 retried")


def test_notices_as_json(start_tail: StartTail, sandbox: Sandbox, env: Mapping[str, str]) -> None:
    with Receiver(answer(422)) as receiver:
        tail = start_tail(*forwarding(receiver, "--log-format", "json", "-n", "1"), env=env)
        subscribed(sandbox)
        publish(sandbox, [1])
        assert tail.wait() == 0
    said = [json.loads(line) for line in tail.stderr.all]
    deliveries = [each["message"] for each in said if each.get("state") == "delivery"]
    assert deliveries[0] == f"forwarding to {receiver.url}"
    assert deliveries[1].startswith(f"{receiver.url}: dead letter: message 1229/telegram:1")
    summary = said[-1]
    assert summary["type"] == "summary"
    assert (summary["destination"], summary["dead"], summary["waiting"]) == (receiver.url, 1, 0)


def test_a_summary_on_request_counts_what_waits(
    start_tail: StartTail, sandbox: Sandbox, env: Mapping[str, str]
) -> None:
    with Receiver(OK, hang) as receiver:
        tail = start_tail(*forwarding(receiver, *ONE_LANE), env=env)
        subscribed(sandbox)
        publish(sandbox, range(5))
        received(sandbox)
        receiver.wait(2)
        tail.send_signal(signal.SIGUSR1)
        tail.stderr.wait_for("1 delivered, 4 waiting$")


# --- dead letters


def test_dead_letters_are_counted_to_the_last(
    start_tail: StartTail, sandbox: Sandbox, env: Mapping[str, str]
) -> None:
    with Receiver(answer(422)) as receiver:
        tail = start_tail(*forwarding(receiver, "-n", "3"), env=env)
        subscribed(sandbox)
        publish(sandbox, range(3))
        assert tail.wait() == 0
    first, rest = tail.stderr.all
    assert "dead letter: message 1229/telegram:0: answered 422; not kept" in first
    assert "2 dead letters more: answered 422; not kept" in rest


def test_dead_letters_are_sent_again(
    start_tail: StartTail, run_tail: RunTail, sandbox: Sandbox, home: Path, env: Mapping[str, str]
) -> None:
    """Under the same webhook-id, in the same form, and only if the command line says where."""
    with Receiver(OK, answer(422), OK) as broken:
        tail = start_tail(*forwarding(broken, "--dead-letters", "dead.ndjson", "-n", "3"), env=env)
        subscribed(sandbox)
        publish(sandbox, range(3))
        assert tail.wait() == 0
    dead = home / "dead.ndjson"
    assert f"kept in {dead.name}" in tail.stderr.text
    assert dead.stat().st_mode & 0o777 == 0o600
    (line,) = dead.read_text().splitlines()
    assert json.loads(line)["status"] == 422
    with Receiver() as repaired:
        shown = run_tail("replay", str(dead), env={"CHATAPP_TAIL_FORWARD_TO": repaired.url})
        assert not repaired.requests
        done = run_tail("replay", str(dead), "--forward-to", repaired.url)
    assert numbers_in(shown.stdout) == [1]
    assert (done.returncode, done.stdout) == (0, "")
    assert done.stderr.endswith("chatapp-tail: 1 delivered\n")
    (again,) = repaired.requests
    refused = broken.requests[1]
    assert again.headers["webhook-id"] == refused.headers["webhook-id"]
    assert again.body == refused.body


def test_what_is_given_up_is_a_dead_letter(
    start_tail: StartTail, sandbox: Sandbox, home: Path, env: Mapping[str, str]
) -> None:
    limits = ("--forward-retry-for", "0", "--dead-letters", "dead.ndjson", "-n", "1")
    with Receiver(answer(503)) as receiver:
        tail = start_tail(*forwarding(receiver, *limits), env=env)
        subscribed(sandbox)
        publish(sandbox, [1])
        assert tail.wait() == 0
    assert json.loads((home / "dead.ndjson").read_text())["reason"] == "answered 503"


# --- how it ends


def test_gone(start_tail: StartTail, sandbox: Sandbox, env: Mapping[str, str]) -> None:
    with Receiver(answer(410)) as receiver:
        tail = start_tail(*forwarding(receiver), env=env)
        subscribed(sandbox)
        publish(sandbox, [1])
        assert tail.wait() == 7
    lost = "at least 1 event not delivered"
    is_one_line(tail.stderr.text, receiver.url, "410", "check --forward-to", lost)


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (("--forward-to", "ftp://x/"), "it must start with"),
        (("--forward-to", "http://u:hidden@x:99999/"), "port"),
        (("--forward-to", "3000", "-H", "hidden"), "'NAME: VALUE'"),
        (("--forward-to", "3000", "-H", "webhook-id: hidden"), "set by chatapp-tail itself"),
        (("--forward-to", "3000", "--forward-secret-file", "missing"), "No such file"),
        (("--forward-to", "3000", "--forward-secret-file", "wrong"), "line 1"),
        (("--forward-to", "3000", "--forward-ca-file", "missing"), "no such file"),
        (("--forward-to", "3000", "--exec", "true"), "two --resume names"),
        (("--forward-to", "3000", "--jobs", "0"), "--jobs"),
    ],
    ids=lambda value: " ".join(value)[:60] if isinstance(value, tuple) else "",
)
def test_what_cannot_be_used(
    argv: tuple[str, ...], said: str, run_tail: RunTail, home: Path, env: Mapping[str, str]
) -> None:
    (home / "wrong").write_text("hidden\n")
    done = run_tail(*SELECT, *argv, env=env)
    assert done.returncode == 2
    is_one_line(done.stderr, said)
    assert "hidden" not in done.stderr


def test_count_is_of_settled_deliveries(
    start_tail: StartTail, sandbox: Sandbox, env: Mapping[str, str]
) -> None:
    with Receiver(*in_turn([answer(503)])) as receiver:
        tail = start_tail(*forwarding(receiver, "-n", "2"), env=env)
        subscribed(sandbox)
        publish(sandbox, range(5))
        assert tail.wait() == 0
        assert texts(receiver.requests) == [0, 0, 1]


def test_waiting_for_the_destination_is_not_idleness(
    start_tail: StartTail, sandbox: Sandbox, env: Mapping[str, str]
) -> None:
    with Receiver(slowly(3.0)) as receiver:
        tail = start_tail(*forwarding(receiver, "-v", "--idle", f"{scaled(1):g}s"), env=env)
        subscribed(sandbox)
        publish(sandbox, [1])
        receiver.wait(1)
        assert tail.wait() == 0
    assert tail.stderr.all[-1].endswith("; 1 delivered")


def test_a_signal_waits_while_answers_come(
    start_tail: StartTail, sandbox: Sandbox, env: Mapping[str, str]
) -> None:
    with Receiver(slowly(0.6)) as receiver:
        tail = start_tail(*forwarding(receiver), env=env)
        subscribed(sandbox)
        publish(sandbox, range(5))
        received(sandbox)
        receiver.wait(1)
        stopped(tail, timeout=10)
        assert texts(receiver.requests) == list(range(5))
    assert tail.stderr.text == ""


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM], ids=lambda s: s.name)
def test_a_signal_gives_up_a_destination_that_does_not_answer(
    signum: signal.Signals, start_tail: StartTail, sandbox: Sandbox, env: Mapping[str, str]
) -> None:
    patience = {signal.SIGINT: 1.0, signal.SIGTERM: 10.0}[signum]
    with Receiver(hang) as receiver:
        tail = start_tail(*forwarding(receiver), env=env)
        subscribed(sandbox)
        publish(sandbox, range(3))
        received(sandbox)
        receiver.wait(1)
        began = time.monotonic()
        tail.send_signal(signum)
        assert tail.wait(timeout=patience + PROMPT) == -signum
        assert time.monotonic() - began >= patience
    is_one_line(tail.stderr.text, "3 events not delivered", "with --resume they would be kept")


def test_a_second_signal_ends_it_at_once(
    start_tail: StartTail, sandbox: Sandbox, env: Mapping[str, str]
) -> None:
    with Receiver(hang) as receiver:
        tail = start_tail(*forwarding(receiver), env=env)
        subscribed(sandbox)
        publish(sandbox, [1])
        receiver.wait(1)
        tail.send_signal(signal.SIGTERM)
        time.sleep(0.5)
        assert tail.process.poll() is None
        stopped(tail, timeout=AT_ONCE)


# --- across runs


def test_a_kill_loses_nothing_and_repeats_nothing(
    start_tail: StartTail, sandbox: Sandbox, env: Mapping[str, str]
) -> None:
    """Statuses, which no history has, come from the journal."""
    argv = ("--resume=crm", "-v", *ONE_LANE)
    with Receiver(OK, OK, OK, hang) as receiver:
        tail = start_tail(*forwarding(receiver, *argv), env=env)
        subscribed(sandbox)
        for number in range(8):
            made = message(number) if number % 2 else status(number)
            sandbox.publish(CHANNEL, "message" if number % 2 else "messageStatus", made)
        received(sandbox)
        receiver.wait(4)
        tail.stderr.wait_for("→ ", count=3)
        time.sleep(
            scaled(0.5)
        )  # until the last acknowledgement is noted, and all is in the journal
        tail.send_signal(signal.SIGKILL)
        tail.wait()
    with Receiver() as receiver:
        tail = start_tail(*forwarding(receiver, *argv), env=env)
        receiver.wait(5)
        tail.stderr.wait_for("→ ", count=5)
        stopped(tail)
        assert texts(receiver.requests) == [3, 4, 5, 6, 7]


def test_what_is_left_at_a_signal_is_delivered_by_the_next_run(
    start_tail: StartTail, sandbox: Sandbox, env: Mapping[str, str], closed_port: int
) -> None:
    argv = (*SELECT, "--resume=crm", "--forward-to")
    tail = start_tail(*argv, f"{closed_port}", env=env)
    subscribed(sandbox)
    for number in range(3):
        sandbox.publish(CHANNEL, "messageStatus", status(number))
    received(sandbox)
    tail.stderr.wait_for("connection refused")
    tail.send_signal(signal.SIGINT)
    assert tail.wait() == -signal.SIGINT
    assert "the next run with this --resume name delivers them" in tail.stderr.all[-1]
    with Receiver() as receiver:
        tail = start_tail(*argv, receiver.url, env=env)
        assert texts(receiver.wait(3)) == [0, 1, 2]
        stopped(tail)
    assert tail.stderr.text == "" or "gap" in tail.stderr.text


def test_dead_letters_of_a_name(
    start_tail: StartTail, sandbox: Sandbox, home: Path, env: Mapping[str, str]
) -> None:
    with Receiver(answer(400)) as receiver:
        tail = start_tail(*forwarding(receiver, "--resume=crm", "-n", "1"), env=env)
        subscribed(sandbox)
        publish(sandbox, [1])
        assert tail.wait() == 0
    dead = home / ".local/state/chatapp-tail/dead-letters/crm.ndjson"
    assert json.loads(dead.read_text())["record"]["data"]["id"] == 1
    assert str(dead) in tail.stderr.text


# --- secrets and proxies


def test_secrets_are_never_said(
    start_tail: StartTail, sandbox: Sandbox, home: Path, env: Mapping[str, str]
) -> None:
    (home / "secret").write_text(f"{SECRET}\n")
    with Receiver(answer(401), then_close(b""), answer(422)) as receiver:
        url = f"http://user:hidden-1@127.0.0.1:{receiver.port}/hook?key=hidden-2"
        headers = ("-H", "Authorization: Bearer hidden-3", "-H", "X-Api-Key: hidden-4")
        argv = ("--forward-secret-file", "secret", "--dead-letters", "dead", "-vv", "-n", "1")
        tail = start_tail(*SELECT, "--forward-to", url, *headers, *argv, env=env)
        subscribed(sandbox)
        publish(sandbox, [1])
        tail.stderr.wait_for("answered 401: check the credentials in --header")
        assert tail.wait(timeout=20) == 0
        assert receiver.requests[0].headers["webhook-signature"].startswith("v1,")
    said = tail.stderr.text + (home / "dead").read_text()
    assert receiver.url in said
    for secret in ("hidden", SECRET, SECRET.removeprefix("whsec_")):
        assert secret not in said


def test_no_proxy_for_this_machine(
    start_tail: StartTail, sandbox: Sandbox, env: Mapping[str, str], closed_port: int
) -> None:
    proxy = f"http://127.0.0.1:{closed_port}"
    names = ("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "ALL_PROXY")
    with Receiver() as receiver:
        argv = ("--forward-to", f"{receiver.port}/hook", "-n", "1")
        tail = start_tail(*SELECT, *argv, env={**env, **dict.fromkeys(names, proxy)})
        subscribed(sandbox)
        publish(sandbox, [1])
        assert tail.wait() == 0
        assert receiver.requests


def test_settings_by_variables(
    start_tail: StartTail, sandbox: Sandbox, env: Mapping[str, str]
) -> None:
    with Receiver() as receiver:
        variables = {
            "CHATAPP_TAIL_FORWARD_TO": receiver.url,
            "CHATAPP_TAIL_HEADER": "X-One: 1\nX-Two: two words",
            "CHATAPP_TAIL_FORWARD_SECRET": SECRET,
        }
        tail = start_tail(*SELECT, "-n", "1", env={**env, **variables})
        subscribed(sandbox)
        publish(sandbox, [1])
        assert tail.wait() == 0
        (request,) = receiver.requests
    assert (request.headers["x-one"], request.headers["x-two"]) == ("1", "two words")
    assert request.headers["webhook-signature"].startswith("v1,")


# --- replay


def saved(home: Path, count: int) -> str:
    """A file of frames, as -o raw writes them."""
    file = home / "saved.ndjson"
    file.write_text("".join(f"{message(number)}\n" for number in range(count)))
    return file.name


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM], ids=lambda s: s.name)
def test_an_interrupted_replay_says_how_far_it_came(
    signum: signal.Signals, start_tail: StartTail, home: Path
) -> None:
    with Receiver(OK, OK, hang) as receiver:
        replay = start_tail("replay", saved(home, 5), "--forward-to", receiver.url, *ONE_LANE)
        receiver.wait(3)
        replay.send_signal(signum)
        assert replay.wait(timeout=PROMPT) == -signum
    # The second answer may just have come.
    last = replay.stderr.all[-1].removeprefix("chatapp-tail: ")
    assert last in ("2 delivered, 3 waiting", "1 delivered, 4 waiting")


def test_the_reader_of_a_replay_leaves(start_shell: StartShell, home: Path) -> None:
    with Receiver() as receiver:
        command = f"chatapp-tail replay {saved(home, 3000)} --forward-to {receiver.url} -o json"
        shell = start_shell(f"{command} | head -n 1; echo ${{PIPESTATUS[0]}}", env={})
        assert shell.wait(timeout=20) == 0
    assert shell.stdout.all[-1] == "0"
    assert "Traceback" not in shell.stderr.text


def test_a_replay_to_an_endpoint_that_is_gone(run_tail: RunTail, home: Path) -> None:
    with Receiver(OK, answer(410)) as receiver:
        argv = ("--forward-to", receiver.url, *ONE_LANE)
        done = run_tail("replay", saved(home, 3), *argv)
    assert done.returncode == 7
    count, why = done.stderr.splitlines()[1:]
    assert count == "chatapp-tail: 1 delivered, 2 waiting"
    assert "410" in why
