"""Gaps in, messages out: which of them belong to a gap, and that they are as live ones are."""

import json
from collections.abc import Mapping, Sequence

import pytest

from chatapp_tail.chatapp.channels import of_license
from chatapp_tail.chatapp.records import Source, decode
from chatapp_tail.history.rate_limit import RateLimiter
from chatapp_tail.history.reader import History
from chatapp_tail.history.recovery import recover
from chatapp_tail.items import ASKED, NOT_FETCHED, NOT_RUNNING, ChannelEvent, Gap
from chatapp_tail.sandbox import Sandbox
from tests.unit.history.conftest import api

SECOND = 10**9
T = 1_700_000_000
TELEGRAM, WHATSAPP = of_license(1229, "telegram"), of_license(1229, "grWhatsApp")
FOREIGN = of_license(77, "telegram")
FORBIDDEN = '{"success":false,"error":{"code":"ApiForbiddenError","message":"Forbidden"}}'


def envelope(number: int | str, sent: int, chat: str = "a", text: str = "é 🎉") -> str:
    item = {"id": number, "time": sent, "chat": {"id": chat}, "message": {"text": text}}
    meta = {"type": "message", "licenseId": 1229, "messengerType": "telegram"}
    payload = {"data": [item], "meta": meta}
    queue = "Telegram.Broadcast.Message"
    return json.dumps(
        {"queue": queue, "payload": payload}, ensure_ascii=False, separators=(",", ":")
    )


def say(sandbox: Sandbox, number: int, sent: int, channel: str = TELEGRAM, chat: str = "a") -> None:
    sandbox.publish(channel, "message", envelope(number, sent, chat))


def gap(
    since: float, until: float, channel: str = TELEGRAM, reason: str = "the link was lost"
) -> Gap:
    return Gap(channel, round((T + since) * SECOND), round((T + until) * SECOND), reason)


def recovered(
    sandbox: Sandbox, gaps: Sequence[Gap], began: Mapping[str, int] | None = None
) -> list[ChannelEvent | Gap]:
    get = api(sandbox.api_url, sandbox.token).get
    return list(recover(History(get, RateLimiter(0.0)), gaps, began or {}))


def ids(found: Sequence[ChannelEvent | Gap]) -> list[object]:
    return [
        json.loads(record.data)["id"]
        for each in found
        if isinstance(each, ChannelEvent)
        for record in decode(each, Source.BACKFILL).records
    ]


def gaps_in(found: Sequence[ChannelEvent | Gap]) -> list[Gap]:
    return [each for each in found if isinstance(each, Gap)]


# --- which messages


def every_second(sandbox: Sandbox, first: int, last: int) -> None:
    """One message a second, whose id is the second."""
    for second in range(first, last + 1):
        say(sandbox, second, T + second)


def test_messages_some_time_before_and_after_a_gap_are_read_too(sandbox: Sandbox) -> None:
    """A message's own time is by another clock than that of the gap."""
    every_second(sandbox, -60, 160)
    found = recovered(sandbox, [gap(0, 100)])
    assert ids(found) == list(range(-30, 161))
    assert gaps_in(found) == found[-1:]


def test_moments_within_a_second_lose_nothing_of_it(sandbox: Sandbox) -> None:
    every_second(sandbox, -60, 160)
    assert ids(recovered(sandbox, [gap(0.999, 100.001)])) == list(range(-30, 161))


def test_before_an_earlier_run_ended_more_is_read(sandbox: Sandbox) -> None:
    every_second(sandbox, -330, 60)
    assert ids(recovered(sandbox, [gap(0, 10, reason=NOT_RUNNING)])) == list(range(-300, 61))


def test_before_the_moment_that_is_asked_for_nothing_is_read(sandbox: Sandbox) -> None:
    every_second(sandbox, -60, 60)
    assert ids(recovered(sandbox, [gap(0, 10, reason=ASKED)])) == list(range(61))
    assert ids(recovered(sandbox, [gap(0.5, 10, reason=ASKED)])) == list(range(61))


@pytest.mark.parametrize(("began", "first"), [(-10.0, -20), (-9.5, -20), (-90.0, -30)])
def test_what_is_older_than_the_tail_belongs_to_no_gap(
    sandbox: Sandbox, began: float, first: int
) -> None:
    every_second(sandbox, -60, 60)
    began_at = round((T + began) * SECOND)
    found = recovered(sandbox, [gap(0, 10)], {TELEGRAM: began_at, WHATSAPP: 10**20})
    assert ids(found) == list(range(first, 61))


def test_a_gap_of_no_length(sandbox: Sandbox) -> None:
    every_second(sandbox, -60, 60)
    assert ids(recovered(sandbox, [gap(0, 0)])) == list(range(-30, 61))


def test_a_gap_from_the_begin_of_time(sandbox: Sandbox) -> None:
    say(sandbox, 1, 1)
    say(sandbox, 2, T)
    found = recovered(sandbox, [Gap(TELEGRAM, 0, T * SECOND, ASKED)])
    assert ids(found) == [1, 2]
    assert gaps_in(found)[0].missing is None


# --- as live ones


def test_a_recovered_message_is_known_as_its_live_twin_is(sandbox: Sandbox) -> None:
    """A message has the same id whether it comes live or from history."""
    live = ChannelEvent(5, "message", TELEGRAM, envelope("x", T).encode())
    sandbox.publish(TELEGRAM, "message", envelope("x", T))
    event = recovered(sandbox, [gap(0, 10)])[0]
    assert isinstance(event, ChannelEvent)
    (one,), (other,) = decode(event, Source.BACKFILL).records, decode(live).records
    assert (one.id, one.channel, one.event) == (other.id, other.channel, other.event)
    assert (one.license, one.messenger) == (other.license, other.messenger) == (1229, "telegram")
    assert (one.data, one.part, one.parts) == (other.data, 1, 1)
    assert (one.source, one.queue) == (Source.BACKFILL, None)
    assert one.encoding is None


def odd_item(sandbox: Sandbox, item: str | bytes) -> ChannelEvent:
    """The event that is made of an item of such a text."""
    say(sandbox, 1, T)
    item = item.encode() if isinstance(item, str) else item
    sandbox.faults.answer_api("*/messages", 200, b'{"data":{"items":[%b]}}' % item)
    event, end = recovered(sandbox, [gap(0, 10)])
    assert isinstance(event, ChannelEvent)
    assert isinstance(end, Gap)
    return event


@pytest.mark.parametrize(
    "item",
    [
        '{"id":1,"n":1.10,"big":12345678901234567890123,"s":"\\u00e9\\/"}',
        '{"z":1,"a":2,"z":3}',
        r'{"id":"wamid.A==","text":"\ud83d"}',
        "5",
        "[]",
        "{}",
        "null",
        '"text"',
    ],
)
def test_an_item_stays_as_it_is_to_the_letter(sandbox: Sandbox, item: str) -> None:
    (record,) = decode(odd_item(sandbox, item), Source.BACKFILL).records
    assert record.data == item.encode()
    assert record.encoding is None
    assert record.license == 1229


def test_an_item_of_several_lines_is_put_on_one(sandbox: Sandbox) -> None:
    (record,) = decode(
        odd_item(sandbox, '{\r\n "id": 7,"chat":{"id":"a"}\n}'), Source.BACKFILL
    ).records
    assert record.data == b'{   "id": 7,"chat":{"id":"a"} }'
    assert record.id == "message:1229:telegram:a:7"


@pytest.mark.parametrize(
    "item",
    [b'{"id":1,"text":"\xff"}', b'{"id":1,"text":"\xed\xa0\xbd"}', b'{"id":1,"a":"\\ud83d\xff"}'],
)
def test_an_item_that_is_no_utf_8_is_survived_and_never_written(
    sandbox: Sandbox, item: bytes
) -> None:
    """A frame of a WebSocket cannot hold such a thing, an answer over HTTP can."""
    say(sandbox, 1, T)
    sandbox.faults.answer_api("*/messages", 200, b'{"data":{"items":[%b]}}' % item)
    found = recovered(sandbox, [gap(0, 10)])
    for each in found[:-1]:
        assert isinstance(each, ChannelEvent)
        for record in decode(each, Source.BACKFILL).records:
            record.data.decode()
    assert len(found) == 2 or gaps_in(found)[0].missing


# --- each gap at the end


def test_each_gap_comes_once_after_all_messages_and_says_that_none_is_missing(
    sandbox: Sandbox,
) -> None:
    for number in range(40):
        say(sandbox, number, T + number, WHATSAPP if number % 2 else TELEGRAM)
    gaps = [gap(0, 20, WHATSAPP), gap(3, 21), gap(0, 20, of_license(1230, "caWhatsApp"))]
    found = recovered(sandbox, gaps)
    assert ids(found[:-3]) == list(range(40))
    ends = gaps_in(found[-3:])
    assert [(each.channel, each.since, each.until, each.reason) for each in ends] == [
        (each.channel, each.since, each.until, each.reason) for each in gaps
    ]
    assert [each.missing for each in ends] == [None] * 3
    assert [each.recovered for each in ends] == [0] * 3


def test_no_gap_no_request(sandbox: Sandbox) -> None:
    assert recovered(sandbox, []) == []
    assert sandbox.api_requests() == 0


def test_two_gaps_of_one_channel(sandbox: Sandbox) -> None:
    every_second(sandbox, 0, 300)
    found = recovered(sandbox, [gap(50, 60), gap(200, 210)])
    # Read once for both; what came between them has been shown and will be dropped.
    assert ids(found) == list(range(20, 301))
    assert [each.missing for each in gaps_in(found)] == [None, None]


def test_what_fails_is_said_of_its_own_gap_only(sandbox: Sandbox) -> None:
    say(sandbox, 1, T)
    found = recovered(sandbox, [gap(0, 9, FOREIGN), gap(0, 9), gap(0, 9, WHATSAPP)])
    assert ids(found) == [1]
    foreign, telegram, whatsapp = gaps_in(found)
    assert "403" in (foreign.missing or "")
    assert foreign.missing != NOT_FETCHED
    assert telegram.missing is None
    assert whatsapp.missing is None


@pytest.mark.parametrize(
    ("broken", "said"),
    [(1, ""), (2, " (and 1 more failure)"), (4, " (and 3 more failures)")],
)
def test_several_failures_are_summed_up(sandbox: Sandbox, broken: int, said: str) -> None:
    for number in range(6):
        say(sandbox, number, T + number, chat=f"c{number}")
    for number in range(broken):
        sandbox.faults.answer_api(f"*/c{number}/messages", 403, FORBIDDEN)
    found = recovered(sandbox, [gap(0, 10)])
    assert ids(found) == list(range(broken, 6))
    (end,) = gaps_in(found)
    assert end.missing is not None
    assert end.missing.endswith("answered 403 (ApiForbiddenError)" + said)


def test_a_channel_of_any_messenger(sandbox: Sandbox) -> None:
    sandbox.add_license(10**17, ("some_New1",))
    channel = of_license(10**17, "some_New1")
    say(sandbox, 5, T, channel)
    event, end = recovered(sandbox, [gap(0, 9, channel)])
    assert isinstance(event, ChannelEvent)
    assert event.channel == channel
    (record,) = decode(event, Source.BACKFILL).records
    assert (record.license, record.messenger) == (10**17, "some_New1")
    assert record.id == f"message:{10**17}:some_New1:a:5"
    assert isinstance(end, Gap)
    assert end.missing is None
