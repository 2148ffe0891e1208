"""Every record that is written is what the schema says, and the schema says all of it."""

import json
from typing import Any, get_args

import jsonschema
import pytest

from chatapp_tail import items
from chatapp_tail.chatapp.records import Source, decode
from chatapp_tail.errors import ExitStatus
from chatapp_tail.formats.meta import describe
from chatapp_tail.formats.ndjson import encode
from chatapp_tail.formats.schema import schema
from chatapp_tail.reporting.notices import Level, LogFormat, Notices
from chatapp_tail.reporting.summary import Summary
from chatapp_tail.sinks.dead_letters import format_dead_letters
from chatapp_tail.sinks.delivery import Delivery, Refused
from chatapp_tail.tail.delivery_report import DeliveryReport

SCHEMA = schema()
VALIDATOR = jsonschema.Draft202012Validator(SCHEMA)
AT = 1637319283_123456789

META: list[items.Status | items.Gap] = [
    items.Connecting(AT, "wss://socket.example.invalid:6001"),
    items.Connected(AT, "1234.5678"),
    items.Subscribed(AT, "private-v1.users.685"),
    items.Ready(AT, ["private-v1.users.685"], []),
    items.Refused(AT, "private-v1.users.685", "403"),
    items.ConnectionWarning(AT, "slow"),
    items.ConnectionWarning(AT, "slow", "private-v1.users.685"),
    items.FrameTrace(AT, ">", "{}"),
    items.Idle(AT, 60.0, 1.5, None),
    items.Idle(AT, 60.0, 1.5, 2.5),
    items.Lost(AT, "no answer", 4200, 12.5),
    items.Lost(AT, "no answer", None, None),
    items.Reconnecting(AT, 0.4),
    items.Stopped(AT, items.StopCause.ASKED, ""),
    items.Fetching(AT, 40, 17, 350),
    items.Fetching(AT, 40, 17, 350, "GET / answered 500"),
    items.Gap("private-v1.users.685", AT, AT + 1, "lost"),
    items.Gap("private-v1.users.685", AT, AT + 1, "lost", recovered=3, missing=None),
]


def events() -> list[dict[str, Any]]:
    channel = "private-v1.licenses.1229.messengers.telegram"
    frames = [
        items.ChannelEvent(AT, "message", channel, b'{"queue":"Q","payload":{"data":[1,{}]}}'),
        items.ChannelEvent(AT, "other", None, None),
        items.ChannelEvent(AT, "other", "x", b"plain"),
    ]
    made = [each for frame in frames for source in Source for each in decode(frame, source).records]
    return [json.loads(encode(each)) for each in made]


def busy() -> Summary:
    """Return the summary of a run in which everything happened."""
    summary = Summary()
    summary.tallies["message", "made-up"].records += 2
    summary.tallies["other", None].records += 1
    summary.filtered += 3
    for each in META:
        summary.note(each)
    summary.note(META[3])
    return summary


def notices() -> list[dict[str, Any]]:
    lines: list[str] = []
    said = Notices(lines.append, Level.TRACE, LogFormat.JSON)
    for each in META:
        said.say(each)
    said.inform(Level.INFO, "forwarding to http://localhost:3000/webhook")
    said.end("it is over", ExitStatus.UNREACHABLE)
    for summary in (Summary(), busy()):
        said.summary(summary.sentence(0), summary.figures(7))
    forwarded = DeliveryReport(said.inform, "http://localhost:3000/webhook", kept_in=None)
    said.summary(forwarded.sentence(), Summary().figures(7) | forwarded.figures())
    return [json.loads(line) for line in lines]


def dead_letters() -> list[dict[str, Any]]:
    records = decode(items.ChannelEvent(AT, "message", None, b"{}")).records
    delivery = Delivery(1, "chat", records, b"")
    made = [Refused(delivery, status, "why", 2, AT) for status in (422, None)]
    return [json.loads(line) for each in made for line in format_dead_letters(each, "x", AT)]


RECORDS = [*events(), *map(describe, META), *notices(), *dead_letters()]
NAMES = [f"{each['type']} {each.get('state', '')} {n}" for n, each in enumerate(RECORDS)]


def test_the_schema_is_a_schema() -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    json.dumps(SCHEMA, allow_nan=False)


def test_every_kind_of_record_is_tried() -> None:
    found = {(each["type"], each.get("state")) for each in RECORDS}
    assert len(found) == len(SCHEMA["oneOf"])
    assert {type(each) for each in META} == {*get_args(items.Status), items.Gap}


@pytest.mark.parametrize("record", RECORDS, ids=NAMES)
def test_a_real_record_is_valid(record: dict[str, Any]) -> None:
    VALIDATOR.validate(record)


@pytest.mark.parametrize("record", RECORDS, ids=NAMES)
def test_every_member_of_a_real_record_is_described_in_its_order(record: dict[str, Any]) -> None:
    (fitting,) = [
        each
        for each in SCHEMA["$defs"].values()
        if jsonschema.Draft202012Validator(each).is_valid(record)
    ]
    described = [name for name in fitting["properties"] if name in record]
    if record["type"] == "event":
        described = [*(name for name in described if name not in ("data", "encoding"))]
        described += [name for name in ("encoding", "data") if name in record]
    assert list(record) == described


@pytest.mark.parametrize("record", RECORDS, ids=NAMES)
def test_dropping_a_member_is_noticed(record: dict[str, Any]) -> None:
    optional = {"encoding", *FORWARDED}
    if record["type"] not in ("error", "summary") and record.get("state") != "delivery":
        optional |= {"message"}
    for name in record.keys() - optional:
        assert not VALIDATOR.is_valid({key: record[key] for key in record if key != name}), name


@pytest.mark.parametrize("record", RECORDS, ids=NAMES)
def test_mistyping_a_member_is_noticed(record: dict[str, Any]) -> None:
    for name in record.keys() - {"data"}:
        for wrong in [True, [1], *mistyped(record[name])]:
            assert not VALIDATOR.is_valid(record | {name: wrong}), (name, wrong)


FORWARDED = ("destination", "delivered", "retried", "dead", "waiting")
"""Members that only the summary of a run with a destination has."""


def mistyped(value: object) -> list[object]:
    """Return what cannot stand in the place of `value`."""
    match value:
        case None:
            return [{}]  # text or a number may stand there in other records
        case str():
            return [{}, 1.5]
        case dict():
            # Counts by name, of which there may be none.
            return ["1", 1, None, {"x": "1"}, {"x": -1}, {"x": 1.5}, {"x": None}, {"x": {}}]
        case _:
            return [{}, "1"]


@pytest.mark.parametrize(
    "name", ["seconds", "records", "filtered", "reconnects", "gaps", "recovered", "spool_peak"]
)
def test_a_figure_is_never_below_nothing(name: str) -> None:
    record, *_ = [each for each in RECORDS if each["type"] == "summary"]
    assert VALIDATOR.is_valid(record | {name: 0})
    assert not VALIDATOR.is_valid(record | {name: -1})


@pytest.mark.parametrize("moment", ["2026-11-22", "2026-11-22T08:39:00Z", "now", ""])
def test_a_moment_has_microseconds(moment: str) -> None:
    assert not VALIDATOR.is_valid(events()[0] | {"received": moment})
    assert not VALIDATOR.is_valid(describe(META[0]) | {"at": moment})


@pytest.mark.parametrize("digest", ["", "0" * 11, "0" * 13, "0" * 11 + "A", "0" * 11 + "g"])
def test_a_hash_has_twelve_hexadecimal_digits(digest: str) -> None:
    assert not VALIDATOR.is_valid(events()[0] | {"hash": digest})


def test_members_of_later_releases_are_allowed() -> None:
    for record in RECORDS:
        VALIDATOR.validate(record | {"new": 1})
