"""An API, a gateway, a proxy or a disk that misbehaves, as a user meets it: status and words."""

import json
import re
import shutil
import signal
import socket
import threading
from contextlib import suppress
from pathlib import Path

import pytest

from chatapp_tail.sandbox import Sandbox
from tests.conformance.server import Peer
from tests.conformance.server import Server as Pusher
from tests.conftest import RunTail, StartTail, wait_until
from tests.factories import log_in, stored
from tests.servers import Answer, HttpEndpoint
from tests.shell.conftest import (
    CHANNEL,
    SELECT,
    is_one_line,
    publish,
    reaching,
    scaled,
    subscribed,
    who,
    without_token,
)
from tests.shell.test_history import cut, said
from tests.shell.test_proxy import relaying

LICENSES, CHECK = "/v1/licenses", "/v1/tokens/check"
HTML = "<html><h1>502 Bad Gateway</h1>nginx</html>"


# --- answers


@pytest.mark.parametrize("argv", [["lines"], ["--all"], ["doctor"]], ids=" ".join)
@pytest.mark.defect("A.2")
def test_another_encoding_is_no_traceback(argv: list[str], run: RunTail, sandbox: Sandbox) -> None:
    body = '{"message":"Сервис недоступен"}'.encode("windows-1251")
    sandbox.faults.answer_api(LICENSES, 403, body)
    done = run(*argv)
    assert done.returncode == 4
    assert "Traceback" not in done.stderr
    assert "/v1/licenses answered 403" in done.stderr + done.stdout


@pytest.mark.defect("A2.23a")
def test_a_name_with_half_an_emoji_hides_no_licence(run: RunTail, sandbox: Sandbox) -> None:
    deep = "[" * 50_000 + "]" * 50_000
    entries = (
        '{"licenseId":1,"licenseName":"a \\ud83d","messenger":[{"type":"max"}]}',
        f'{{"licenseId":2,"licenseName":{deep},"messenger":[{{"type":"max"}}]}}',
        '{"licenseId":1229,"licenseName":"good","messenger":[{"type":"telegram"}]}',
    )
    body = f'{{"success":true,"data":[{",".join(entries)}]}}'
    sandbox.faults.answer_api(LICENSES, 200, body)
    done = run("lines", "-o", "json")
    assert (done.returncode, done.stderr) == (0, "")
    names = {each["license"]: each["name"] for each in map(json.loads, done.stdout.splitlines())}
    assert names == {1: "a ?", 2: None, 1229: "good"}
    assert run("--all", "--for", "1s").returncode == 0


@pytest.mark.defect("A.7b")
def test_a_page_in_the_place_of_a_refresh_ends_nothing(
    start_tail: StartTail, sandbox: Sandbox, home: Path
) -> None:
    log_in(sandbox, home)
    sandbox.expire_access_tokens()
    sandbox.faults.answer_api("/v1/tokens/refresh", 403, HTML, calls=2)
    tail = start_tail(*SELECT, env=without_token(sandbox))
    tail.stderr.wait_for("/v1/tokens/refresh answered 403; asking again")
    subscribed(sandbox)
    publish(sandbox, [1])
    tail.stdout.take()
    assert sandbox.tokens_refreshed == 1


@pytest.mark.parametrize("status", [403, 404])
@pytest.mark.defect("A2.16a", "A.7a")
def test_a_page_in_the_place_of_a_signature_is_said_and_asked_again(
    status: int, start: StartTail, sandbox: Sandbox
) -> None:
    sandbox.faults.answer_auth(status, HTML, calls=2)
    tail = start(*SELECT)
    tail.stderr.wait_for(f"answered {status}, which is not ChatApp's own .* --api-url right")
    subscribed(sandbox)
    tail.send_signal(signal.SIGTERM)
    assert tail.wait() == -signal.SIGTERM


# --- certificates

COMMANDS = [["lines"], [*SELECT], ["--all"], ["doctor"]]


@pytest.mark.parametrize("argv", COMMANDS, ids=" ".join)
@pytest.mark.parametrize("variable", ["REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE"])
@pytest.mark.defect("A.9")
def test_authorities_that_are_not_there_are_named(
    variable: str, argv: list[str], run_tail: RunTail, closed_port: int, tmp_path: Path
) -> None:
    nowhere = str(tmp_path / "nowhere.pem")
    env = {
        "CHATAPP_API_URL": f"https://127.0.0.1:{closed_port}",
        "CHATAPP_TOKEN": "made-up",
        variable: nowhere,
    }
    done = run_tail(*argv, env=env)
    assert (done.returncode, done.stdout) == (2, "")
    is_one_line(done.stderr, variable, nowhere, "--ca-file")


@pytest.mark.defect("A.9")
def test_authorities_that_are_none_are_one_line(
    run_tail: RunTail, closed_port: int, tmp_path: Path
) -> None:
    (tmp_path / "ca.pem").write_text("no certificate\n")
    env = {
        "CHATAPP_API_URL": f"https://127.0.0.1:{closed_port}",
        "CHATAPP_TOKEN": "made-up",
        "REQUESTS_CA_BUNDLE": str(tmp_path / "ca.pem"),
    }
    done = run_tail("lines", env=env)
    assert (done.returncode, done.stdout) == (4, "")
    is_one_line(done.stderr, str(tmp_path / "ca.pem"), "cannot be read")


@pytest.mark.defect("A.9")
def test_authorities_may_vanish_under_a_running_tail(start_tail: StartTail, tmp_path: Path) -> None:
    with Sandbox(tls=True) as sandbox:
        env = reaching(sandbox)
        bundle = Path(shutil.copy(env["CHATAPP_TAIL_CA_FILE"], tmp_path / "ca.pem"))
        tail = start_tail(*SELECT, "-n", "1", env={**env, "CHATAPP_TAIL_CA_FILE": str(bundle)})
        subscribed(sandbox)
        bundle.unlink()
        cut(sandbox)
        said(sandbox, 1)
        sandbox.faults.clear()
        assert tail.wait(timeout=30) == 0
        assert json.loads(tail.stdout.text)["source"] == "backfill"


def untrusted(sandbox: Sandbox, other: Sandbox) -> dict[str, str]:
    """The environment in which the socket is well, and the API has a certificate of nobody."""
    return {**reaching(sandbox), "CHATAPP_API_URL": other.api_url}


@pytest.mark.parametrize("proxied", [False, True], ids=["direct", "behind a proxy"])
@pytest.mark.parametrize("argv", [[*SELECT], ["--all"], ["lines"]], ids=" ".join)
@pytest.mark.defect("A2.23e")
def test_an_api_that_is_not_trusted_ends_it(
    argv: list[str], proxied: bool, run_tail: RunTail, sandbox: Sandbox
) -> None:
    with Sandbox(tls=True) as other, relaying("http") as relay:
        extra = ("--proxy", f"http://{relay.place}") if proxied else ()
        done = run_tail(*argv, *extra, env=untrusted(sandbox, other), timeout=15)
        assert bool(relay.seen) == proxied
    assert (done.returncode, done.stdout) == (4, "")
    last = done.stderr.splitlines(keepends=True)[-1]
    is_one_line(last, "certificate is not trusted (", "issuer", other.api_url)
    assert last.count("--ca-file") == 1


@pytest.mark.defect("A2.23e")
def test_an_api_that_was_trusted_is_asked_again(start_tail: StartTail, sandbox: Sandbox) -> None:
    """Something that answers in its place for a while does not end a tail that was ready."""
    with Sandbox(tls=True) as good, Sandbox(tls=True) as other:
        places = {"good": good.api_url, "other": other.api_url}
        with Switch(places["good"]) as switch:
            env = {
                **reaching(sandbox),
                "CHATAPP_API_URL": f"https://127.0.0.1:{switch.port}",
                "CHATAPP_TAIL_CA_FILE": str(good.ca_file),
                "CHATAPP_TOKEN": good.token,
                "CHATAPP_TAIL_APP_KEY": sandbox.app_key,
            }
            tail = start_tail("-c", "news", "-c", CHANNEL, env=env)
            tail.stderr.wait_for("refused|Invalid|asking again|ready")
            switch.lead_to(places["other"])
            sandbox.abort_sockets()
            tail.stderr.wait_for(r"certificate is not trusted .*; asking again")
            tail.send_signal(signal.SIGTERM)
            assert tail.wait() == -signal.SIGTERM


class Switch:
    """A port that leads to one server, and later to another."""

    def __init__(self, url: str) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._open: list[socket.socket] = []
        self._url = url
        threading.Thread(target=self._accept, daemon=True).start()

    def lead_to(self, url: str) -> None:
        self._url = url
        self._end_all()

    def _end_all(self) -> None:
        for sock in self._open:
            with suppress(OSError):  # it may have ended
                sock.shutdown(socket.SHUT_RDWR)
        self._open.clear()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            far = socket.create_connection(("127.0.0.1", int(self._url.rpartition(":")[2])))
            self._open += [near, far]
            for one, other in ((near, far), (far, near)):
                threading.Thread(target=_pump, args=(one, other), daemon=True).start()

    def __enter__(self) -> "Switch":
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._end_all()


def _pump(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError), source:
        while data := source.recv(65536):
            target.sendall(data)
        target.shutdown(socket.SHUT_RDWR)


# --- what others may see


@pytest.mark.parametrize("mode", [0o600, 0o400, 0o640, 0o604, 0o602])
@pytest.mark.defect("A2.23h")
def test_a_token_file_that_others_can_read_is_warned_of(
    mode: int, run: RunTail, sandbox: Sandbox, tmp_path: Path
) -> None:
    file = tmp_path / "token"
    file.write_text(sandbox.token)
    file.chmod(mode)
    for argv in (["lines"], ["doctor"], [*SELECT, "--for", "500ms"]):
        done = run(*argv, "--token-file", str(file))
        assert done.returncode == 0
        if mode & 0o077:
            is_one_line(done.stderr, "warning: " * (argv[0] == SELECT[0]), str(file), "chmod 600")
        else:
            assert done.stderr == ""


@pytest.mark.parametrize("mode", [0o600, 0o644])
@pytest.mark.defect("A2.23h")
def test_a_password_file_that_others_can_read_is_warned_of(
    mode: int, run_tail: RunTail, sandbox: Sandbox, tmp_path: Path
) -> None:
    file = tmp_path / "password"
    file.write_text(sandbox.password)
    file.chmod(mode)
    argv = ("login", *who(sandbox), "--password-file", str(file))
    done = run_tail(*argv, env=without_token(sandbox))
    assert done.returncode == 0
    assert ("chmod 600" in done.stderr) == (mode == 0o644)


@pytest.mark.defect("A2.23h")
def test_a_token_in_clear_is_warned_of(run_tail: RunTail) -> None:
    env = {"CHATAPP_TOKEN": "made-up", "CHATAPP_API_URL": "http://api.invalid"}
    urls = ("--ws-url", "ws://socket.invalid", "--ws-url", "ws://127.0.0.1:1")
    done = run_tail(*SELECT, *urls, "--no-reconnect", env=env)
    assert done.returncode == 4
    warnings = [line for line in done.stderr.splitlines() if "not encrypted" in line]
    assert len(warnings) == 2
    assert "http://api.invalid" in warnings[0]
    assert "ws://socket.invalid" in warnings[1]
    assert "127.0.0.1" not in "".join(warnings)
    quiet = run_tail(*SELECT, *urls, "-q", "--no-reconnect", env=env)
    assert quiet.stderr.count("\n") == 1


# --- secrets that are repeated


def repeating(token: str) -> dict[str, tuple[int, str, dict[str, str]]]:
    """Answers that hold what they were sent, by where they hold it."""
    quoted = json.dumps(token).replace("/", "\\/")
    return {
        "code": (403, f'{{"success":false,"error":{{"code":{quoted}}}}}', {}),
        "message of an error": (403, f'{{"error":{{"message":{quoted}}}}}', {}),
        "message": (403, f'{{"message":{quoted}}}', {}),
        "error": (400, f'{{"error":{quoted}}}', {}),
        "Location": (302, "", {"Location": f"https://other.invalid/?token={token}"}),
        "in passing": (503, f'{{"message":{quoted}}}', {}),
    }


@pytest.mark.parametrize("where", repeating(""))
@pytest.mark.defect("A2.21")
def test_a_token_that_the_api_repeats_is_not_shown(
    where: str, run: RunTail, sandbox: Sandbox
) -> None:
    status, body, headers = repeating(sandbox.token)[where]
    sandbox.faults.answer_api(LICENSES, status, body, headers, calls=100)
    sandbox.faults.answer_auth(status, body, headers, calls=100)
    for argv in (
        [*SELECT, "--meta", "-vv", "--for", "1s"],
        [*SELECT, "--log-format", "json", "--for", "1s"],
        ["doctor"],
        ["doctor", "-o", "json"],
        *([["lines"]] if status != 503 else []),
    ):
        done = run(*argv)
        shown = done.stdout + done.stderr
        assert str(status) in shown
        for form in (sandbox.token, sandbox.token.replace("/", "\\/"), json.dumps(sandbox.token)):
            assert form not in shown, argv


@pytest.mark.defect("A2.21")
def test_a_password_that_the_api_repeats_is_not_shown(
    run_tail: RunTail, sandbox: Sandbox, tmp_path: Path
) -> None:
    body = json.dumps({"message": f"the password {sandbox.password} is wrong"})
    sandbox.faults.answer_api("/v1/tokens", 422, body)
    env = {**without_token(sandbox), "CHATAPP_PASSWORD": sandbox.password}
    done = run_tail("login", *who(sandbox), env=env)
    assert done.returncode == 3
    assert "the password [secret] is wrong" in done.stderr


@pytest.mark.parametrize("argv", [[*SELECT, "--no-reconnect"], ["lines"]], ids=" ".join)
@pytest.mark.defect("A2.21")
def test_a_password_that_a_proxy_repeats_is_not_shown(argv: list[str], run_tail: RunTail) -> None:
    env = {
        "CHATAPP_WS_URL": "wss://socket.invalid",
        "CHATAPP_API_URL": "https://api.invalid",
        "CHATAPP_TOKEN": "made-up",
    }
    basic = "dXNlcjpnZWhlaW0tcEBzcw=="
    with relaying("http", answer=f"HTTP/1.1 407 no geheim-p@ss geheim-p%40ss {basic}") as relay:
        proxy = f"http://user:geheim-p%40ss@{relay.place}"
        done = run_tail(*argv, "--proxy", proxy, env=env)
    assert done.returncode == 4
    assert "407" in done.stderr
    assert "geheim" not in done.stderr
    assert basic not in done.stderr


@pytest.mark.parametrize("log_format", ["text", "json"])
@pytest.mark.defect("A2.21")
def test_a_signature_that_the_server_repeats_as_it_ends_the_link_is_not_shown(
    log_format: str, start_tail: StartTail
) -> None:
    def script(peer: Peer) -> None:
        peer.upgrade()
        peer.establish()
        peer.wait_event("pusher:subscribe")
        peer.error(4100, "Expected HMAC, but got 5ec2e75ec2e7")
        peer.fin()

    answer = Answer(body=json.dumps({"auth": "MadeUpKey:5ec2e75ec2e7"}))
    with HttpEndpoint(lambda _: answer) as endpoint, Pusher(script) as server:
        urls = ("--ws-url", server.url, "--api-url", endpoint.url)
        tail = start_tail(
            *(*SELECT, *urls, "--meta", "--no-reconnect", "-vv", "--log-format", log_format),
            env={"CHATAPP_TOKEN": "made-up"},
        )
        assert tail.wait() == 4
    assert "Expected HMAC" in tail.stderr.text
    assert "5ec2e7" not in tail.stderr.text + tail.stdout.text


# --- names that do something to a terminal

HOSTILE = "\x1b[2J\x07x\nchatapp-tail: ready: all is well"


@pytest.mark.parametrize("auth", [200, 403])
@pytest.mark.defect("A2.22")
def test_a_messenger_type_does_nothing_to_a_terminal(
    auth: int, run: RunTail, sandbox: Sandbox
) -> None:
    entry = {"licenseId": 1, "licenseName": HOSTILE, "messenger": [{"type": HOSTILE}]}
    sandbox.faults.answer_api(LICENSES, 200, json.dumps({"success": True, "data": [entry]}))
    sandbox.faults.answer_auth(auth, '{"message":"no"}' if auth == 403 else '{"auth":"k:s"}')
    for argv in (
        ["--all", "-v", "--for", "1s"],
        ["--all", "--for", "1s", "--strict"],
        ["-l", "1", "-m", "telegram", "--for", "1s"],
        ["-l", "7", "--for", "1s"],
        ["-m", "telegram", "--for", "1s"],
        ["doctor", "-l", "1", "-m", "telegram"],
    ):
        done = run(*argv)
        assert not re.search(r"[\x1b\x07]", done.stderr + done.stdout), argv
        assert "\nchatapp-tail: ready: all is well" not in done.stderr, argv


# --- the disk and the program itself

FULL_DISK = """\
import errno, os
from pathlib import Path
fsync = os.fsync
def full(descriptor):
    if Path({flag!r}).exists():
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    fsync(descriptor)
os.fsync = full
"""


@pytest.mark.defect("A2.17")
def test_a_full_disk_costs_no_login(
    start_tail: StartTail, sandbox: Sandbox, home: Path, tmp_path: Path
) -> None:
    flag = tmp_path / "full"
    flag.touch()
    (tmp_path / "sitecustomize.py").write_text(FULL_DISK.format(flag=str(flag)))
    before = log_in(sandbox, home)
    sandbox.expire_access_tokens()
    tail = start_tail(*SELECT, env={**without_token(sandbox), "PYTHONPATH": str(tmp_path)})
    tail.stderr.wait_for("tokens.json: No space left on device; asking again", count=2)
    assert sandbox.tokens_refreshed == 0
    flag.unlink()
    subscribed(sandbox)
    assert sandbox.tokens_refreshed == 1
    assert stored(home) != before


FROZEN = """\
import sys, threading, time
from pathlib import Path
class Gone:
    def find_spec(self, name, path=None, target=None):
        if Path({flag!r}).exists():
            raise ImportError(f"No module named {{name!r}}", name=name)
def complete(name):
    return name in sys.modules and not getattr(sys.modules[name].__spec__, "_initializing", False)
def watch():
    while not complete("filelock") or not complete("chatapp_tail.history.recovery"):
        time.sleep(0.05)
    Path({done!r}).touch()
sys.meta_path.insert(0, Gone())
threading.Thread(target=watch, daemon=True).start()
"""


@pytest.mark.defect("A2.18")
def test_an_upgrade_in_place_does_not_end_a_tail_at_its_next_gap(
    start_tail: StartTail, sandbox: Sandbox, home: Path, tmp_path: Path
) -> None:
    """From a few seconds after it was ready on, no module can be found any more."""
    flag, done = tmp_path / "upgraded", tmp_path / "imported"
    (tmp_path / "sitecustomize.py").write_text(FROZEN.format(flag=str(flag), done=str(done)))
    log_in(sandbox, home)
    env = {**without_token(sandbox), "PYTHONPATH": str(tmp_path)}
    tail = start_tail(*SELECT, "--meta", "-n", "2", env=env)
    subscribed(sandbox)
    wait_until(done.exists, "the imports", timeout=20)
    flag.touch()
    cut(sandbox)
    said(sandbox, 1)
    sandbox.expire_access_tokens()
    sandbox.faults.clear()
    sandbox.wait_subscribed(CHANNEL, scaled(20))
    tail.stdout.wait_for('"source":"backfill"', timeout=20)
    publish(sandbox, [2])
    assert tail.wait(timeout=20) == 0, tail.stderr.text
    assert "Traceback" not in tail.stderr.text
    assert sandbox.tokens_refreshed == 1


@pytest.mark.defect("A2.18")
def test_a_gap_whose_reader_cannot_be_imported_is_said_to_be_open(
    subscribed_tail: StartTail, sandbox: Sandbox, tmp_path: Path
) -> None:
    flag = tmp_path / "upgraded"
    source = FROZEN.format(flag=str(flag), done=str(tmp_path / "done"))
    source = source.replace("exists():", "exists() and name.startswith('chatapp_tail.'):")
    (tmp_path / "sitecustomize.py").write_text(source)
    tail = subscribed_tail("-n", "1", env={"PYTHONPATH": str(tmp_path)})
    flag.touch()
    cut(sandbox)
    sandbox.faults.clear()
    tail.stderr.wait_for(
        r"gap: .* may be missing: .* history cannot be read: No module named 'chatapp_tail"
    )
    subscribed(sandbox)
    publish(sandbox, [1])
    assert tail.wait() == 0


@pytest.mark.defect("A2.18")
def test_what_cannot_be_imported_is_asked_again(
    start: StartTail, sandbox: Sandbox, tmp_path: Path
) -> None:
    """The call that signs fails while an upgrade has the program in pieces."""
    flag = tmp_path / "upgraded"
    flag.touch()
    source = FROZEN.format(flag=str(flag), done=str(tmp_path / "done"))
    source = source.replace("exists():", "exists() and name == 'http.client':")
    (tmp_path / "sitecustomize.py").write_text(source)
    tail = start(*SELECT, env={"PYTHONPATH": str(tmp_path)})
    tail.stderr.wait_for("auth failed: No module named 'http.client'.*; asking again")
    flag.unlink()
    subscribed(sandbox)
