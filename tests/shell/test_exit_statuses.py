"""Each way to fail: its status, and one line that says what was tried and what to do."""

import json
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from chatapp_tail.sandbox import Sandbox
from tests.conftest import RunTail, StartTail
from tests.shell.conftest import (
    CHANNEL,
    SELECT,
    Env,
    StartShell,
    is_one_line,
    message,
    publish,
    reaching,
    scaled,
)

TOKEN = "$2y$10$MadeUp/token.0123456789.abcdefghijklmnopq/QRSTUVWXYZ."
"""Looks like a token, and is nobody's."""

READY_BY_THEN = f"{scaled(2)}s"


def failed(done: CompletedProcess[str], status: int, *words: str) -> None:
    """Check for a status and one line on stderr with these words, and no secret."""
    assert done.returncode == status, done.stderr
    assert done.stdout == ""
    is_one_line(done.stderr, *words)
    assert TOKEN not in done.stderr


# --- 2: usage


def test_nothing_selected_shows_three_ways(run_tail: RunTail) -> None:
    done = run_tail(env={"CHATAPP_TOKEN": TOKEN})
    assert (done.returncode, done.stdout) == (2, "")
    for way in ("--license 1229 --messenger telegram", "--channel", "--all"):
        assert f"\n  chatapp-tail {way}" in done.stderr
    assert "--sandbox" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--license", "x"], ["--license", "'x'", "such as 1229"]),
        (["--license", "0", "-m", "telegram"], ["--license", "positive"]),
        ([*SELECT, "-m", "tele gram"], ["--messenger", "tele gram", "such as telegram"]),
        (["--channel", "1229"], ["--channel", "1229/telegram"]),
        ([*SELECT, "--ws-url", "http://127.0.0.1"], ["--ws-url", "ws://", "wss://"]),
        ([*SELECT, "--ws-url", "ws://127.0.0.1:70000"], ["--ws-url", "port"]),
        ([*SELECT, "--ws-url", "ws://"], ["--ws-url", "host"]),
        ([*SELECT, "--api-url", "127.0.0.1"], ["--api-url", "https://"]),
        ([*SELECT, "--app-key", ""], ["--app-key", "empty"]),
        ([*SELECT, "--count", "0"], ["--count", "0"]),
        ([*SELECT, "--count", "many"], ["--count", "many"]),
        ([*SELECT, "--for", "soon"], ["--for", "30s"]),
        ([*SELECT, "--max-retries", "-1"], ["--max-retries", "-1"]),
        ([*SELECT, "--output", "xml"], ["--output", "xml", "json"]),
        ([*SELECT, "--json", "-o", "raw"], ["--json", "raw"]),
        ([*SELECT, "--lisense", "5"], ["--lisense", "--license"]),
        ([*SELECT, "--ca-file", "/nonexistent/ca.pem"], ["--ca-file", "/nonexistent/ca.pem"]),
        (["1229/telegram"], ["1229/telegram"]),
        ([*SELECT, "--token", "abc"], ["--token"]),
    ],
    ids=lambda value: " ".join(value[-2:]),
)
def test_usage(arguments: list[str], words: list[str], run_tail: RunTail) -> None:
    failed(run_tail(*arguments, env={"CHATAPP_TOKEN": TOKEN}), 2, *words)


def test_bad_variable_is_named(run_tail: RunTail) -> None:
    """Who has it in a profile does not remember an option that was never typed."""
    done = run_tail(env={"CHATAPP_TOKEN": TOKEN, "CHATAPP_TAIL_LICENSE": "x"})
    failed(done, 2, "CHATAPP_TAIL_LICENSE", "'x'")


@pytest.mark.defect("U14")
@pytest.mark.parametrize(
    ("arguments", "environment"),
    [
        (["--log-format", "json"], {}),
        (["--log-format=json"], {}),
        (["--log-format", "text", "--log-format=json"], {}),
        ([], {"CHATAPP_TAIL_LOG_FORMAT": "json"}),
    ],
)
@pytest.mark.parametrize(
    ("failing", "status", "word"),
    [
        (["--for", "soon"], 2, "a duration is"),
        (["--no-such-option"], 2, "--no-such-option"),
        (["--since", "2h", "--no-backfill"], 2, "contradict"),
        ([], 2, "nothing is selected"),
        (SELECT, 3, "CHATAPP_TOKEN"),
        ([*SELECT, "--bad\udcff"], 2, "--bad"),
    ],
)
def test_errors_before_the_run_are_json_too(
    failing: list[str],
    status: int,
    word: str,
    arguments: list[str],
    environment: Env,
    run_tail: RunTail,
) -> None:
    """Also where the command line cannot be parsed, before or after what asks for JSON."""
    for whole in ([*arguments, *failing], [*failing, *arguments]):
        done = run_tail(*whole, env=environment)
        assert (done.returncode, done.stdout) == (status, "")
        error = json.loads(done.stderr)
        assert list(error) == ["v", "type", "message", "exit_status"]
        assert (error["v"], error["type"], error["exit_status"]) == (1, "error", status)
        assert word in error["message"]


@pytest.mark.parametrize(
    ("arguments", "environment"),
    [
        (["--log-format", "text"], {"CHATAPP_TAIL_LOG_FORMAT": "json"}),
        (["--log-format", "yaml"], {"CHATAPP_TAIL_LOG_FORMAT": "json"}),
        (["--", "--log-format", "json"], {}),
        (["--log-format"], {}),
    ],
)
def test_errors_are_text_unless_json_is_asked_for(
    arguments: list[str], environment: Env, run_tail: RunTail
) -> None:
    done = run_tail(*arguments, env=environment)
    assert done.returncode == 2
    assert done.stderr.startswith("chatapp-tail: ")


def test_options_of_the_tail_before_another_command_are_refused(
    run_tail: RunTail, closed_port: int
) -> None:
    """Otherwise they would be dropped in silence."""
    # Should it run all the same, it ends too, because the port is taken.
    failed(run_tail(*SELECT, "sandbox", "--port", str(closed_port)), 2, "--license")


# --- 3: credentials


def test_no_token(run_tail: RunTail) -> None:
    failed(run_tail(*SELECT), 3, "CHATAPP_TOKEN", "chatapp-tail login")


@pytest.mark.parametrize("token", ["", "  ", f"{TOKEN}\n{TOKEN}", f"Bearer {TOKEN}", "тайна"])
def test_token_that_cannot_be_one(token: str, run_tail: RunTail) -> None:
    done = run_tail(*SELECT, env={"CHATAPP_TOKEN": token})
    failed(done, 3, "CHATAPP_TOKEN")
    assert "тайна" not in done.stderr


@pytest.mark.parametrize("content", ["", "\n", f"{TOKEN}\n{TOKEN}\n"])
def test_token_file_that_holds_none(content: str, run_tail: RunTail, tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text(content)
    failed(run_tail(*SELECT, "--token-file", str(file)), 3, str(file))


def test_token_file_that_cannot_be_read(run_tail: RunTail, tmp_path: Path) -> None:
    missing, binary = tmp_path / "missing", tmp_path / "binary"
    binary.write_bytes(b"\xff\xfe\x00")
    failed(run_tail(*SELECT, "--token-file", str(missing)), 3, str(missing), "No such file")
    failed(run_tail(*SELECT, "--token-file", str(tmp_path)), 3, str(tmp_path), "directory")
    failed(run_tail(*SELECT, "--token-file", str(binary)), 3, str(binary), "not text")


def test_token_file_wins_and_may_end_in_a_newline(
    run_tail: RunTail, greeter: Sandbox, tmp_path: Path
) -> None:
    file = tmp_path / "token"
    file.write_text(f"{greeter.token}\n")
    env = {**reaching(greeter), "CHATAPP_TOKEN": TOKEN}
    assert run_tail(*SELECT, "-n", "1", "--token-file", str(file), env=env).returncode == 0


def test_wrong_token(run: RunTail) -> None:
    done = run(*SELECT, env={"CHATAPP_TOKEN": TOKEN})
    failed(done, 3, "token is refused", "401", "new one")
    assert "quotes" not in done.stderr


def test_token_that_a_shell_mangled(start_shell: StartShell, sandbox: Sandbox) -> None:
    env = reaching(sandbox)
    token = env.pop("CHATAPP_TOKEN")
    script = start_shell(f'CHATAPP_TOKEN="{token}" exec chatapp-tail {" ".join(SELECT)}', env=env)
    assert script.wait() == 3
    is_one_line(script.stderr.text, "single quotes")
    assert "SandBox" not in script.stderr.text
    assert "token.0123" not in script.stderr.text


# --- 4: not reachable


def test_unreachable_host_is_tried_again_and_said(run: RunTail, closed_port: int) -> None:
    url = f"ws://127.0.0.1:{closed_port}"
    done = run(*SELECT, "--ws-url", url, "--for", "2s")
    assert (done.returncode, done.stdout) == (4, "")
    *lines, last = done.stderr.splitlines()
    assert "never ready within 2.0 s" in last
    assert url in last
    assert "Connection refused" in last
    assert lines
    for line in lines:
        assert url in line
        assert "Connection refused" in line
        assert "trying again" in line


@pytest.mark.parametrize(
    ("limit", "retries"), [(["--no-reconnect"], 0), (["--max-retries", "1"], 1)]
)
def test_gives_up_when_told_to(
    limit: list[str], retries: int, run: RunTail, closed_port: int
) -> None:
    url = f"ws://127.0.0.1:{closed_port}"
    done = run(*SELECT, "--ws-url", url, *limit)
    assert (done.returncode, done.stdout) == (4, "")
    *before, last = done.stderr.splitlines(keepends=True)
    assert len(before) == retries
    is_one_line(last, "gave up", url, "Connection refused")


UNREACHABLE: dict[str, tuple[str, int, list[str]]] = {
    "quiet": ("--ws-url ws://{closed} -q --max-retries 2", 4, ["gave up", "ws://{closed}"]),
    "name": (
        "--ws-url wss://no-such-host.invalid:1 --no-reconnect",
        4,
        ["host.invalid", "resolve"],
    ),
    "plain": ("--ws-url wss://{plain} --no-reconnect", 4, ["wss://{plain}", "TLS"]),
    "not WebSocket": ("--ws-url ws://{api}", 6, ["ws://{api}", "404", "--ws-url"]),
    "app key": ("--app-key wrong", 6, ["wrong", "4001", "--app-key"]),
}


@pytest.mark.parametrize(("options", "status", "words"), UNREACHABLE.values(), ids=UNREACHABLE)
def test_a_server_that_cannot_be_used(
    options: str, status: int, words: list[str], run: RunTail, sandbox: Sandbox, closed_port: int
) -> None:
    def filled(text: str) -> str:
        plain, api = (url.partition("//")[2] for url in (sandbox.ws_url, sandbox.api_url))
        return text.format(closed=f"127.0.0.1:{closed_port}", plain=plain, api=api)

    done = run(*SELECT, *filled(options).split())
    failed(done, status, *map(filled, words))


def test_unknown_authority(run_tail: RunTail) -> None:
    with Sandbox(tls=True) as sandbox:
        env = reaching(sandbox)
        del env["CHATAPP_TAIL_CA_FILE"]
        done = run_tail(*SELECT, env=env)
    failed(done, 4, sandbox.ws_url, "certificate", "--ca-file")


def test_ca_file_that_holds_none(run_tail: RunTail, closed_port: int, tmp_path: Path) -> None:
    file = tmp_path / "ca.pem"
    file.write_text("not a certificate\n")
    url = f"wss://127.0.0.1:{closed_port}"
    done = run_tail(
        *(*SELECT, "--ca-file", str(file), "--ws-url", url, "--no-reconnect"),
        env={"CHATAPP_TOKEN": TOKEN},
    )
    failed(done, 2, str(file))


def test_lost_connection_with_no_reconnect(subscribed_tail: StartTail, sandbox: Sandbox) -> None:
    tail = subscribed_tail("--no-reconnect")
    publish(sandbox, [1])
    tail.stdout.take()
    sandbox.abort_sockets()
    assert tail.wait() == 4
    is_one_line(tail.stderr.text, sandbox.ws_url, "reset")


# --- 5 and 6: refused


def test_unknown_licence(run: RunTail) -> None:
    done = run("-l", "99", "-m", "telegram")
    failed(done, 5, "99/telegram", "403", "check licence and messenger")


def test_one_refused_channel_does_not_end_the_others(run_tail: RunTail, greeter: Sandbox) -> None:
    done = run_tail(*SELECT, "-c", "99/telegram", "-n", "1", env=reaching(greeter))
    assert done.returncode == 0
    assert done.stdout.count("\n") == 1


def test_api_that_is_not_there(start: StartTail, sandbox: Sandbox, closed_port: int) -> None:
    url = f"http://127.0.0.1:{closed_port}"
    tail = start(*SELECT, "--api-url", url)
    tail.stderr.wait_for("asking again", count=2)
    for line in tail.stderr.all:
        assert "1229/telegram" in line
        assert url in line
        assert "Connection refused" in line
    assert sandbox.connections == 1


def test_api_that_fails_for_a_while(subscribed_tail: StartTail, sandbox: Sandbox) -> None:
    sandbox.faults.answer_auth(503, calls=2)
    tail = subscribed_tail("-n", "1")
    publish(sandbox, [1])
    assert tail.wait() == 0
    *warnings, ready = tail.stderr.all
    assert len(warnings) == 2
    assert all("503" in line for line in warnings)
    assert "ready: 1229/telegram" in ready  # who was told of trouble is told of its end


# --- 0 and 124: limits


def test_count_that_is_reached(run_tail: RunTail, greeter: Sandbox) -> None:
    done = run_tail(*SELECT, "-n", "1", "--for", "60s", env=reaching(greeter))
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.count("\n") == 1


def test_count_is_exact_in_a_burst(subscribed_tail: StartTail, sandbox: Sandbox) -> None:
    tail = subscribed_tail("-n", "7")
    for number in range(100):
        sandbox.publish(CHANNEL, "message", message(number))
    assert tail.wait() == 0
    assert len(tail.stdout.all) == 7


@pytest.mark.parametrize(
    ("count", "status"), [([], 0), (["-n", "5"], 124)], ids=["none", "not reached"]
)
def test_time_alone_is_success_and_a_count_that_is_not_reached_is_none(
    count: list[str], status: int, run: RunTail
) -> None:
    done = run(*SELECT, *count, "--for", READY_BY_THEN)
    assert (done.returncode, done.stdout, done.stderr) == (status, "", "")


@pytest.mark.defect("U3")
@pytest.mark.parametrize(
    ("fault", "limits", "words"),
    [
        ("hold_upgrades", "--for 300ms", ["within 0.3 s", "{ws}", "no answer"]),
        ("hold_upgrades", "--idle 300ms -n 3", ["within 0.3 s", "{ws}", "no answer"]),
        ("withhold_confirmations", "--for 1s", ["within 1.0 s", "not confirmed every channel"]),
    ],
)
def test_time_that_is_over_before_it_was_ready(
    fault: str, limits: str, words: list[str], run: RunTail, sandbox: Sandbox
) -> None:
    setattr(sandbox.faults, fault, True)
    done = run(*SELECT, *limits.split(), timeout=4)
    failed(done, 4, "never ready", *(word.format(ws=sandbox.ws_url) for word in words))


@pytest.mark.defect("U3")
def test_a_loss_after_it_was_ready_is_no_failure_of_the_time(
    subscribed_tail: StartTail, sandbox: Sandbox
) -> None:
    tail = subscribed_tail("--for", READY_BY_THEN)
    sandbox.faults.hold_upgrades = True
    sandbox.abort_sockets()
    assert tail.wait() == 0


@pytest.mark.parametrize("duration", ["30d", "8000h"])
def test_time_may_be_long(duration: str, subscribed_tail: StartTail, sandbox: Sandbox) -> None:
    tail = subscribed_tail("--for", duration, "-n", "1")
    publish(sandbox, [1])
    assert tail.wait() == 0
    assert tail.stderr.text == ""
