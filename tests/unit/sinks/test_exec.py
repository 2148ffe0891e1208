"""A command for each record: what its end means, in which order, and what it is given."""

import os
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from chatapp_tail.chatapp.records import Record, decode
from chatapp_tail.cli.login import PASSWORD_VARIABLE
from chatapp_tail.errors import ExitStatus
from chatapp_tail.items import ChannelEvent
from chatapp_tail.sinks import exec as exec_module
from chatapp_tail.sinks import processes
from chatapp_tail.sinks.delivery import (
    Delivered,
    Delivery,
    Failed,
    Outcome,
    Refused,
    Retried,
    Sink,
    Trouble,
)
from chatapp_tail.sinks.exec import ExecSink, name_of
from tests.conftest import TIMEOUT_SCALE, wait_until

SOON = 10.0 * TIMEOUT_SCALE
SHORT = 0.5 * TIMEOUT_SCALE
"""Seconds in which a shell is well under way."""
CHANNEL = "private-v1.licenses.1229.messengers.telegram"
META = '{"licenseId":1229,"messengerType":"telegram"}'

Start = Callable[..., ExecSink]

linux = pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="no /proc")


@pytest.fixture(params=["pidfd", "threads"])
def waiting(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """How the end of a process is noticed: by its descriptor, or in a thread."""
    if request.param == "threads":
        monkeypatch.delattr(os, "pidfd_open")
        monkeypatch.delattr(os, "memfd_create")
    return str(request.param)


@pytest.fixture
def start() -> Iterator[Start]:
    sinks: list[ExecSink] = []

    def make(command: str, jobs: int = 1, timeout: float = SOON, **settings: Any) -> ExecSink:
        sinks.append(ExecSink(command, jobs=jobs, timeout=timeout, **settings))
        return sinks[-1]

    yield make
    for sink in sinks:
        sink.close()


def record(item: str = '{"id":1,"chat":{"id":42}}', channel: str | None = CHANNEL) -> Record:
    data = f'{{"queue":"Q","payload":{{"data":[{item}],"meta":{META}}}}}'
    return decode(ChannelEvent(10**18, "message", channel, data.encode())).records[0]


def delivery(number: int = 0, key: str = "chat", body: bytes = b"{}\n", **of: Any) -> Delivery:
    return Delivery(number, key, [record(**of)], body)


def take(sink: Sink, count: int, within: float = SOON) -> list[Outcome]:
    """Wait for at least `count` outcomes."""
    outcomes: list[Outcome] = []
    give_up = time.monotonic() + within
    while len(outcomes) < count:
        left = give_up - time.monotonic()
        assert left > 0, outcomes
        select.select([sink], [], [], left)
        outcomes += sink.take()
    return outcomes


def kinds(outcomes: list[Outcome]) -> list[type[Outcome]]:
    return [type(one) for one in outcomes]


def outcome(sink: Sink, given: Delivery | None = None) -> Outcome:
    sink.give([given or delivery()])
    (only,) = take(sink, 1)
    return only


def in_files(directory: Path) -> str:
    """A command that writes what it gets on stdin to a file named after the event's id."""
    return f'cat >"{directory}/$CHATAPP_HASH"'


# What the end of a command means.


def test_status_0_is_delivered(start: Start, waiting: str) -> None:
    given = delivery()
    match outcome(start("exit 0"), given):
        case Delivered(delivered, "exit 0", seconds, 1):
            assert delivered is given
            assert 0 < seconds < SOON
        case other:
            raise AssertionError(other)


ENDS = [
    ("exit 3", 3, "exit status 3"),
    ("exit 255", 255, "exit status 255"),
    ("kill -SEGV $$", None, "killed by SIGSEGV"),
    ("kill -KILL $$", None, "killed by SIGKILL"),
    ("kill -40 $$", None, "killed by signal 40"),
]


@pytest.mark.parametrize(("command", "status", "reason"), ENDS)
def test_any_other_end_is_refused(
    start: Start, waiting: str, command: str, status: int | None, reason: str
) -> None:
    before = time.time_ns()
    match outcome(start(command)):
        case Refused(_, refused_status, said, 1, first_attempt):
            assert (refused_status, said) == (status, reason)
            assert before <= first_attempt <= time.time_ns()
        case other:
            raise AssertionError(other)


WRONG = [
    ("no-such-command x=secret", "exec no-such-command: exit status 127, a command was not found"),
    ("/dev/null", "exec /dev/null: exit status 126, a command cannot be executed"),
    ("exit 126", "exec exit: exit status 126, a command cannot be executed"),
]


@pytest.mark.parametrize(("command", "reason"), WRONG)
def test_a_command_that_cannot_run_is_wrong_for_good(
    start: Start, command: str, reason: str, capfd: pytest.CaptureFixture[str]
) -> None:
    sink = start(command)
    sink.give([delivery(n, str(n)) for n in range(5)])
    assert take(sink, 1) == [Failed(ExitStatus.USAGE, reason)]
    assert not select.select([sink], [], [], 0.2 * TIMEOUT_SCALE)[0], "nothing more is run"


def test_the_shell_is_missing(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "SHELL", "/nowhere/sh")
    failed = outcome(start("true"))
    assert isinstance(failed, Failed)
    assert failed.reason.endswith("No such file or directory")


def test_what_is_refused_does_not_stop_the_next(start: Start) -> None:
    sink = start('test "$(cat)" = good')
    sink.give([delivery(n, body=b"good" if n % 2 else b"bad") for n in range(6)])
    assert kinds(take(sink, 6)) == [Refused, Delivered] * 3


# Status 75: try again.


def test_status_75_is_tried_again_and_its_key_waits(start: Start, tmp_path: Path) -> None:
    marks = f'cd "{tmp_path}"; read n; echo $n >>log'
    sink = start(
        f"{marks}; test $n -gt 0 || {{ echo >>tries; test $(wc -l <tries) = 3 || exit 75; }}"
    )
    sink.give([delivery(0, "a", b"0\n"), delivery(1, "a", b"1\n"), delivery(2, "b", b"2\n")])
    outcomes = take(sink, 5)
    assert (tmp_path / "log").read_text().split() == ["0", "2", "0", "0", "1"]
    tried = [one.reason for one in outcomes if isinstance(one, Retried | Trouble)]
    assert tried == ["exit status 75"] * 2
    delivered = [(o.delivery.number, o.attempts) for o in outcomes if isinstance(o, Delivered)]
    assert delivered == [(2, 1), (0, 3), (1, 1)]


def test_it_is_trouble_when_nothing_else_is_delivered(start: Start) -> None:
    sink = start('read n; test "$n" -gt 0 || exit 75', random=lambda: 1.0)
    sink.give([delivery(0, "a", b"0\n"), delivery(1, "b", b"1\n")])
    retried, delivered, trouble = take(sink, 3)
    assert isinstance(retried, Retried)
    assert retried.retry_in == 0.5
    assert isinstance(delivered, Delivered)
    assert isinstance(trouble, Trouble)
    assert 0 < trouble.retry_in <= 1.0


def test_it_is_no_trouble_while_another_runs(start: Start, tmp_path: Path) -> None:
    wait = f'while ! test -e "{tmp_path}/go"; do sleep 0.01; done'
    sink = start(f"read n; test $n = 0 || exit 75; {wait}", jobs=2)
    sink.give([delivery(0, "a", b"0\n"), delivery(1, "b", b"1\n")])
    assert kinds(take(sink, 1)) == [Retried]
    (tmp_path / "go").touch()


def test_the_last_attempt_is_made_when_the_time_is_over(start: Start) -> None:
    trouble = outcome(start("exit 75", retry_for=SHORT, random=lambda: 1e9))
    assert isinstance(trouble, Trouble)
    assert trouble.retry_in < SHORT


def test_the_pauses_double_up_to_a_minute() -> None:
    longest = [exec_module._longest_pause(attempts) for attempts in (1, 2, 3, 7, 8, 10_000)]
    assert longest == [0.5, 1.0, 2.0, 32.0, 60.0, 60.0]


def test_it_is_refused_when_the_time_is_over(start: Start) -> None:
    sink = start("exit 75", retry_for=0.5, random=lambda: 0.2)
    sink.give([delivery()])
    outcomes = take(sink, 1)
    while not isinstance(refused := outcomes[-1], Refused):
        outcomes += take(sink, 1)
    assert (refused.status, refused.reason) == (75, "exit status 75, for 0.5 s")
    assert refused.attempts == len(outcomes) > 1
    assert kinds(outcomes[:-1]) == [Trouble] * (len(outcomes) - 1)


def test_a_lack_of_resources_is_tried_again(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    spawn, fails = os.posix_spawn, [True, True, False]

    def failing(*arguments: Any, **settings: Any) -> int:
        if fails.pop(0):
            raise BlockingIOError(11, os.strerror(11))
        return spawn(*arguments, **settings)

    monkeypatch.setattr(os, "posix_spawn", failing)
    sink = start("true", random=lambda: 0.0)
    sink.give([delivery()])
    *trouble, delivered = take(sink, 3)
    assert isinstance(delivered, Delivered)
    assert kinds(trouble) == [Trouble, Trouble]


def test_an_id_that_is_too_long_is_refused_alone(start: Start) -> None:
    sink = start("true")
    sink.give([delivery(0, item=f'{{"id":"{"x" * 200_000}","chat":{{"id":1}}}}'), delivery(1)])
    refused, delivered = take(sink, 2)
    assert isinstance(refused, Refused)
    assert "too long" in refused.reason
    assert isinstance(delivered, Delivered)


# Order.


def test_each_key_is_in_order_with_many_jobs(start: Start, tmp_path: Path) -> None:
    sleep = "sleep 0.0$(($$ % 4))"
    sink = start(f'read n key; {sleep}; echo $n >>"{tmp_path}/$key"', jobs=8)
    keys = [f"k{n * n % 7 % 5}" for n in range(100)]
    sink.give([delivery(n, k, f"{n} {k}\n".encode()) for n, k in enumerate(keys)])
    take(sink, 100, 3 * SOON)
    for key in set(keys):
        numbers = [n for n, other in enumerate(keys) if other == key]
        assert (tmp_path / key).read_text().split() == list(map(str, numbers))


def test_as_many_run_at_once_as_there_are_jobs(start: Start, tmp_path: Path) -> None:
    meet = f'cd "{tmp_path}"; touch $$; while test $(ls | wc -l) -lt 4; do sleep 0.01; done'
    sink = start(meet, jobs=4)
    sink.give([delivery(n, str(n)) for n in range(4)])
    assert kinds(take(sink, 4)) == [Delivered] * 4


def test_one_job_runs_one_at_a_time_in_order(start: Start, tmp_path: Path) -> None:
    sink = start(f'cd "{tmp_path}"; mkdir lock || exit 9; cat >>log; sleep 0.005; rmdir lock')
    sink.give([delivery(n, str(n), b"%d\n" % n) for n in range(20)])
    assert kinds(take(sink, 20)) == [Delivered] * 20
    assert (tmp_path / "log").read_text().split() == list(map(str, range(20)))


# What a command is given.

BODIES = [b"", b"{}\n", b"\0\xff\r\n", os.urandom(1024 * 1024), os.urandom(9_000_001)]


@pytest.mark.parametrize("body", BODIES, ids=len)
def test_the_body_is_on_stdin_byte_for_byte(
    start: Start, waiting: str, tmp_path: Path, body: bytes
) -> None:
    assert isinstance(outcome(start(f'cat >"{tmp_path}/body"'), delivery(body=body)), Delivered)
    assert (tmp_path / "body").read_bytes() == body


@pytest.mark.parametrize("command", ["true", "exec <&-", "head -c 1 >/dev/null", "exit 0"])
def test_a_command_need_not_read(start: Start, waiting: str, command: str) -> None:
    assert isinstance(outcome(start(command), delivery(body=b"x" * 1024 * 1024)), Delivered)


def test_a_command_that_reads_slowly_does_not_stall_others(start: Start, tmp_path: Path) -> None:
    wait = f'while ! test -e "{tmp_path}/go"; do sleep 0.01; done'
    sink = start(f"read n; test $n = 1 || {{ {wait}; }}; cat >/dev/null", jobs=2)
    sink.give([delivery(n, str(n), b"%d\n" % n + b"x" * 1024 * 1024) for n in range(2)])
    (first,) = take(sink, 1)
    assert isinstance(first, Delivered)
    assert first.delivery.number == 1
    (tmp_path / "go").touch()
    take(sink, 1)


def environment_of(start: Start, directory: Path, given: Delivery) -> dict[bytes, bytes]:
    assert isinstance(
        outcome(start(f'cat /proc/self/environ >"{directory}/env"'), given), Delivered
    )
    lines = (directory / "env").read_bytes().removesuffix(b"\0").split(b"\0")
    return dict(line.split(b"=", 1) for line in lines)


@linux
def test_the_record_is_in_the_environment(start: Start, tmp_path: Path) -> None:
    given = record('{"id":"m-1","chat":{"id":-100500},"message":{"text":"a word"}}')
    found = environment_of(start, tmp_path, Delivery(1, "k", [given], b""))
    assert {name: value for name, value in found.items() if name.startswith(b"CHATAPP_")} == {
        b"CHATAPP_ID": given.id.encode(),
        b"CHATAPP_HASH": subprocess.run(
            ["sha256sum"], input=given.data, capture_output=True, check=True
        ).stdout[:12],
        b"CHATAPP_EVENT": b"message",
        b"CHATAPP_LICENSE": b"1229",
        b"CHATAPP_MESSENGER": b"telegram",
        b"CHATAPP_CHANNEL": CHANNEL.encode(),
        b"CHATAPP_CHAT": b"-100500",
        b"CHATAPP_SOURCE": b"live",
    }
    assert not [value for value in found.values() if b"a word" in value]


@linux
def test_what_a_record_lacks_is_empty(start: Start, tmp_path: Path) -> None:
    (lacking,) = decode(ChannelEvent(1, "", None, b"plain")).records
    found = environment_of(start, tmp_path, Delivery(1, "k", [lacking], b""))
    for name in (b"EVENT", b"LICENSE", b"MESSENGER", b"CHANNEL", b"CHAT"):
        assert found[b"CHATAPP_" + name] == b""


@linux
def test_any_text_of_the_network_fits_into_the_environment(start: Start, tmp_path: Path) -> None:
    odd = record('{"id":"a\\u0000b\\n=ж","chat":{"id":"\\ud800$(exit 3)"}}')
    found = environment_of(start, tmp_path, Delivery(1, "k", [odd], b""))
    assert found[b"CHATAPP_ID"].endswith(b"ab\n=\xd0\xb6")
    assert found[b"CHATAPP_CHAT"] == b"?$(exit 3)"


SECRETS = {
    "CHATAPP_TOKEN": "$2y$10$hidden",
    PASSWORD_VARIABLE: "hidden",
    "CHATAPP_TAIL_PROXY": "http://user:hidden@proxy",
    "CHATAPP_TAIL_FORWARD_TO": "https://user:hidden@host/",
    "CHATAPP_TAIL_FORWARD_SECRET": "hidden",
    "CHATAPP_TAIL_HEADER": "Authorization: Bearer hidden",
}
KEPT = {"MY_BOT_TOKEN": "mine", "CHATAPP_API_URL": "https://api", "EMPTY": "", "LATIN": "\udce9"}


@linux
def test_secrets_are_not_in_the_environment(
    start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in (SECRETS | KEPT | {"CHATAPP_ID": "stale"}).items():
        monkeypatch.setenv(name, value)
    found = environment_of(start, tmp_path, delivery())
    assert not {name.encode() for name in SECRETS} & found.keys()
    assert not [value for value in found.values() if b"hidden" in value]
    expected = {name.encode(): os.fsencode(value) for name, value in KEPT.items()}
    assert {name: found[name] for name in expected} == expected
    assert found[b"CHATAPP_ID"] == record().id.encode()


@linux
def test_a_command_inherits_no_descriptor_of_ours(start: Start, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)), (tmp_path / "open").open("w"):
        sink = start(f'ls -l /proc/$$/fd >"{tmp_path}/fds"; ls /dev/fd/3 && exit 1; exit 0')
        assert isinstance(outcome(sink), Delivered)
    listed = (tmp_path / "fds").read_text()
    assert "memfd:" in listed
    assert "socket:" not in listed
    assert "/open" not in listed


@linux
def test_signals_are_as_a_shell_has_them(start: Start, tmp_path: Path) -> None:
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
    try:
        sink = start(f'grep ^Sig /proc/self/status >"{tmp_path}/signals"; yes | head -1 >&2')
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    assert isinstance(outcome(sink), Delivered)
    lines = (tmp_path / "signals").read_text().splitlines()
    masks = {
        name: int(mask, 16)
        for name, mask in (line.split(":\t") for line in lines if "Q" not in line)
    }
    assert masks["SigBlk"] == 0
    for signum in (signal.SIGPIPE, signal.SIGXFSZ, signal.SIGTERM):
        assert not masks["SigIgn"] & 1 << signum - 1


@linux
def test_a_command_has_its_own_process_group(start: Start, tmp_path: Path) -> None:
    sink = start(f'cut -d" " -f1,5 /proc/$$/stat >"{tmp_path}/stat"; exit 0')
    assert isinstance(outcome(sink), Delivered)
    process, group = (tmp_path / "stat").read_text().split()
    assert process == group != str(os.getpgrp())


def test_stdout_and_stderr_belong_to_the_command(
    start: Start, capfd: pytest.CaptureFixture[str]
) -> None:
    outcome(start("cat; echo bad >&2"), delivery(body=b"good\n"))
    assert capfd.readouterr() == ("good\n", "bad\n")


# Commands that do not end.


def pids(path: Path, count: int) -> list[int]:
    """Wait for the process ids that a command writes to a file."""
    wait_until(lambda: path.exists() and len(path.read_text().split()) == count, "the processes")
    return [int(pid) for pid in path.read_text().split()]


def alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


STUBBORN = "trap '' TERM; sleep 60 & echo $$ $! >>{0}; wait"
"""It and its child ignore SIGTERM."""
ABANDONING = "(trap '' TERM; exec sleep 60) & echo $$ $! >>{0}; wait"
"""It ends at SIGTERM, its child does not."""


@linux
@pytest.mark.parametrize("command", [STUBBORN, ABANDONING], ids=["stubborn", "abandoning"])
def test_a_command_that_takes_too_long_is_ended_with_its_children(
    start: Start, waiting: str, command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exec_module, "_KILL_AFTER", 0.5)
    sink = start(command.format(tmp_path / "pids"), timeout=SHORT)
    refused = outcome(sink)
    assert isinstance(refused, Refused)
    assert (refused.status, refused.reason) == (None, f"not done within {SHORT:g} s")
    both = pids(tmp_path / "pids", 2)
    wait_until(lambda: not any(map(alive, both)), "both to be killed")


def test_children_may_end_in_their_own_time(
    start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exec_module, "_KILL_AFTER", 2 * SOON)
    end = f"sleep {SHORT}; touch {tmp_path}/ended; exit"
    sink = start(f"(trap '{end}' TERM; while :; do sleep 0.01; done) & wait", timeout=SHORT)
    assert isinstance(outcome(sink), Refused)
    assert not (tmp_path / "ended").exists(), "the delivery is refused as soon as the shell ends"
    wait_until((tmp_path / "ended").exists, "the child")


def test_what_runs_when_one_is_ended_goes_on(start: Start) -> None:
    run = f"read n; test $n = 2 && exit; test $n = 0 && exec sleep 60; exec sleep {2 * SHORT}"
    sink = start(run, jobs=2, timeout=3 * SHORT)
    sink.give([delivery(0, "a", b"0\n")])
    time.sleep(2 * SHORT)
    sink.give([delivery(1, "b", b"1\n"), delivery(2, "a", b"2\n")])
    assert kinds(take(sink, 3)) == [Refused, Delivered, Delivered]


def test_what_a_command_leaves_in_the_background_is_not_waited_for(
    start: Start, tmp_path: Path
) -> None:
    sink = start(f'sleep 60 & echo $! >"{tmp_path}/pids"')
    assert isinstance(outcome(sink), Delivered)
    (pid,) = pids(tmp_path / "pids", 1)
    sink.close()
    assert alive(pid)
    os.kill(pid, signal.SIGKILL)


@linux
@pytest.mark.parametrize("command", [STUBBORN, ABANDONING], ids=["stubborn", "abandoning"])
def test_close_ends_what_runs_within_a_second(
    start: Start, waiting: str, command: str, tmp_path: Path
) -> None:
    sink = start(command.format(tmp_path / "pids"), jobs=8)
    sink.give([delivery(n, str(n)) for n in range(20)])
    running = pids(tmp_path / "pids", 16)
    began = time.monotonic()
    sink.close()
    assert time.monotonic() - began < 1.0 * TIMEOUT_SCALE
    wait_until(lambda: not any(map(alive, running)), "the killed to end")


def test_close_does_not_wait_for_a_pause(start: Start) -> None:
    sink = start("exit 75", random=lambda: 1.0)
    for _ in range(2):
        outcome(sink)
    began = time.monotonic()
    sink.close()
    assert time.monotonic() - began < 0.5 * TIMEOUT_SCALE


# What is left behind.


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


@linux
def test_nothing_is_left_after_many_runs(waiting: str) -> None:
    threads, open_before = threading.active_count(), descriptors()
    sink = ExecSink("exit $(($$ % 2))", jobs=4, timeout=SOON)
    sink.give([delivery(n, str(n % 7)) for n in range(500)])
    take(sink, 500, 6 * SOON)
    assert children() == []
    sink.close()
    assert descriptors() == open_before
    wait_until(lambda: threading.active_count() == threads, "the threads to end")


def children() -> list[int]:
    """The processes of this one, zombies included."""
    listed = Path("/proc/self/task").glob("*/children")
    return [int(pid) for path in listed for pid in path.read_text().split()]


def test_exit_statuses_are_kept_where_a_parent_ignored_the_end_of_children() -> None:
    code = (
        "import signal; signal.signal(signal.SIGCHLD, signal.SIG_IGN)\n"
        "from tests.unit.sinks.test_exec import *\n"
        "sink = ExecSink('exit 3', jobs=1, timeout=SOON)\n"
        "print(outcome(sink).reason)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, timeout=6 * SOON, check=True
    )
    assert done.stdout == b"exit status 3\n"


def test_a_bug_in_the_thread_is_not_silent(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exec_module, "_variables", lambda _: 1 / 0)
    sink = start("true")
    sink.give([delivery()])
    with pytest.raises(ZeroDivisionError):
        take(sink, 1)


NAMES = [
    ("./notify.sh --key s3cret", "exec ./notify.sh"),
    ("TOKEN='a b' curl -H x", "exec curl"),
    ("'unfinished", "exec"),
    ("", "exec"),
    ("x" * 50, "exec " + "x" * 40),
]


@pytest.mark.parametrize(("command", "name"), NAMES)
def test_a_name_has_no_secrets(command: str, name: str) -> None:
    assert name_of(command) == name
