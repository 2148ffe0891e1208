"""What was missed comes back: gaps, --since and --resume, as a user meets them."""

import json
import os
import re
import signal
import sqlite3
import time
from contextlib import closing
from pathlib import Path

import pytest

from chatapp_tail.sandbox import Sandbox
from tests.conftest import LiveProcess, RunTail, StartTail, wait_until
from tests.shell.conftest import (
    AT_ONCE,
    CHANNEL,
    PROMPT,
    SELECT,
    Env,
    StartTailInto,
    StartTerminal,
    is_one_line,
    numbers_in,
    publish,
    read_whole,
    received,
    scaled,
    subscribed,
)

CHATS = "*/chats"
MESSAGES = "*/messages"
HISTORY = "/v1/licenses/1229/messengers/telegram/chats*"
QUICK = ("--ping-interval", "1s", "--pong-timeout", "5s")
FORBIDDEN = '{"success":false,"error":{"code":"ApiForbiddenError","message":"Forbidden"}}'


def said(
    sandbox: Sandbox, number: int, *, ago: float = 0.0, chat: str = "private-7", text: str = "hello"
) -> None:
    """Publish a message that was sent so many seconds ago, whoever listens."""
    item = {
        "id": number,
        "fromMe": False,
        "time": int(time.time() - ago),
        "type": "text",
        "message": {"text": text},
        "chat": {"id": chat, "type": "private", "name": "Anna"},
    }
    meta = {"type": "message", "licenseId": 1229, "messengerType": "telegram"}
    envelope = {"queue": "Telegram.Broadcast.Message", "payload": {"data": [item], "meta": meta}}
    sandbox.publish(CHANNEL, "message", json.dumps(envelope, separators=(",", ":")))


def cut(sandbox: Sandbox) -> None:
    """End the link, and keep it from coming back until the faults are cleared."""
    sandbox.faults.refuse_upgrades(503)
    sandbox.abort_sockets()
    wait_until(lambda: sandbox.subscribers(CHANNEL) == 0, "the link is gone")


def records(tail: LiveProcess) -> list[dict[str, object]]:
    return [json.loads(line) for line in tail.stdout.all]


def ready(tail: LiveProcess) -> None:
    """Wait for a tail with --meta."""
    tail.stdout.wait_for('"state":"ready"')


# --- a gap


def test_the_messages_of_a_gap_come_back_in_order_and_before_live_ones(
    subscribed_tail: StartTail, sandbox: Sandbox
) -> None:
    tail = subscribed_tail(*QUICK, "-n", "5")
    said(sandbox, 1)
    tail.stdout.wait_for('"id":1')
    cut(sandbox)
    for number in (2, 3, 4):
        said(sandbox, number, chat=f"private-{number}")
    sandbox.faults.delay_api(HISTORY, scaled(0.5))
    sandbox.faults.upgrade_script = None
    subscribed(sandbox)
    said(sandbox, 5)
    assert tail.wait() == 0
    assert numbers_in(tail.stdout.text) == [1, 2, 3, 4, 5]
    sources = [record["source"] for record in records(tail)]
    assert sources[:4] == ["live", "backfill", "backfill", "backfill"]


@pytest.mark.defect("A2.11")
def test_the_line_about_a_gap_says_what_came_back_and_what_cannot(
    start: StartTail, sandbox: Sandbox
) -> None:
    tail = start(*SELECT, *QUICK, "--meta")
    ready(tail)
    cut(sandbox)
    said(sandbox, 1)
    sandbox.faults.clear()
    line = tail.stderr.wait_for("gap: ")
    assert re.search(
        r"gap: 1229/telegram from [:\d]+ to [:\d]+ \([\d.]+ s\): recovered 1 message;"
        r" statuses, tags and edits cannot be recovered",
        line,
    )
    gap = json.loads(tail.stdout.wait_for('"type":"gap"'))
    assert (gap["recovered"], gap["missing"]) == (1, None)


def test_live_events_go_first_when_history_takes_too_long(
    subscribed_tail: StartTail, sandbox: Sandbox
) -> None:
    tail = subscribed_tail(*QUICK, "--backfill-wait", "300ms", "-n", "2")
    cut(sandbox)
    said(sandbox, 1)
    sandbox.faults.clear()
    sandbox.faults.delay_api(CHATS, scaled(2))
    subscribed(sandbox)
    said(sandbox, 2)
    assert tail.wait(timeout=15) == 0
    assert [(each["data"]["id"], each["source"]) for each in map(json.loads, tail.stdout.all)] == [
        (2, "live"),
        (1, "backfill"),
    ]


def history_read(sandbox: Sandbox) -> None:
    """Wait until history has been asked for and is asked for no more."""
    wait_until(lambda: sandbox.api_requests(MESSAGES) > 0, "history is asked")
    asked = 0
    while asked < (asked := sandbox.api_requests(HISTORY)):
        time.sleep(scaled(0.7))


@pytest.mark.defect("A.13")
def test_messages_that_were_read_behind_a_slow_reader_go_before_live_ones(
    start_tail_into: StartTailInto, pipe: tuple[int, int], sandbox: Sandbox, env: Env
) -> None:
    read_end, write_end = pipe
    options = ("--backfill-wait", "200ms", "--meta", "-n", "1203")
    tail = start_tail_into(write_end, *SELECT, *QUICK, *options, env=env)
    os.close(write_end)
    subscribed(sandbox)
    long = "x" * 2000
    for number in range(1200):
        said(sandbox, number, ago=600, chat="private-8", text=long)
    received(sandbox)
    cut(sandbox)
    for number in (2001, 2002):
        said(sandbox, number)
    sandbox.faults.clear()
    subscribed(sandbox)
    said(sandbox, 2003)
    received(sandbox)
    history_read(sandbox)
    lines = [json.loads(line) for line in read_whole(read_end).splitlines()]
    assert tail.wait(scaled(10)) == 0
    numbers = [line["data"]["id"] for line in lines if line["type"] == "event"]
    assert numbers == [*range(1200), 2001, 2002, 2003]


@pytest.mark.parametrize("options", [("--no-backfill",), ("-e", "messageStatus")])
def test_history_is_not_asked_for_what_nobody_wants(
    options: tuple[str, ...], subscribed_tail: StartTail, sandbox: Sandbox
) -> None:
    tail = subscribed_tail(*QUICK, *options)
    cut(sandbox)
    said(sandbox, 1)
    sandbox.faults.clear()
    assert "may be missing" in tail.stderr.wait_for("gap: ")
    assert sandbox.api_requests(HISTORY) == 0


def test_without_access_to_history_it_says_why_and_goes_on(
    subscribed_tail: StartTail, sandbox: Sandbox
) -> None:
    sandbox.faults.answer_api(HISTORY, 403, FORBIDDEN)
    tail = subscribed_tail(*QUICK, "-n", "1")
    cut(sandbox)
    said(sandbox, 1)
    sandbox.faults.upgrade_script = None
    line = tail.stderr.wait_for("gap: ")
    assert re.search(r"may be missing: recovered 0 messages; GET \S+/chats answered 403", line)
    said(sandbox, 2)
    assert tail.wait() == 0
    assert numbers_in(tail.stdout.text) == [2]


def test_what_fails_in_passing_is_asked_again(start: StartTail, sandbox: Sandbox) -> None:
    sandbox.faults.answer_api(HISTORY, 429, FORBIDDEN, {"Retry-After": "1"}, calls=1)
    sandbox.faults.answer_api(MESSAGES, 500, "oops", calls=2)
    tail = start(*SELECT, "-n", "1", "--since", "1h")
    said(sandbox, 1, ago=60)
    assert tail.wait(timeout=20) == 0
    assert numbers_in(tail.stdout.text) == [1]


@pytest.mark.defect("A.5", "A2.5")
def test_two_chats_with_the_same_message_id_both_come_back(
    subscribed_tail: StartTail, sandbox: Sandbox
) -> None:
    tail = subscribed_tail(*QUICK, "-n", "4")
    said(sandbox, 696, chat="group-1")
    tail.stdout.wait_for('"id":696')
    cut(sandbox)
    for chat in ("group-2", "group-3"):
        said(sandbox, 696, chat=chat)
    sandbox.faults.clear()
    assert "recovered 2 messages" in tail.stderr.wait_for("gap: ")
    said(sandbox, 696, chat="group-4")
    assert tail.wait() == 0
    chats = [each["data"]["chat"]["id"] for each in map(json.loads, tail.stdout.all)]
    assert sorted(chats) == [f"group-{number}" for number in range(1, 5)]
    assert len({str(record["id"]) for record in records(tail)}) == 4


@pytest.mark.defect("A.14", "A2.11")
def test_a_message_of_history_that_is_edited_at_once_comes_again(
    start: StartTail, sandbox: Sandbox
) -> None:
    said(sandbox, 1, ago=60, text="before")
    tail = start(*SELECT, "--since", "1h", "-n", "2")
    tail.stdout.wait_for("before")
    subscribed(sandbox)
    said(sandbox, 1, ago=60, text="after")
    assert tail.wait() == 0
    texts = [each["data"]["message"]["text"] for each in map(json.loads, tail.stdout.all)]
    assert texts == ["before", "after"]
    first, second = records(tail)
    assert first["id"] == second["id"]


def confirmed() -> bytes:
    """A frame that confirms the channel."""
    return in_frame({"event": "pusher_internal:subscription_succeeded"})


def in_frame(members: dict[str, str]) -> bytes:
    payload = json.dumps({**members, "channel": CHANNEL, "data": "{}"}).encode()
    return bytes([0x81, 126, *len(payload).to_bytes(2, "big")]) + payload


@pytest.mark.defect("A2.7")
def test_gaps_of_one_burst_are_each_said_and_later_ones_filled(
    subscribed_tail: StartTail, sandbox: Sandbox
) -> None:
    tail = subscribed_tail(*QUICK)
    said(sandbox, 1)
    tail.stdout.wait_for('"id":1')
    refused = in_frame({"event": "pusher:subscription_error"})
    sandbox.send_wire(refused + confirmed() + refused + confirmed())
    tail.stderr.wait_for("gap: ")
    for number in (2, 3):
        cut(sandbox)
        said(sandbox, number)
        sandbox.faults.clear()
        tail.stdout.wait_for(f'"id":{number}')
        wait_until(lambda: sandbox.subscribers(CHANNEL) == 1, "the link is back")
    tail.stderr.wait_for("recovered 1 message", count=2)
    assert numbers_in(tail.stdout.text) == [1, 2, 3]


# --- while it takes its time


def test_a_line_says_how_far_history_is(start: StartTail, sandbox: Sandbox) -> None:
    said(sandbox, 1, ago=60)
    sandbox.faults.hang_api(MESSAGES)
    tail = start(*SELECT, "--since", "1h")
    assert "reading history: 0 of 1 chats" in tail.stderr.wait_for("history", timeout=15)


def test_a_bar_shows_it_on_a_terminal_and_goes_away(
    start_terminal: StartTerminal, sandbox: Sandbox, env: Env
) -> None:
    said(sandbox, 1, ago=60)
    sandbox.faults.delay_api(MESSAGES, scaled(3), calls=1)
    terminal = start_terminal(*SELECT, "--since", "1h", "-n", "1", env=env)
    terminal.wait_for("━".encode())
    terminal.wait_for(b"reading history: 0 of 1 chats")
    assert terminal.wait(timeout=15) == 0
    assert b"hello" in terminal.shown.rpartition(b"reading history")[2]


@pytest.mark.parametrize("what", [CHATS, MESSAGES])
def test_ctrl_c_ends_it_at_any_time(what: str, start: StartTail, sandbox: Sandbox) -> None:
    said(sandbox, 1, ago=60)
    sandbox.faults.hang_api(what)
    tail = start(*SELECT, "--since", "1h", "--meta")
    wait_until(lambda: sandbox.api_requests(what) > 0, "history is asked")
    tail.stdout.wait_for('"state":"subscribed"')
    tail.send_signal(signal.SIGINT)
    assert tail.wait(timeout=PROMPT) == -signal.SIGINT
    gap = records(tail)[-2]
    assert (gap["type"], gap["missing"]) == ("gap", "it ended before all of history was read")


def test_a_limit_of_time_ends_it_too(run: RunTail, sandbox: Sandbox) -> None:
    said(sandbox, 1, ago=60)
    sandbox.faults.hang_api(CHATS)
    done = run(*SELECT, "--since", "1h", "-n", "1", "--for", "1s")
    assert (done.returncode, done.stdout) == (124, "")


def test_waiting_for_history_is_not_idleness(run: RunTail, sandbox: Sandbox) -> None:
    said(sandbox, 1, ago=60)
    sandbox.faults.delay_api(CHATS, scaled(4), calls=1)
    done = run(*SELECT, "--since", "1h", "--idle", f"{scaled(3)}s")
    assert numbers_in(done.stdout) == [1]


# --- --since


def test_since_shows_what_was_before_and_nothing_older(run: RunTail, sandbox: Sandbox) -> None:
    for number, ago in enumerate((7300, 7100, 10), 1):
        said(sandbox, number, ago=ago)
    done = run(*SELECT, "--since", "2h", "-n", "2")
    assert numbers_in(done.stdout) == [2, 3]


def test_since_a_moment(run: RunTail, sandbox: Sandbox) -> None:
    said(sandbox, 1, ago=100)
    moment = time.strftime("%FT%TZ", time.gmtime(time.time() - 200))
    assert run(*SELECT, "--since", moment, "-n", "1").returncode == 0


def test_raw_output_of_history_has_the_shape_of_a_frame(run: RunTail, sandbox: Sandbox) -> None:
    said(sandbox, 1, ago=60)
    done = run(*SELECT, "--since", "1h", "-n", "1", "-o", "raw")
    frame = json.loads(done.stdout)
    assert frame["payload"]["meta"]["licenseId"] == 1229
    assert [item["id"] for item in frame["payload"]["data"]] == [1]


# --- --resume


def test_a_second_run_goes_on_where_the_first_ended(
    run: RunTail, subscribed_tail: StartTail, sandbox: Sandbox
) -> None:
    first = subscribed_tail("--resume", "-n", "2")
    publish(sandbox, [1, 2])
    assert first.wait() == 0
    wait_until(lambda: sandbox.subscribers(CHANNEL) == 0, "the first is gone")
    for number in (3, 4):
        said(sandbox, number)
    second = run(*SELECT, "--resume", "-n", "2")
    assert numbers_in(second.stdout) == [3, 4]
    third = run(*SELECT, "--resume", "-n", "1", "--for", "3s")
    assert (numbers_in(third.stdout), third.returncode) == ([], 124)


def test_what_a_count_left_over_comes_in_the_next_run(
    run: RunTail, subscribed_tail: StartTail, sandbox: Sandbox
) -> None:
    first = subscribed_tail("--resume=batches", "-n", "1")
    for number in range(1, 6):
        said(sandbox, number)
    assert first.wait() == 0
    rest = [numbers_in(run(*SELECT, "--resume=batches", "-n", "2").stdout) for _ in range(2)]
    assert rest == [[2, 3], [4, 5]]


def test_a_run_that_was_killed_loses_nothing(
    start: StartTail, sandbox: Sandbox, subscribed_tail: StartTail
) -> None:
    first = subscribed_tail("--resume")
    said(sandbox, 1)
    first.stdout.wait_for('"id":1')
    first.send_signal(signal.SIGKILL)
    first.wait()
    said(sandbox, 2)
    second = start(*SELECT, "--resume")
    second.stdout.wait_for('"id":2')
    # The kill may have come between writing and noting that.
    assert numbers_in(second.stdout.text) in ([2], [1, 2])


@pytest.mark.defect("U12")
def test_a_new_name_brings_nothing_from_before_its_first_run(
    run: RunTail, subscribed_tail: StartTail, sandbox: Sandbox
) -> None:
    said(sandbox, 1, ago=7)
    said(sandbox, 2, ago=4)
    first = subscribed_tail("--resume=new", "-n", "1")
    said(sandbox, 3)
    assert first.wait() == 0
    said(sandbox, 4)
    second = run(*SELECT, "--resume=new", "-n", "1")
    assert numbers_in(second.stdout) == [4]
    third = run(*SELECT, "--resume=new", "--for", f"{scaled(2)}s")
    assert numbers_in(third.stdout) == []


def mark_of(home: Path, name: str = "default") -> int:
    """Until when all of the channel is written, by the checkpoint of that name."""
    path = home / f".local/state/chatapp-tail/resume/{name}.sqlite"
    with closing(sqlite3.connect(path)) as database:
        ((until,),) = database.execute("SELECT until FROM mark")
    return int(until)


@pytest.mark.defect("A2.19a")
def test_short_runs_advance_and_ask_for_no_more_each_time(
    home: Path, run: RunTail, sandbox: Sandbox
) -> None:
    run(*SELECT, "--resume", "--for", "1s")
    marks, requests = [], []
    for number in range(3):
        said(sandbox, number)
        before = sandbox.api_requests(HISTORY)
        # The only pong comes while the gap still holds the mark.
        sandbox.faults.delay_api(CHATS, scaled(2.4), calls=1)
        options = ("--backfill-wait", "100ms", "--ping-interval", f"{scaled(2)}s")
        done = run(*SELECT, "--resume", *options, "--for", f"{scaled(4)}s")
        assert numbers_in(done.stdout) == [number]
        marks.append(mark_of(home))
        requests.append(sandbox.api_requests(HISTORY) - before)
    assert marks == sorted(set(marks))
    assert requests == requests[:1] * 3


@pytest.mark.defect("A.10", "A2.2c")
def test_a_run_whose_clock_was_ahead_costs_the_next_one_nothing(
    home: Path, run: RunTail, subscribed_tail: StartTail, sandbox: Sandbox
) -> None:
    first = subscribed_tail("--resume", "-n", "1")
    said(sandbox, 1)
    assert first.wait() == 0
    path = home / ".local/state/chatapp-tail/resume/default.sqlite"
    with closing(sqlite3.connect(path)) as database:
        database.execute("UPDATE mark SET began = began + 3600e9, until = until + 3600e9")
        database.commit()
    said(sandbox, 2)
    second = run(*SELECT, "--resume", "-n", "1")
    assert numbers_in(second.stdout) == [2]
    assert "the clock was set back" in second.stderr


def test_half_a_line_at_the_end_of_a_file_does_not_spoil_the_next(
    home: Path,
    subscribed_tail: StartTail,
    start_tail_into: StartTailInto,
    sandbox: Sandbox,
    env: Env,
) -> None:
    first = subscribed_tail("--resume", "-n", "1")
    said(sandbox, 1)
    assert first.wait() == 0
    said(sandbox, 2)
    saved = home / "saved.ndjson"
    saved.write_text('{"v":1,"ty')
    with saved.open("ab") as file:
        second = start_tail_into(file.fileno(), *SELECT, "--resume", "-n", "1", env=env)
        assert second.wait(scaled(10)) == 0
    torn, whole = saved.read_text().splitlines()
    assert torn == '{"v":1,"ty'
    assert json.loads(whole)["data"]["id"] == 2


def test_a_second_process_with_the_same_name_is_refused(
    start: StartTail, run: RunTail, sandbox: Sandbox
) -> None:
    start(*SELECT, "--resume=crm")
    subscribed(sandbox)
    second = run(*SELECT, "--resume=crm", timeout=AT_ONCE * 4)
    assert second.returncode == 2
    is_one_line(second.stderr, "another chatapp-tail", "--resume=crm", "--resume=NAME")
    other = run(*SELECT, "--resume=other", "--for", "2s")
    assert other.returncode == 0


def test_a_damaged_checkpoint(home: Path, run: RunTail) -> None:
    checkpoint = home / ".local/state/chatapp-tail/resume/default.sqlite"
    checkpoint.parent.mkdir(parents=True)
    checkpoint.write_text("no database, but long enough to look like one " * 100)
    done = run(*SELECT, "--resume")
    assert done.returncode == 7
    is_one_line(done.stderr, "cannot open the checkpoint", str(checkpoint), "--since")


@pytest.mark.defect("A2.23f")
def test_a_database_of_another_program_in_place_of_the_checkpoint(home: Path, run: RunTail) -> None:
    checkpoint = home / ".local/state/chatapp-tail/resume/default.sqlite"
    checkpoint.parent.mkdir(parents=True)
    with closing(sqlite3.connect(checkpoint)) as database:
        database.execute("CREATE TABLE mark (place TEXT)")
    done = run(*SELECT, "--resume")
    assert done.returncode == 7
    is_one_line(done.stderr, str(checkpoint), "of another program")


def test_a_place_where_no_checkpoint_can_be(home: Path, run: RunTail) -> None:
    (home / "file").write_text("")
    done = run(*SELECT, "--resume", env={"XDG_STATE_HOME": str(home / "file")})
    assert done.returncode == 7
    is_one_line(done.stderr, "cannot open the checkpoint", "Not a directory")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--resume", "--no-backfill"), "contradict"),
        (("--since", "2h", "--no-backfill"), "contradict"),
        (("--resume", "-e", "chatTag"), "your filters exclude them all"),
        (("--since", "2h", "-E", "message"), "your filters exclude them all"),
        (("--since", "2h", "--sandbox"), "starts over each time"),
        (("--since", "tomorrow"), "2026-11-22T08:00"),
        (("--since", "2999-01-01"), "future"),
        (("--resume=../../etc/x",), "letters, digits"),
    ],
)
def test_what_cannot_be_is_refused_before_any_network(
    options: tuple[str, ...], words: str, run_tail: RunTail
) -> None:
    done = run_tail(*SELECT, *options)
    assert done.returncode == 2
    is_one_line(done.stderr, words)


def test_history_that_a_kill_cut_short_is_read_by_the_next_run(
    start: StartTail, run: RunTail, sandbox: Sandbox
) -> None:
    said(sandbox, 1, ago=600)
    sandbox.faults.hang_api(MESSAGES)
    first = start(*SELECT, "--since", "1h", "--resume", "--meta")
    first.stdout.wait_for('"state":"subscribed"')
    wait_until(lambda: sandbox.api_requests(MESSAGES) > 0, "history is asked")
    first.send_signal(signal.SIGKILL)
    first.wait()
    sandbox.faults.clear()
    second = run(*SELECT, "--since", "1h", "--resume", "-n", "1")
    assert numbers_in(second.stdout) == [1]
