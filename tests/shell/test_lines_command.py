"""`lines`: the table for people, JSON for programs, hostile names, and an API that fails."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from chatapp_tail.sandbox import ApiRequested, Sandbox, messenger_channel
from tests.conftest import RunTail, StartTail
from tests.servers import HttpServer
from tests.shell.conftest import Env, StartShell, StartTerminal, is_one_line, reaching

LICENSES = "/v1/licenses"


def answer_with(sandbox: Sandbox, *licenses: Mapping[str, Any]) -> None:
    body = json.dumps({"success": True, "data": licenses})
    sandbox.faults.answer_api(LICENSES, 200, body)


def licence(number: int, *types: str, **members: Any) -> dict[str, Any]:
    messengers = [{"type": kind, "name": kind, "info": {"phone": "70000"}} for kind in types]
    return {"licenseId": number, "active": True, "messenger": messengers, **members}


def records(stdout: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stdout.splitlines()]


# --- what is shown


def test_json_is_one_object_a_line(run: RunTail) -> None:
    done = run("lines")
    assert (done.returncode, done.stderr) == (0, "")
    found = records(done.stdout)
    assert found[0] == {
        "license": 1229,
        "messenger": "telegram",
        "name": "Demo Shop",
        "messenger_name": "Telegram",
        "phone": "7000000229",
        "active": True,
        "until": "2100-01-01T00:00:00Z",
    }
    assert [each["license"] for each in found if not each["active"]] == [1402]
    assert len(found) == 7


def test_what_is_listed_can_be_tailed(run: RunTail, sandbox: Sandbox) -> None:
    for each in records(run("lines").stdout):
        channel = messenger_channel(each["license"], each["messenger"])
        assert sandbox.account.owns(channel)


@pytest.mark.parametrize("columns", [80, 100])
def test_a_terminal_gets_a_table(columns: int, start_terminal: StartTerminal, env: Env) -> None:
    terminal = start_terminal("lines", env={**env, "TERM": "dumb"}, columns=columns)
    assert terminal.wait(timeout=10) == 0
    shown = terminal.shown.decode().splitlines()
    assert max(map(len, shown)) <= columns
    rows = [line.split() for line in shown if line.strip()[:1].isdecimal()]
    assert len(rows) == 7, "one row per messenger"
    assert rows[-1][:5] == ["1402", "telegram", "7000000402", "no", "2024-01-01"]


@pytest.mark.defect("U7")
@pytest.mark.parametrize("columns", ["10", "40", "69", "80", "200"])
def test_a_table_shows_both_names_and_whole_types(columns: str, run: RunTail) -> None:
    done = run("lines", "-o", "table", env={"COLUMNS": columns})
    heading, *rows = done.stdout.split("\n")
    assert rows.pop() == ""
    assert heading.split()[:6] == ["licence", "messenger", "phone", "active", "until", "name"]
    assert [row.split()[:2] for row in rows] == [
        *(["1229", "telegram"], ["1229", "grWhatsApp"], ["1230", "caWhatsApp"]),
        *(["1315", "telegramBot"], ["1315", "avito"], ["1315", "vkontakte"], ["1402", "telegram"]),
    ]
    assert rows[0].split()[2:5] == ["7000000229", "yes", "2100-01-01"]
    assert rows[0].split()[5:] == ["Demo", "Shop", "Telegram"] or int(columns) < 80
    assert heading.endswith("  messenger name") or int(columns) < 200
    assert max(map(len, (heading, *rows))) <= max(80, int(columns))
    assert all(line == line.rstrip() for line in (heading, *rows))


def test_long_names_do_not_break_what_has_to_be_typed(run: RunTail, sandbox: Sandbox) -> None:
    long = "An extraordinarily long name of a shop " * 5
    entry = licence(1234567, "telegramBot", licenseName=long)
    entry["messenger"][0]["name"] = long
    answer_with(sandbox, entry)
    done = run("lines", "-o", "table", env={"COLUMNS": "80"})
    assert done.returncode == 0
    assert "1234567" in done.stdout
    assert "telegramBot" in done.stdout
    assert max(map(len, done.stdout.splitlines())) <= 80


@pytest.mark.parametrize("locale", [{"PYTHONIOENCODING": "ascii"}, {"LC_ALL": "C"}], ids=str)
def test_a_table_in_any_locale(locale: Env, run: RunTail) -> None:
    done = run("lines", "-o", "table", env=locale)
    assert (done.returncode, done.stderr) == (0, "")
    assert "Demo Shop" in done.stdout or "Telegram" in done.stdout


HOSTILE = "Anna\x1b]0;title\x07\x1b[2J\x9b2J\r\n\u202e[bold]x[/bold]"


def test_hostile_names_do_not_act_on_a_terminal(
    start_terminal: StartTerminal, sandbox: Sandbox, env: Env
) -> None:
    messenger = {"type": HOSTILE, "name": HOSTILE, "info": {"phone": HOSTILE}}
    answer_with(sandbox, licence(5, licenseName=HOSTILE, messenger=[messenger]))
    terminal = start_terminal("lines", env=env)
    assert terminal.wait(timeout=10) == 0
    assert b"Anna" in terminal.shown
    harmless(terminal.shown)


def harmless(shown: bytes) -> None:
    """Check that no text of a stranger acts on a terminal; rich's own styles may be there."""
    for act in (b"\x1b]", b"\x1b[2J", b"\x9b2J", b"\x07"):
        assert act not in shown, (act, shown)
    assert b"\r" not in shown.replace(b"\r\n", b"")


ODD: dict[str, tuple[Any, list[Any]]] = {
    "no messengers": ([{"licenseId": 5, "messenger": []}], [(5, None)]),
    "a licence for ever": (
        [{"licenseId": 5, "licenseTo": 10**18, "messenger": [{"type": "max"}]}],
        [(5, "max")],
    ),
    "a licence before all time": (
        [{"licenseId": 5, "licenseTo": -(10**18), "messenger": [{"type": "max"}]}],
        [(5, "max")],
    ),
}


@pytest.mark.parametrize("output", ["table", "json"])
@pytest.mark.parametrize(("data", "expected"), ODD.values(), ids=ODD)
def test_odd_answers_never_fail(
    data: Any, expected: list[Any], output: str, run: RunTail, sandbox: Sandbox
) -> None:
    sandbox.faults.answer_api(LICENSES, 200, json.dumps({"success": True, "data": data}))
    done = run("lines", "-o", output)
    assert done.returncode == 0, done.stderr
    if output == "json" and expected:
        found = [(each["license"], each["messenger"]) for each in records(done.stdout)]
        assert found == expected


@pytest.mark.parametrize(("stdout", "word"), [(">&-", "closed"), (">/dev/full", "No space")])
def test_stdout_that_takes_nothing(
    stdout: str, word: str, start_shell: StartShell, env: Env
) -> None:
    shell = start_shell(f"exec chatapp-tail lines {stdout}", env=env)
    assert shell.wait() == 7
    is_one_line(shell.stderr.text, "stdout", word)


def test_a_reader_that_leaves(start_shell: StartShell, env: Env) -> None:
    shell = start_shell("set -o pipefail; chatapp-tail lines | true", env=env)
    assert (shell.wait(), shell.stderr.text) == (0, "")


# --- what a tail makes of it


@pytest.mark.parametrize(
    ("argv", "channels"),
    [
        (["-l", "1229"], ["1229/telegram", "1229/grWhatsApp"]),
        (["-l", "1230"], ["1230/caWhatsApp"]),
        (["-m", "telegram"], ["1229/telegram"]),
        (
            ["--all"],
            [
                *("1229/telegram", "1229/grWhatsApp", "1230/caWhatsApp"),
                *("1315/telegramBot", "1315/avito", "1315/vkontakte"),
            ],
        ),
        (["-l", "1230", "-c", "1229/telegram"], ["1230/caWhatsApp", "1229/telegram"]),
    ],
    ids=lambda value: " ".join(value),
)
def test_what_is_meant_is_looked_up(argv: list[str], channels: list[str], start: StartTail) -> None:
    tail = start(*argv, "-v")
    tail.stderr.wait_for("ready")
    found = {line.rpartition(" ")[2] for line in tail.stderr.all if "subscribed to" in line}
    assert found == set(channels)


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["-l", "9999"], ["licence 9999", "1229 (telegram, grWhatsApp)", "1315"]),
        (["-m", "Telegram"], ["messenger Telegram", "telegram"]),
        (["-l", "1402"], ["licence 1402", "not active"]),
    ],
    ids=lambda value: " ".join(value),
)
def test_nothing_found_says_what_there_is(argv: list[str], words: list[str], run: RunTail) -> None:
    done = run(*argv)
    assert (done.returncode, done.stdout) == (5, "")
    is_one_line(done.stderr, *words)


def test_an_account_without_lines(run: RunTail, sandbox: Sandbox) -> None:
    answer_with(sandbox)
    done = run("--all")
    assert (done.returncode, done.stdout) == (5, "")
    is_one_line(done.stderr, "--all")
    assert run("lines").returncode == 0


@pytest.mark.parametrize("argv", [["-l", "9"], ["-l", "5", "-m", "max"]], ids=" ".join)
def test_hostile_types_in_a_refusal_are_escaped(
    argv: list[str], start_terminal: StartTerminal, sandbox: Sandbox, env: Env
) -> None:
    answer_with(sandbox, licence(5, HOSTILE))
    terminal = start_terminal(*argv, env=env)
    assert terminal.wait(timeout=10) == 5
    assert b"Anna" in terminal.shown
    harmless(terminal.shown)
    assert terminal.shown.count(b"\n") <= 3


# --- an API that fails


def failed(run_tail: RunTail, env: Env, status: int, *words: str, timeout: float = 30.0) -> str:
    done = run_tail("lines", env=env, timeout=timeout)
    assert (done.returncode, done.stdout) == (status, ""), done.stderr
    is_one_line(done.stderr, *words)
    return done.stderr


@pytest.mark.parametrize("status", [429, 503])
def test_what_passes_is_asked_again(status: int, run: RunTail, sandbox: Sandbox) -> None:
    sandbox.faults.answer_api(LICENSES, status, calls=1)
    assert run("lines").returncode == 0
    assert sandbox.api_requests(LICENSES) == 2


def test_retry_after_is_kept(run: RunTail, sandbox: Sandbox) -> None:
    sandbox.faults.answer_api(LICENSES, 429, headers={"Retry-After": "1"}, calls=1)
    assert run("lines").returncode == 0
    first, second = (each.at for each in sandbox.journal.of(ApiRequested) if each.path == LICENSES)
    assert second - first >= 1.0


@pytest.mark.parametrize("text", ["soon", "1.5", "Thu, 01 Jan 1970 00:00:00 GMT"])
def test_retry_after_of_any_kind_does_no_harm(text: str, run: RunTail, sandbox: Sandbox) -> None:
    sandbox.faults.answer_api(LICENSES, 429, headers={"Retry-After": text}, calls=1)
    done = run("lines")
    assert done.returncode == 0, done.stderr


def test_too_many_requests_for_good(run_tail: RunTail, sandbox: Sandbox, env: Env) -> None:
    sandbox.faults.answer_api(LICENSES, 429)
    said = failed(run_tail, env, 4, "429")
    assert "later" in said or "wait" in said
    assert sandbox.api_requests(LICENSES) <= 5


ANSWERS: dict[str, tuple[int, str, dict[str, str], int, list[str]]] = {
    "HTML": (200, "<html>", {}, 4, ["200", "--api-url"]),
    "nothing": (200, "", {}, 4, ["200", "--api-url"]),
    "404": (404, "<html>", {}, 4, ["404", "--api-url"]),
    "403": (403, '{"message":"Forbidden"}', {}, 4, ["403", "Forbidden"]),
    "401": (401, "", {}, 4, ["401", "account"]),
    "said to fail": (200, '{"success":false}', {}, 4, ["200"]),
    "redirect": (302, "", {"Location": "https://other.invalid/x"}, 4, ["https://other.invalid/x"]),
    "redirect to nowhere": (302, "", {}, 4, ["302"]),
    "redirect that is no URL": (302, "", {"Location": "http://["}, 4, ["302"]),
    "redirect that is no text": (302, "", {"Location": "/\xff"}, 4, ["302"]),
}


@pytest.mark.parametrize(
    ("code", "body", "headers", "status", "words"), ANSWERS.values(), ids=ANSWERS
)
def test_each_wrong_answer_is_one_line(
    code: int,
    body: str,
    headers: dict[str, str],
    status: int,
    words: list[str],
    run_tail: RunTail,
    sandbox: Sandbox,
    env: Env,
) -> None:
    sandbox.faults.answer_api(LICENSES, code, body, headers)
    said = failed(run_tail, env, status, sandbox.api_url, *words)
    assert sandbox.token not in said
    assert "Error;" not in said, "the name of an exception is no cause"


def test_what_a_server_says_is_escaped(
    start_terminal: StartTerminal, sandbox: Sandbox, env: Env
) -> None:
    body = json.dumps({"error": {"code": HOSTILE, "message": "no"}})
    sandbox.faults.answer_api(LICENSES, 400, body)
    for argv in (["lines"], ["--all"], ["doctor"]):
        terminal = start_terminal(*argv, env=env)
        terminal.wait(timeout=10)
        assert b"Anna" in terminal.shown
        harmless(terminal.shown)


@pytest.mark.parametrize("code", [302, 307])
def test_a_redirect_takes_the_token_nowhere(
    code: int, run_tail: RunTail, sandbox: Sandbox, env: Env
) -> None:
    with HttpServer() as other:
        url = other.url
        sandbox.faults.answer_api(LICENSES, code, headers={"Location": f"{url}/v1/licenses"})
        failed(run_tail, env, 4, url, "not followed")
    assert other.asked == []


def test_an_authority_that_is_not_known(run_tail: RunTail) -> None:
    with Sandbox(tls=True) as sandbox:
        env = reaching(sandbox)
        assert run_tail("lines", env=env).returncode == 0
        del env["CHATAPP_TAIL_CA_FILE"]
        failed(run_tail, env, 4, sandbox.api_url, "certificate", "--ca-file")


def test_a_certificate_for_another_name(run_tail: RunTail) -> None:
    with Sandbox(tls=True) as sandbox:
        env = reaching(sandbox)
        env["CHATAPP_API_URL"] = env["CHATAPP_API_URL"].replace("127.0.0.1", "127.0.0.2")
        failed(run_tail, env, 4, "127.0.0.2")


def test_nobody_listens(run_tail: RunTail, env: Env, closed_port: int) -> None:
    url = f"http://127.0.0.1:{closed_port}"
    failed(run_tail, {**env, "CHATAPP_API_URL": url}, 4, url, "Connection refused")


def test_a_name_that_does_not_exist(run_tail: RunTail, env: Env) -> None:
    url = "https://no-such-host.invalid"
    failed(run_tail, {**env, "CHATAPP_API_URL": url}, 4, url, "resolve")


def test_credentials_that_are_missing(run_tail: RunTail, env: Env) -> None:
    without = {name: value for name, value in env.items() if name != "CHATAPP_TOKEN"}
    failed(run_tail, without, 3, "chatapp-tail login")


def test_a_token_file(run_tail: RunTail, sandbox: Sandbox, env: Env, tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text(sandbox.token + os.linesep)
    whole = {**env, "CHATAPP_TOKEN": "wrong"}
    assert run_tail("lines", "--token-file", str(file), env=whole).returncode == 0
