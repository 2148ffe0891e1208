"""What a destination refused is on disk with its reason, and comes back as it was."""

import io
import json
import os
import stat
from pathlib import Path

import jsonschema
import msgspec
import pytest

from chatapp_tail import redaction
from chatapp_tail.chatapp.records import DecodedEvent, Record, Source, decode
from chatapp_tail.errors import ExitStatus, OutputError
from chatapp_tail.formats.ndjson import encode
from chatapp_tail.formats.schema import schema
from chatapp_tail.items import ChannelEvent
from chatapp_tail.replay import Broken, read_saved
from chatapp_tail.sinks.dead_letters import LONGEST_REASON, DeadLetters, dead_letters_path
from chatapp_tail.sinks.delivery import Delivery, Refused

CHANNEL = "private-v1.licenses.1229.messengers.telegram"
RECEIVED = 1637319283_123456000
FIRST = 1637319284_000001000
NOW = 1637319285_000002000


def records(*items: str) -> list[Record]:
    data = f'{{"queue":"Q","payload":{{"data":[{",".join(items)}]}}}}'
    return decode(ChannelEvent(RECEIVED, "message", CHANNEL, data.encode())).records


def refused(
    *items: str, status: int | None = 422, reason: str = "422 Unprocessable Content"
) -> Refused:
    kept = records(*(items or ('{"id":1}',)))
    return Refused(Delivery(7, "chat", kept, b"body"), status, reason, 3, FIRST)


def append(path: Path, *letters: Refused) -> None:
    DeadLetters(path).append(letters, "http://localhost:3000/x", now=lambda: NOW)


def replayed(content: bytes) -> tuple[list[DecodedEvent], list[Broken]]:
    broken: list[Broken] = []
    found = read_saved(["-"], broken.append, lambda: None, stdin=io.BytesIO(content))
    return list(found), broken


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "dead-letters" / "bot.ndjson"


def test_a_line_per_record(path: Path) -> None:
    letter = refused('{"id":1,"price":1.10}', "2")
    append(path, letter)
    first, second = path.read_bytes().splitlines()
    assert first == (
        b'{"v":1,"type":"dead","at":"2021-11-19T10:54:45.000002Z",'
        b'"destination":"http://localhost:3000/x","attempts":3,'
        b'"first":"2021-11-19T10:54:44.000001Z","status":422,'
        b'"reason":"422 Unprocessable Content","record":'
        + encode(letter.delivery.records[0])[:-1]
        + b"}"
    )
    assert json.loads(second)["record"]["data"] == 2


@pytest.mark.parametrize("status", [None, 3, 422])
def test_a_dead_letter_is_what_the_schema_says(path: Path, status: int | None) -> None:
    append(path, refused(status=status))
    letter = json.loads(path.read_bytes())
    jsonschema.Draft202012Validator(schema()).validate(letter)
    assert letter["status"] == status


EXACT = ['{"id": 1.10, "b":\t[ ] }', '{"id":1,"text":"\\ud800"}', '{"t":"\\u0416\\/ж"}', "1e400"]


def test_replay_gives_the_same_records(path: Path) -> None:
    letters = [refused(item) for item in EXACT]
    append(path, *letters)
    frames, broken = replayed(path.read_bytes())
    assert not broken
    assert [record for frame in frames for record in frame.records] == [
        msgspec.structs.replace(record, source=Source.REPLAY)
        for letter in letters
        for record in letter.delivery.records
    ]


def test_replay_reads_dead_letters_among_saved_records(path: Path) -> None:
    append(path, refused())
    record = encode(records('{"id":2}')[0])
    frames, broken = replayed(record + path.read_bytes() + b'{"v":1,"type":"gap"}\n' + record)
    assert [frame.records[0].data for frame in frames] == [b'{"id":2}', b'{"id":1}', b'{"id":2}']
    assert not broken


DEAD = b'{"v":1,"type":"dead","record":%b}'
UNREADABLE = [
    (b'{"v":1,"type":"dead"}', "not a JSON object"),
    (DEAD % b"7", "neither a record nor a frame"),
    (DEAD % b'{"v":2,"type":"event"}', "version 2 of records is not known"),
    (DEAD.replace(b"1", b"2") % b"{}", "version 2 of records is not known"),
    (DEAD % b'{"v":1,"type":"event"}', "not a record: "),
    (DEAD % b'"\\ud800"', "not a JSON object"),
]


@pytest.mark.parametrize(("line", "why"), UNREADABLE)
def test_a_dead_letter_without_a_record_is_broken(line: bytes, why: str) -> None:
    found, (broken,) = replayed(line)
    assert not found
    assert broken.reason.startswith(why)


def test_dead_letters_in_dead_letters_are_passed_over() -> None:
    line = b"{}"
    for _ in range(500):
        line = DEAD % line
    assert replayed(line)[0] == []


def test_only_the_owner_may_read_them(path: Path) -> None:
    umask = os.umask(0)
    try:
        append(path, refused())
    finally:
        os.umask(umask)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_they_are_appended_even_after_the_file_was_moved(path: Path) -> None:
    letters = DeadLetters(path)
    letters.append([refused()], "x")
    letters.append([refused()], "x")
    path.rename(path.with_suffix(".1"))
    letters.append([refused()], "x")
    assert len(path.with_suffix(".1").read_bytes().splitlines()) == 2
    assert len(path.read_bytes().splitlines()) == 1


def test_a_torn_line_is_ended_first(path: Path) -> None:
    append(path, refused())
    whole = path.read_bytes()
    path.write_bytes(whole + whole[:40])
    append(path, refused())
    assert path.read_bytes() == whole + whole[:40] + b"\n" + whole
    frames, broken = replayed(path.read_bytes())
    assert (len(frames), len(broken)) == (2, 1)


def test_they_are_synced_before_append_returns(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[int] = []
    sync = os.fsync

    def noting(descriptor: int) -> None:
        sizes.append(os.fstat(descriptor).st_size)
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", noting)
    append(path, refused(), refused())
    assert len(sizes) == 2, "the new file's directory, then the file"
    assert sizes[-1] == path.stat().st_size


def test_a_reason_is_short_and_without_secrets(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redaction, "_lasting", set())
    redaction.register("hunter2-hunter2")
    append(path, refused(reason="not with hunter2-hunter2\n\x1b[31m\ud800" + "x" * 1000))
    reason = json.loads(path.read_bytes())["reason"]
    assert reason.startswith("not with [secret]\n\x1b[31m?xxx")
    assert len(reason) == LONGEST_REASON
    assert path.read_bytes().isascii()
    assert b"\x1b" not in path.read_bytes()


@pytest.mark.parametrize(
    ("where", "why"), [("/dev/full", "No space left"), ("/dev/null/x", "Not a directory")]
)
def test_what_cannot_be_written_ends_the_run(where: str, why: str) -> None:
    with pytest.raises(OutputError, match=f"cannot write dead letters to {where}: {why}") as caught:
        append(Path(where), refused())
    assert caught.value.exit_status is ExitStatus.OUTPUT_FAILED


def test_a_pipe_keeps_nothing(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OutputError, match=r"pipe: it is not a file"):
        append(tmp_path / "pipe", refused())


def test_they_may_be_thrown_away() -> None:
    append(Path("/dev/null"), refused())


def test_where_they_are(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    assert dead_letters_path("bot") == tmp_path / "chatapp-tail/dead-letters/bot.ndjson"
    monkeypatch.setenv("XDG_STATE_HOME", "")
    monkeypatch.setenv("HOME", "")
    with pytest.raises(OutputError, match="set HOME or XDG_STATE_HOME"):
        dead_letters_path("bot")
