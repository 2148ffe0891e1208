"""Doctor: what it finds out, in which line, with which advice and status; and that it leaves."""

import json
import signal
import socket
import threading
from subprocess import CompletedProcess
from typing import Any

import pytest

from chatapp_tail.sandbox import AuthAnswered, Sandbox
from tests.conftest import RunTail, StartTail
from tests.servers import Answer, HttpServer
from tests.shell.conftest import (
    SELECT,
    Env,
    StartShell,
    StartTerminal,
    is_one_line,
    reaching,
    scaled,
)

TOKEN = "$2y$10$MadeUp/token.0123456789.abcdefghijklmnopq/QRSTUVWXYZ."
CHECKS = [
    *("configuration", "API answers", "clock", "token", "licences", "proxy", "DNS", "TCP"),
    *("app key", "channel authorised", "subscription", "ping"),
]


def report(done: CompletedProcess[str]) -> list[dict[str, Any]]:
    """The findings of a run with `-o json`, which says nothing else."""
    assert done.stderr == "", done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def failing(done: CompletedProcess[str], check: str, status: int) -> dict[str, Any]:
    """Check that this check failed, as the last one, with advice; return its finding."""
    found = report(done)
    assert found, "nothing was found"
    last: dict[str, Any] = found[-1]
    assert [each["check"] for each in found if each["exit_status"]] == [check], last
    assert not last["ok"]
    assert last["exit_status"] == status
    assert done.returncode == status
    assert last["advice"]
    assert "\n" not in last["found"]
    return last


def doctor(run_tail: RunTail, env: Env, *argv: str, timeout: float = 40.0) -> CompletedProcess[str]:
    return run_tail("doctor", "-o", "json", *argv, env=env, timeout=timeout)


# --- all is well


def test_all_is_well(run_tail: RunTail, sandbox: Sandbox, env: Env) -> None:
    done = doctor(run_tail, env)
    found = report(done)
    assert done.returncode == 0
    assert [each["check"] for each in found] == CHECKS
    assert all(each["ok"] and each["exit_status"] == 0 for each in found)
    assert all(each["advice"] is None for each in found)
    sandbox.wait_for(lambda s: s.open_sockets == 0, scaled(5))
    assert sandbox.connections == 1
    assert sandbox.tokens_made == 0


def test_all_is_well_over_tls(run_tail: RunTail) -> None:
    with Sandbox(tls=True) as sandbox:
        found = report(doctor(run_tail, reaching(sandbox)))
    assert [each["check"] for each in found] == [*CHECKS[:8], "TLS", *CHECKS[8:]]
    (tls,) = (each for each in found if each["check"] == "TLS")
    assert "TLSv1" in tls["found"]
    assert "days" in tls["found"]


@pytest.mark.parametrize(
    ("argv", "channel"),
    [
        ((), "1229/telegram"),
        (("-l", "1230"), "1230/caWhatsApp"),
        (("-m", "avito"), "1315/avito"),
        (("-l", "1229", "-m", "grWhatsApp"), "1229/grWhatsApp"),
    ],
    ids=str,
)
def test_what_it_tries(argv: tuple[str, ...], channel: str, run_tail: RunTail, env: Env) -> None:
    found = report(doctor(run_tail, env, *argv))
    (authorised,) = (each for each in found if each["check"] == "channel authorised")
    assert authorised["found"] == channel


@pytest.mark.parametrize(
    ("locale", "mark"),
    [({}, "✓"), ({"PYTHONIOENCODING": "ascii"}, "ok"), ({"PYTHONIOENCODING": "latin-1"}, "ok")],
    ids=["utf-8", "ascii", "latin-1"],
)
def test_text_for_people(locale: Env, mark: str, run: RunTail) -> None:
    done = run("doctor", env=locale)
    assert (done.returncode, done.stderr) == (0, "")
    *lines, verdict = done.stdout.splitlines()
    assert [line.split()[0] for line in lines] == [mark] * len(CHECKS)
    assert verdict == "all good"
    assert locale == {} or done.stdout.isascii()
    assert max(map(len, done.stdout.splitlines())) <= 80


def test_a_failure_in_ascii(run_tail: RunTail, env: Env) -> None:
    whole = {**env, "PYTHONIOENCODING": "ascii", "CHATAPP_TOKEN": TOKEN}
    done = run_tail("doctor", env=whole)
    assert done.returncode == 3
    assert done.stdout.isascii()
    assert "FAILED token" in done.stdout
    assert "next: " in done.stdout
    assert done.stdout.endswith("\n1 problem\n")
    assert TOKEN not in done.stdout


# --- each failure


def test_no_credentials(run_tail: RunTail, env: Env) -> None:
    without = {name: value for name, value in env.items() if name != "CHATAPP_TOKEN"}
    found = failing(doctor(run_tail, without), "configuration", 3)
    assert "chatapp-tail login" in found["found"]
    done = run_tail("doctor", env=without)
    assert (done.returncode, done.stderr) == (3, "")
    assert done.stdout.startswith("✗ configuration")
    assert done.stdout.endswith("\n1 problem\n")


def test_wrong_token(run_tail: RunTail, env: Env) -> None:
    found = failing(doctor(run_tail, {**env, "CHATAPP_TOKEN": TOKEN}), "token", 3)
    assert "401" in found["found"]
    assert "chatapp-tail login" in found["advice"]
    assert TOKEN not in json.dumps(found)


OPTIONS = {
    "no API": ("--api-url http://127.0.0.1:{port}", "API answers", 4, "http://127.0.0.1:{port}"),
    "no proxy": (
        "--api-url https://api.invalid --proxy http://127.0.0.1:{port}",
        "API answers",
        4,
        "Connection refused",
    ),
    "no socket": ("--ws-url ws://127.0.0.1:{port}", "TCP", 4, "Connection refused"),
    "no such name": ("--ws-url wss://no-such-host.invalid", "DNS", 4, "no-such-host.invalid"),
    "app key": ("--app-key wrong", "app key", 6, "4001"),
}


@pytest.mark.parametrize(("options", "check", "status", "word"), OPTIONS.values(), ids=OPTIONS)
def test_an_option_that_leads_nowhere(
    options: str, check: str, status: int, word: str, run_tail: RunTail, env: Env, closed_port: int
) -> None:
    argv = options.format(port=closed_port).split()
    found = failing(doctor(run_tail, env, *argv), check, status)
    assert word.format(port=closed_port) in found["found"]
    assert argv[-2] in found["advice"]
    assert "; check" not in found["found"], "what to do is said once"


API_FAULTS: dict[str, tuple[tuple[str, int, str], str, int, str, str]] = {
    # A page that says welcome with 200 does not make the token a good one.
    "another server": (("/v1/*", 200, "<html>welcome</html>"), "token", 4, "--api-url", "200 OK"),
    # Nobody said that the token is bad.
    "token, 403": (("/v1/tokens/check", 403, "<html>"), "token", 4, "403", "chatapp-tail login"),
    "token, 404": (("/v1/tokens/check", 404, "<html>"), "token", 4, "404", "chatapp-tail login"),
    # The name of an exception is no cause.
    "hangs up": (("/v1/tokens/check", 0, ""), "API answers", 4, "--api-url", "Error;"),
    "no licences": (
        ("/v1/licenses", 200, '{"success":true,"data":[]}'),
        "licences",
        5,
        "",
        "choose",
    ),
}


@pytest.mark.defect("U13")
@pytest.mark.parametrize(
    ("fault", "check", "status", "said", "unsaid"), API_FAULTS.values(), ids=API_FAULTS
)
def test_an_api_that_answers_oddly(
    fault: tuple[str, int, str],
    check: str,
    status: int,
    said: str,
    unsaid: str,
    run_tail: RunTail,
    sandbox: Sandbox,
    env: Env,
) -> None:
    sandbox.faults.answer_api(*fault)
    found = failing(doctor(run_tail, env), check, status)
    assert said in found["found"] + found["advice"]
    assert unsaid not in found["found"] + found["advice"]


@pytest.mark.defect("U13")
@pytest.mark.parametrize(
    ("argv", "check"),
    [
        (("-l", "1402"), "licences"),
        (("-l", "9999"), "licences"),
        (("-m", "Telegram"), "licences"),
        (("-l", "9999", "-m", "telegram"), "channel authorised"),
        (("-l", "1229", "-m", "Telegram"), "channel authorised"),
    ],
    ids=str,
)
def test_what_the_account_does_not_have(
    argv: tuple[str, ...], check: str, run_tail: RunTail, env: Env
) -> None:
    found = failing(doctor(run_tail, env, *argv), check, 5)
    assert "1229" in found["found"]
    assert "--license" in found["advice"]
    assert "--messenger" in found["advice"]
    if check == "licences":
        assert "choose one of these" in found["advice"]
        assert "this account has: 1229 (telegram, grWhatsApp), 1230 (caWhatsApp)" in found["found"]
        assert "1402 (" not in found["found"], "it is not active"


def test_unknown_authority_of_the_api(run_tail: RunTail) -> None:
    with Sandbox(tls=True) as sandbox:
        env = reaching(sandbox)
        del env["CHATAPP_TAIL_CA_FILE"]
        found = failing(doctor(run_tail, env), "API answers", 4)
    assert "certificate" in found["found"]
    assert "--ca-file" in found["advice"]


def test_unknown_authority_of_the_socket(run_tail: RunTail, sandbox: Sandbox, env: Env) -> None:
    with Sandbox(tls=True) as other:
        found = failing(doctor(run_tail, env, "--ws-url", other.ws_url), "TLS", 4)
    assert "certificate" in found["found"]
    assert "--ca-file" in found["advice"]


def test_plain_server_behind_wss(run_tail: RunTail, sandbox: Sandbox, env: Env) -> None:
    url = sandbox.ws_url.replace("ws:", "wss:")
    failing(doctor(run_tail, env, "--ws-url", url), "TLS", 4)


def warned(found: list[dict[str, Any]], check: str) -> dict[str, Any]:
    """The one finding that is a warning, which has to be of this check."""
    (warning,) = (each for each in found if not each["ok"])
    assert (warning["check"], warning["exit_status"]) == (check, 0)
    assert warning["advice"]
    return warning


@pytest.mark.defect("U8")
@pytest.mark.parametrize("order", [1, -1])
def test_each_socket_url_is_tried(
    order: int, run_tail: RunTail, sandbox: Sandbox, env: Env, closed_port: int
) -> None:
    """A tail would go on to the next; that one fails is worth a line, and no more."""
    closed = f"ws://127.0.0.1:{closed_port}"
    first, second = (sandbox.ws_url, closed)[::order]
    done = doctor(run_tail, env, "--ws-url", first, "--ws-url", second)
    found = report(done)
    assert done.returncode == 0
    assert str(closed_port) in warned(found, "TCP")["found"]
    assert f"{first}, then {second}" in found[0]["found"]
    (key,) = (each for each in found if each["check"] == "app key")
    assert key["found"] == f"{sandbox.ws_url} accepts the app key"
    assert found[-1]["check"] == "ping"


@pytest.mark.defect("U8")
@pytest.mark.parametrize("status", [404, 503])
def test_a_server_that_refuses_the_upgrade_is_passed_over(
    status: int, run_tail: RunTail, sandbox: Sandbox, env: Env
) -> None:
    with Sandbox() as sick:
        sick.faults.refuse_upgrades(status)
        done = doctor(run_tail, env, "--ws-url", sick.ws_url, "--ws-url", sandbox.ws_url)
    assert done.returncode == 0, done.stdout
    assert str(status) in warned(report(done), "app key")["found"]


@pytest.mark.defect("U8")
def test_all_socket_urls_fail(run_tail: RunTail, env: Env, closed_port: int) -> None:
    argv = ("--ws-url", "wss://no-such-host.invalid", "--ws-url", f"ws://127.0.0.1:{closed_port}")
    done = doctor(run_tail, env, *argv)
    failing(done, "TCP", 4)
    assert [each["check"] for each in report(done) if not each["ok"]] == ["DNS", "TCP"]


def test_an_untrusted_server_ends_it_as_it_ends_a_tail(
    run_tail: RunTail, sandbox: Sandbox, env: Env, run: RunTail
) -> None:
    with Sandbox(tls=True) as other:
        urls = ("--ws-url", other.ws_url, "--ws-url", sandbox.ws_url)
        failing(doctor(run_tail, env, *urls), "TLS", 4)
        assert run(*SELECT, *urls, "--for", "20s").returncode == 4


def test_a_server_with_tls_behind_ws(run_tail: RunTail, env: Env) -> None:
    with Sandbox(tls=True) as other:
        url = other.ws_url.replace("wss:", "ws:")
        found = failing(doctor(run_tail, env, "--ws-url", url), "app key", 4)
    assert f"--ws-url {other.ws_url}" in found["advice"]


@pytest.mark.defect("U8")
def test_a_host_with_an_address_that_is_dead(run_tail: RunTail, sandbox: Sandbox, env: Env) -> None:
    """localhost is ::1 first on most machines, where the sandbox does not listen."""
    url = sandbox.ws_url.replace("127.0.0.1", "localhost")
    done = doctor(run_tail, env, "--ws-url", url)
    assert done.returncode == 0
    (tcp,) = (each for each in report(done) if each["check"] == "TCP")
    (dns,) = (each for each in report(done) if each["check"] == "DNS")
    assert ("not at ::1 (Connection refused)" in tcp["found"]) == dns["found"].startswith("::1, ")


# --- channels


@pytest.mark.defect("U8")
@pytest.mark.parametrize("channel", ["1229/telegram", "company/2224", "user/685"])
def test_channels_are_tried(channel: str, run_tail: RunTail, env: Env, run: RunTail) -> None:
    done = doctor(run_tail, env, "-c", channel)
    tail = run("-c", channel, "--for", "2s")
    assert done.returncode == tail.returncode
    if done.returncode:
        assert channel in report(done)[-1]["found"]
    else:
        (found,) = (each for each in report(done) if each["check"] == "channel authorised")
        assert found["found"] == channel


@pytest.mark.defect("U8")
def test_a_refused_channel_is_named_as_it_is_typed(run_tail: RunTail, env: Env) -> None:
    found = failing(doctor(run_tail, env, "-c", "company/999"), "channel authorised", 5)
    assert found["found"].startswith("company/999 is refused")
    assert "private-v1" not in found["found"]
    assert "--channel" in found["advice"]
    assert "--license" not in found["advice"]


def test_one_refused_channel_of_several_is_a_warning(
    run_tail: RunTail, env: Env, run: RunTail
) -> None:
    done = doctor(run_tail, env, "-c", "company/999", *SELECT)
    assert done.returncode == 0
    assert warned(report(done), "channel refused")["found"].startswith("company/999: ")
    text = run("doctor", "-c", "company/999", *SELECT).stdout
    assert text.endswith("\nno problem, 1 warning\n")
    assert "⚠ channel refused" in text


def test_what_is_not_active_is_a_warning(run_tail: RunTail, env: Env) -> None:
    done = doctor(run_tail, env, "-l", "1402", "-m", "telegram", *SELECT)
    assert done.returncode == 0
    assert warned(report(done), "licences")["found"] == "licence 1402 is not active"


@pytest.mark.parametrize(("argv", "status"), [(SELECT, 0), (("-l", "1229"), 4)], ids=str)
def test_licences_that_cannot_be_listed_end_what_needs_them(
    argv: tuple[str, ...], status: int, run_tail: RunTail, sandbox: Sandbox, env: Env
) -> None:
    sandbox.faults.answer_api("/v1/licenses", 403, '{"message":"no"}')
    done = doctor(run_tail, env, *argv)
    assert done.returncode == status
    assert "licences" in [each["check"] for each in report(done) if not each["ok"]]


# --- a clock that is wrong, and dates that are none


def dated(date: str) -> HttpServer:
    """An API that says it is this date, or none, and that has one line."""
    head = f"HTTP/1.1 200 OK\r\nDate: {date}\r\n" if date else "HTTP/1.1 200 OK\r\n"
    body = '{"success":true,"data":[{"licenseId":1229,"messenger":[{"type":"telegram"}]}]}'
    answer = Answer(raw=f"{head}Content-Length: {len(body)}\r\n\r\n{body}".encode())
    return HttpServer(lambda _: answer)


def test_a_clock_that_is_wrong(run_tail: RunTail, env: Env) -> None:
    with dated("Mon, 01 Jan 2001 00:00:00 GMT") as api:
        found = report(doctor(run_tail, env, "--api-url", api.url))
    clock = next(each for each in found if each["check"] == "clock")
    assert "NTP" in clock["advice"]
    assert (clock["ok"], clock["exit_status"]) == (False, 0), "a tail would go on"


@pytest.mark.parametrize("date", ["", "soon", "Mon, 32 Foo 99999 99:99:99 GMT"])
def test_a_date_that_is_none_does_not_stop_it(
    date: str, run_tail: RunTail, env: Env, closed_port: int
) -> None:
    with dated(date) as api:
        argv = ("--api-url", api.url, "--ws-url", f"ws://127.0.0.1:{closed_port}")
        failing(doctor(run_tail, env, *argv), "TCP", 4)


# --- how it ends


def test_ctrl_c_ends_it(start_terminal: StartTerminal, sandbox: Sandbox, env: Env) -> None:
    sandbox.faults.withhold_confirmations = True
    terminal = start_terminal("doctor", env=env)
    terminal.wait_for(b"channel authorised")
    terminal.type(b"\x03")
    assert terminal.wait() == -2
    assert b"Traceback" not in terminal.shown


def test_sigterm_ends_it(start: StartTail, sandbox: Sandbox) -> None:
    sandbox.faults.withhold_confirmations = True
    process = start("doctor")
    sandbox.wait_for(lambda s: s.journal.count(AuthAnswered), scaled(10))
    process.send_signal(signal.SIGTERM)
    assert process.wait() == -15


def test_lines_come_as_they_are_found(start: StartTail, sandbox: Sandbox) -> None:
    sandbox.faults.withhold_confirmations = True
    process = start("doctor")
    process.stdout.wait_for("channel authorised")
    assert process.process.poll() is None


def test_stdout_that_is_closed(start_shell: StartShell, env: Env) -> None:
    shell = start_shell("exec chatapp-tail doctor >&-", env=env)
    assert shell.wait() == 7
    is_one_line(shell.stderr.text, "stdout")


def test_server_that_closes_what_it_accepted(run_tail: RunTail, env: Env) -> None:
    """A port behind which nothing speaks: open for TCP, dead for everything else."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def hang_up() -> None:
            for _ in range(2):
                server.accept()[0].close()

        thread = threading.Thread(target=hang_up)
        thread.start()
        url = f"ws://127.0.0.1:{server.getsockname()[1]}"
        found = failing(doctor(run_tail, env, "--ws-url", url), "app key", 4)
        thread.join()
    assert url in found["found"]
    assert "--ws-url" in found["advice"]


def test_options_are_the_tails(run_tail: RunTail, env: Env) -> None:
    """What fails with these options has to be examined with the same."""
    done = doctor(run_tail, env, *SELECT)
    assert done.returncode == 0
