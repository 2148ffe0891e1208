"""Licences and messengers alone, and --all: an API that is not there yet, and what is missing."""

import json
import signal
import time

import pytest

from chatapp_tail.sandbox import ApiRequested, Sandbox
from tests.conftest import RunTail, StartTail
from tests.shell.conftest import SELECT, Env, is_one_line, reaching, scaled

LICENSES = "/v1/licenses"
ALONE = [("--all",), ("-l", "1229"), ("-m", "telegram")]
each_selection = pytest.mark.parametrize("argv", ALONE, ids=" ".join)


def nobody_at(port: int, env: Env) -> dict[str, str]:
    return {**env, "CHATAPP_API_URL": f"http://127.0.0.1:{port}"}


# --- an API that is not there yet


@pytest.mark.defect("A.15")
@pytest.mark.defect("U2")
@each_selection
def test_an_api_that_comes_late_is_waited_for(
    argv: tuple[str, ...], start_tail: StartTail, free_port: int
) -> None:
    """As after a boot at which the network comes last."""
    with Sandbox() as gone:
        env = {**reaching(gone), "CHATAPP_API_URL": f"http://127.0.0.1:{free_port}"}
        port = int(gone.ws_url.rpartition(":")[2])
    tail = start_tail(*argv, env=env)
    tail.stderr.wait_for("warning: cannot list the licences: .* refused.*; trying again in")
    with Sandbox(port=port, api_port=free_port, rate=20):
        tail.stderr.wait_for("ready", timeout=30)
        assert json.loads(tail.stdout.take())["license"] in (1229, 1230, 1315)
    assert tail.process.poll() is None


@pytest.mark.defect("U2")
@pytest.mark.parametrize("status", [0, 429, 503])
def test_trouble_is_said_once_and_when_it_changes(
    status: int, start: StartTail, sandbox: Sandbox
) -> None:
    sandbox.faults.answer_api(LICENSES, status, calls=3)
    sandbox.faults.answer_api(LICENSES, 500, calls=1)
    tail = start("-l", "1229")
    tail.stderr.wait_for("ready: 2 channels", timeout=40)
    first, second, ready = tail.stderr.all
    assert "cannot list the licences: " in first
    assert "answered 500" in second
    assert ready.endswith("ready: 2 channels"), "what was said to be in trouble is said to be well"
    assert sandbox.api_requests(LICENSES) == 5


def test_the_pause_that_is_asked_for_is_kept(start: StartTail, sandbox: Sandbox) -> None:
    sandbox.faults.answer_api(LICENSES, 429, headers={"Retry-After": "2"}, calls=1)
    tail = start("--all")
    tail.stderr.wait_for("ready")
    first, second = (each.at for each in sandbox.journal.of(ApiRequested) if each.path == LICENSES)
    assert second - first >= 2.0


@pytest.mark.parametrize("limit", [["--no-reconnect"], ["--max-retries", "2"]], ids=" ".join)
def test_it_gives_up_when_told_to(limit: list[str], run: RunTail, sandbox: Sandbox) -> None:
    sandbox.faults.answer_api(LICENSES, 503)
    done = run("--all", *limit)
    assert (done.returncode, done.stdout) == (4, "")
    assert sandbox.api_requests(LICENSES) == (1 if limit == ["--no-reconnect"] else 3)
    is_one_line(done.stderr.splitlines(keepends=True)[-1], "503")


@pytest.mark.defect("U2")
@pytest.mark.parametrize("limit", ["--for", "--idle"])
@pytest.mark.parametrize("trouble", ["refuses", "hangs"])
def test_the_time_is_over_while_it_waits(
    trouble: str, limit: str, run_tail: RunTail, sandbox: Sandbox, env: Env, closed_port: int
) -> None:
    if trouble == "refuses":
        env = nobody_at(closed_port, env)
    else:
        sandbox.faults.hang_api(LICENSES)
    began = time.monotonic()
    done = run_tail("--all", limit, "2s", env=env)
    assert 2 <= time.monotonic() - began < 2 + scaled(4)
    assert (done.returncode, done.stdout) == (4, "")
    last = done.stderr.splitlines(keepends=True)[-1]
    is_one_line(last, "the time was over", "refused" if trouble == "refuses" else "no answer yet")


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("trouble", ["refuses", "hangs"])
def test_a_signal_ends_the_wait(
    trouble: str,
    signum: signal.Signals,
    start_tail: StartTail,
    sandbox: Sandbox,
    env: Env,
    closed_port: int,
    start: StartTail,
) -> None:
    if trouble == "refuses":
        tail = start_tail("--all", env=nobody_at(closed_port, env))
        tail.stderr.wait_for("trying again")
    else:
        sandbox.faults.hang_api(LICENSES)
        tail = start("--all")
        sandbox.wait_for(lambda s: s.api_requests(LICENSES), scaled(10))
    tail.send_signal(signum)
    assert tail.wait(timeout=3) == -signum
    assert "Traceback" not in tail.stderr.text


def test_quiet_waits_without_a_word(start: StartTail, sandbox: Sandbox) -> None:
    sandbox.faults.answer_api(LICENSES, 503, calls=2)
    tail = start("--all", "-q")
    sandbox.wait_for(lambda s: s.open_sockets, scaled(20))
    assert tail.stderr.text == ""


@pytest.mark.parametrize(
    ("status", "body"),
    [(401, ""), (403, '{"message":"Not yours"}'), (404, '{"success":false,"error":{"code":"No"}}')],
)
def test_what_chatapp_itself_refuses_ends_it(
    status: int, body: str, run: RunTail, sandbox: Sandbox
) -> None:
    sandbox.faults.answer_api(LICENSES, status, body)
    done = run("--all")
    assert (done.returncode, done.stdout) == (4, "")
    is_one_line(done.stderr, str(status))


@pytest.mark.parametrize("status", [200, 404])
def test_a_page_of_something_else_is_asked_past(
    status: int, start: StartTail, sandbox: Sandbox
) -> None:
    sandbox.faults.answer_api(LICENSES, status, "<html>", calls=2)
    tail = start("--all")
    sandbox.wait_for(lambda s: s.open_sockets, scaled(20))
    assert f"answered {status}" in tail.stderr.text


def test_what_it_took_counts_for_the_limit(run: RunTail, sandbox: Sandbox) -> None:
    sandbox.faults.delay_api(LICENSES, 3.0, calls=1)
    began = time.monotonic()
    run("-l", "1229", "--for", "4s")
    assert time.monotonic() - began < 3 + 4


# --- what the account does not have

MISSING: dict[str, tuple[list[str], str]] = {
    "licence": (["-l", "1229", "-l", "9999"], "this account has no licence 9999; it has: 1229"),
    "closest first": (["-l", "1229", "-l", "1351"], "has no licence 1351; it has: 1315, 1229,"),
    "messenger": (
        ["-m", "telegram", "-m", "whatsapp"],
        "no active licence of this account has the messenger whatsapp; there are: grWhatsApp,",
    ),
    "inactive": (["-l", "1229", "-l", "1402"], "licence 1402 is not active"),
    "channel": (
        ["-l", "1229", "-c", "1230/telegram"],
        "licence 1230 has: caWhatsApp; you asked for telegram",
    ),
    "channel of an inactive licence": (
        ["--all", "-c", "1402/telegram"],
        "licence 1402 is not active",
    ),
    "both given": (["--all", "-l", "9999", "-m", "telegram", "-m", "max"], "no licence 9999"),
}


@pytest.mark.defect("U1")
@pytest.mark.parametrize(("argv", "said"), MISSING.values(), ids=MISSING)
def test_what_is_missing_is_said(argv: list[str], said: str, start: StartTail) -> None:
    tail = start(*argv)
    tail.stderr.wait_for("ready")
    warnings = [line for line in tail.stderr.all if "warning: " in line]
    assert len(warnings) == 1, tail.stderr.text
    assert said in warnings[0]


@pytest.mark.defect("U1")
@pytest.mark.parametrize(("argv", "said"), MISSING.values(), ids=MISSING)
def test_what_is_missing_ends_a_strict_tail(
    argv: list[str], said: str, run: RunTail, sandbox: Sandbox
) -> None:
    done = run(*argv, "--strict")
    assert (done.returncode, done.stdout) == (5, "")
    is_one_line(done.stderr, said)
    assert sandbox.connections == 0


def test_what_is_missing_is_a_record_in_json(start: StartTail) -> None:
    tail = start("-l", "1229", "-l", "9999", "--log-format", "json")
    record = json.loads(tail.stderr.take())
    assert (record["type"], record["state"], record["channel"]) == ("status", "warning", None)
    assert "no licence 9999" in record["reason"]


def test_a_pair_asks_for_no_licences(start: StartTail, sandbox: Sandbox) -> None:
    """No request that nobody asked for: what the service confirms is not doubted."""
    tail = start(*SELECT, "-c", "1402/telegram", "-v")
    tail.stderr.wait_for("ready: 2 channels")
    assert sandbox.api_requests(LICENSES) == 0


@pytest.mark.parametrize("argv", [["--all"], ["-l", "1229"], ["-m", "avito", "-m", "telegram"]])
def test_nothing_is_said_where_nothing_is_missing(
    argv: list[str], start: StartTail, sandbox: Sandbox
) -> None:
    tail = start(*argv, "--strict")
    sandbox.wait_for(lambda s: s.open_sockets, scaled(10))
    assert tail.stderr.text == ""
