"""One frame → its records: total, exact to the byte, with ids that never change."""

import json
import os
import subprocess
import sys
from hashlib import blake2b
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatapp_tail.chatapp import records as events
from chatapp_tail.chatapp.records import DecodedEvent, Record, Source, decode
from chatapp_tail.items import ChannelEvent
from chatapp_tail.pusher.messages import decode_event
from chatapp_tail.pusher.protocol import Protocol
from chatapp_tail.pusher.timing import Timing
from tests.factories import CHANNEL

CHAT = "private-1480000001h1360000000000000001"
RECEIVED = 1_763_800_000_123_456_789

MESSAGE = (
    '{"id":696,"fromApi":false,"fromMe":false,"time":1637319282,"isForwarded":false,"type":"text",'
    '"message":{"text":"Test","caption":"","file":null},"quotedMessage":null,"fromUser":'
    '{"id":1480000001,"username":"username_test","name":"Test Test","phone":"7000000000"},"chat":'
    '{"id":"private-1480000001h1360000000000000001","hash":"h1360000000000000001","type":"private",'
    '"phone":"7000000000","username":"username_test","name":"Test Test",'
    '"image":"https://example.invalid/GetDialogPhoto/x"}}'
)
STATUS = (
    '{"id":42213,"type":"delivered","chat":{"id":"private-1480000001h1360000000000000001",'
    '"hash":"h1360000000000000001","type":"private","phone":"70000000000",'
    '"username":"username_test"},"error":null}'
)
TAG = (
    '{"type":"add","tag":{"id":29,"name":"test 1","color":"#123df55","sort":100,"category":'
    '{"id":9,"name":"test 1","sort":100}},"chat":{"id":"group-54911000655"}}'
)


def envelope(*items: str, queue: str = "Telegram.Broadcast.Message", kind: str = "message") -> str:
    return (
        f'{{"queue":"{queue}","payload":{{"data":[{",".join(items)}],"meta":{{"type":"{kind}",'
        '"licenseId":1229,"messengerType":"telegram"}}}'
    )


def in_string(document: str) -> bytes:
    """A document as servers send it: JSON inside a JSON string."""
    return json.dumps(document).encode()


def event(
    data: bytes | str | None, name: str = "message", channel: str | None = CHANNEL
) -> ChannelEvent:
    raw = in_string(data) if isinstance(data, str) else data
    members = b"" if raw is None else b',"data":' + raw
    _, _, document = decode_event(b'{"event":"x"%b}' % members)
    return ChannelEvent(RECEIVED, name, channel, document)


def records(
    data: bytes | str | None, name: str = "message", channel: str | None = CHANNEL
) -> list[Record]:
    return decode(event(data, name, channel)).records


def one(data: bytes | str | None, name: str = "message", channel: str | None = CHANNEL) -> Record:
    (record,) = records(data, name, channel)
    return record


# --- the seed events ----------------------------------------------------------------------------

SEEDS = {
    "message": (MESSAGE, "Telegram.Broadcast.Message", f"message:1229:telegram:{CHAT}:696"),
    "messageStatus": (
        STATUS,
        "Telegram.Broadcast.Message.Status",
        f"messageStatus:1229:telegram:{CHAT}:42213:delivered",
    ),
    "chatTag": (
        TAG,
        "Telegram.Broadcast.ChatTag",
        "chatTag:"
        + blake2b(
            b"private-v1.licenses.1229.messengers.telegram\0chatTag\0" + TAG.encode() + b"\0",
            digest_size=16,
        ).hexdigest(),
    ),
}


@pytest.mark.parametrize("name", SEEDS)
def test_the_seed_events_to_the_letter(name: str) -> None:
    item, queue, identity = SEEDS[name]
    whole = envelope(item, queue=queue, kind=name)
    decoded = decode(event(whole, name))
    assert decoded.data == whole.encode()
    assert decoded.records == [
        Record(
            event=name,
            id=identity,
            channel=CHANNEL,
            license=1229,
            messenger="telegram",
            received=RECEIVED,
            source=Source.LIVE,
            queue=queue,
            part=1,
            parts=1,
            data=item.encode(),
        )
    ]


def test_the_id_of_an_event_without_one_never_changes() -> None:
    assert one(envelope(TAG), "chatTag").id == "chatTag:f79a87be310aada5b2db395fd4d7a89a"


# --- shapes -------------------------------------------------------------------------------------


def test_every_item_is_a_record_in_order() -> None:
    found = records(envelope('{"id":1}', '{"id":2}', '{"id":3}'))
    assert [(each.part, each.parts) for each in found] == [(1, 3), (2, 3), (3, 3)]
    assert [each.data for each in found] == [b'{"id":1}', b'{"id":2}', b'{"id":3}']


SHAPES = {
    "usual": '{"queue":"q","payload":{"data":[{"id":1,"chat":{"id":"c"}}],"meta":META}}',
    "other order": (
        '{"payload":{"meta":{"messengerType":"x","licenseId":7},"data":[{"id":1,"chat":{"id":"c"}}]},"queue":"q"}'
    ),
    "one level higher": '{"data":[{"id":1,"chat":{"id":"c"}}],"meta":META,"queue":"q"}',
    "not an array": '{"queue":"q","payload":{"data":{"id":1,"chat":{"id":"c"}},"meta":META}}',
    "members nobody knows": (
        '{"a":[{}],"queue":"q","payload":{"b":1,"data":[{"id":1,"chat":{"id":"c"}}],'
        '"meta":{"c":null,"licenseId":7,"messengerType":"x","type":5}}}'
    ),
}


@pytest.mark.parametrize("document", SHAPES.values(), ids=SHAPES.keys())
@pytest.mark.parametrize("inside", [True, False], ids=["in a string", "as it stands"])
def test_the_item_is_found_in_any_shape(document: str, inside: bool) -> None:
    document = document.replace("META", '{"licenseId":7,"messengerType":"x"}')
    record = one(in_string(document) if inside else document.encode())
    assert record.data == b'{"id":1,"chat":{"id":"c"}}'
    assert (record.queue, record.license, record.messenger) == ("q", 7, "x")
    assert record.id == "message:7:x:c:1"


WHOLE = ["{}", "[]", "5", "null", '"text"', "true", '{"payload":{}}', '{"payload":5}', "[[1],[2]]"]
WHOLE += ['{"payload":{"data":[]}}', '{"data":[1]}', '{"data":[1],"meta":{},"x":1}', '{"id":5}']
WHOLE += ['{"payload":{"data":[],"meta":{}},"queue":"q"}', '{"payload":null,"queue":null}']


@pytest.mark.parametrize("document", WHOLE)
@pytest.mark.parametrize("inside", [True, False], ids=["in a string", "as it stands"])
def test_anything_else_is_one_item(document: str, inside: bool) -> None:
    raw = in_string(document) if inside or document[0] == '"' else document.encode()
    record = one(raw, "made up")
    assert (record.data, record.encoding) == (document.encode(), None)
    assert (record.part, record.parts) == (1, 1)


def test_no_data_is_null() -> None:
    assert one(None).data == b"null"


TEXTS = [
    "",
    "hello",
    "{",
    '{"a":1',
    "NaN",
    "two\nlines",
    "é",
    "\x00",
    "\u2028",
    "01",
    "[1,]",
    "nul",
]


@pytest.mark.parametrize("text", TEXTS, ids=repr)
def test_text_is_a_json_string_and_says_so(text: str) -> None:
    record = one(in_string(text))
    assert record.encoding == "text"
    assert json.loads(record.data) == text
    assert len(record.data.splitlines()) == 1


def test_newlines_between_tokens_become_spaces() -> None:
    document = '{\n"payload":\r\n{"data":[{\n"id":1\r}]}}'
    decoded = decode(event(document))
    assert decoded.data == document.replace("\n", " ").replace("\r", " ").encode()
    assert decoded.records[0].data == b'{ "id":1 }'


@pytest.mark.parametrize(
    "document",
    ['{"text":"two\nlines"}', '{"payload":{"data":[{"id":1,"text":"a\r\nb"}]}}', '"a\nb"'],
)
def test_a_newline_inside_of_a_string_is_not_json_and_is_not_made_up(document: str) -> None:
    record = one(document)
    assert record.encoding == "text"
    assert json.loads(record.data) == document


# --- exactness ----------------------------------------------------------------------------------

EXACT = [
    '{"price":1.10,"big":1e400,"id":123456789012345678901234567890,"neg":-0,"exp":1E+2}',
    '{"b":1,"a":2,"b":3,"":{}}',
    r'{"id":"\u0041\/\ud83d\ude00","t":"\ud800","u":"\udc00x"}',
    '{ "id" : [ 1 , 2 ] , "é":"\u2028😀" }',
    '"just text"',
    "null",
    "[[],[[]]]",
    '{"n":' + "1" * 5000 + "}",
]


@pytest.mark.parametrize("item", EXACT, ids=lambda item: item[:30])
@pytest.mark.parametrize("inside", [True, False], ids=["in a string", "as it stands"])
def test_items_are_verbatim(item: str, inside: bool) -> None:
    document = envelope(item, '{"id":1}')
    found = records(in_string(document) if inside else document.encode())
    assert [each.data for each in found] == [item.encode(), b'{"id":1}']


@pytest.mark.parametrize("item", EXACT, ids=lambda item: item[:30])
def test_data_without_an_envelope_is_verbatim(item: str) -> None:
    record = one(item, "made up")
    assert (record.data, record.encoding) == (item.encode(), None)


def test_half_a_surrogate_pair_stays_an_escape() -> None:
    frame = rb'"{\"payload\":{\"data\":[{\"id\":5,\"message\":{\"text\":\"\ud83d\"}}]}}"'
    assert one(frame).data == rb'{"id":5,"message":{"text":"\ud83d"}}'


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=8,
)
items = st.tuples(json_values, st.booleans(), st.sampled_from((None, 1))).map(
    lambda chosen: json.dumps(chosen[0], ensure_ascii=chosen[1], indent=None)
) | st.sampled_from(EXACT[:-1])
encodable = st.text(st.characters(exclude_categories=["Cs"]), max_size=10)


@given(st.lists(items, min_size=1, max_size=4), st.booleans(), encodable, encodable)
def test_any_items_come_out_as_they_went_in(
    parts: list[str], inside: bool, name: str, channel: str
) -> None:
    document = envelope(*parts)
    found = records(in_string(document) if inside else document.encode(), name, channel)
    assert [each.data.decode() for each in found] == parts
    assert all(each.event == name and each.channel == channel for each in found)
    assert [each.id for each in found] == [each.id for each in records(document, name, channel)]


documents = st.fixed_dictionaries(
    {},
    optional={
        "queue": json_values,
        "data": json_values,
        "meta": json_values,
        "payload": st.fixed_dictionaries(
            {},
            optional={
                "data": st.lists(
                    st.fixed_dictionaries(
                        {},
                        optional={
                            "id": json_values,
                            "internalId": json_values,
                            "type": json_values,
                            "chat": st.fixed_dictionaries({}, optional={"id": json_values})
                            | json_values,
                        },
                    ),
                    max_size=3,
                )
                | json_values,
                "meta": st.fixed_dictionaries(
                    {}, optional={"licenseId": json_values, "messengerType": json_values}
                )
                | json_values,
            },
        )
        | json_values,
    },
).map(json.dumps)
raws = (
    documents.map(str.encode)
    | documents.map(in_string)
    | st.text(max_size=30).map(in_string)
    | st.text('{}[]":,\\u\n 019eE.-payloddt', max_size=40).map(in_string)
    | json_values.map(lambda value: json.dumps(value).encode())
)


@given(
    raws | st.none(),
    st.sampled_from(("message", "messageStatus", "chatTag", "")) | encodable,
    st.sampled_from((CHANNEL, "", None)) | encodable,
)
def test_whatever_comes_makes_at_least_one_record(
    raw: bytes | None, name: str, channel: str | None
) -> None:
    decoded = decode(event(raw, name, channel))
    assert decoded.records
    for at, record in enumerate(decoded.records, 1):
        assert (record.part, record.parts) == (at, len(decoded.records))
        assert b"\n" not in record.data
        json.loads(record.data, parse_int=str)
        assert record.id.startswith(name)
        assert record.id.isprintable() or not name.isprintable() or not str(channel).isprintable()
        if record.encoding == "text":
            said = json.loads(raw or b"").encode("utf-8", "replace").decode()
            assert json.loads(record.data) == said
    json.loads(decoded.data, parse_int=str)


@given(st.binary(max_size=60) | raws.map(lambda raw: b'{"event":"m","data":' + raw + b"}"))
def test_whatever_passes_the_protocol_is_decoded(payload: bytes) -> None:
    machine = Protocol(["news"], now=0.0, timing=Timing(), random=lambda: 0.5)
    established = '{"event":"pusher:connection_established","data":{"socket_id":"1.2"}}'
    machine.receive_text(established.encode(), 0.0, RECEIVED)
    machine.receive_text(payload, 0.0, RECEIVED)
    for each in machine.take_events():
        if isinstance(each, ChannelEvent):
            assert decode(each).records


# --- an event like the one before ---------------------------------------------------------------


def after(
    first: str, data: bytes | str | None, name: str = "message"
) -> tuple[DecodedEvent, DecodedEvent, bool]:
    """`data` decoded with nothing known and after `first`; and whether what was known served."""
    events._envelope_templates.clear()
    alone = decode(event(data, name))
    events._envelope_templates.clear()
    decode(event(first, name))
    known = dict(events._envelope_templates)
    later = decode(event(data, name))
    return alone, later, bool(known) and events._envelope_templates == known


@pytest.mark.parametrize("name", ["message", "messageStatus", "chatTag"])
@pytest.mark.parametrize("item", [MESSAGE, STATUS, TAG, "{}", '{ "id":"a b","t":"\u2028😀"}'])
def test_an_envelope_is_read_once(item: str, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    alone, later, _ = after(envelope(MESSAGE), envelope(item), name)
    assert later == alone
    read: list[bytes] = []
    monkeypatch.setattr(events, "_decode_envelope", read.append)
    assert decode(event(envelope(item), name)) == alone
    assert read == []


ODD = [
    *EXACT,
    "",
    "{",
    "}",
    "{}{}",
    "{},{}",
    "{} ",
    " {}",
    '{"id":1}],"data":[{"id":2}',
    '{"id":1}]},"payload":{"data":[{"id":2}',
    '{"id":1}],"meta":{"licenseId":5},"x":[{}',
    '{"id":1},{"id":2}',
    '{"id":1,"id":2}',
    '{"id":1,}',
    '{"id":NaN}',
    '{"id":1.0}',
    '{"id":true}',
    '{"id":{"id":1}}',
    '{"id":""}',
    '{"id":0}',
    '{"id":null,"internalId":"x"}',
    '{"id":5,"type":""}',
    '{"id":5,"type":1e400}',
    '{"id":5,"type":{"a":[]}}',
    '{"id":5,"type":"x","chat":{"id":7}}',
    '{"id":5,"type":"x","chat":{"id":""}}',
    '{"id":5,"type":"x","chat":{"id":-0}}',
    '{"id":5,"type":"x","chat":{"id":1.0}}',
    '{"id":5,"type":"x","chat":null}',
    '{"id":5,"type":"x","chat":[]}',
    r'{"id":5,"type":"x","chat":{"id":"\ud83d"}}',
    '{"id":5,"text":"a\nb"}',
    '{"id":5,\r\n"text":"a"}',
    '{"id":5,"text":"\t"}',
    r'{"id":5,"text":"\ud83d"}',
    r'{"\u0069d":5}',
    r'{"id":5,"text":"\x"}',
    '{"id":' + "9" * 30 + "}",
    '{"id":' + "9" * 5000 + "}",
    '{"a":' * 200 + "1" + "}" * 200,
]


@pytest.mark.parametrize("name", ["message", "messageStatus", "chatTag"])
@pytest.mark.parametrize("item", ODD, ids=lambda item: item[:30])
def test_what_was_known_changes_nothing(item: str, name: str) -> None:
    alone, later, _ = after(envelope(STATUS), envelope(item), name)
    assert later == alone


@given(st.sampled_from(ODD) | items, st.sampled_from(ODD) | items, encodable)
def test_whatever_was_known_changes_nothing(first: str, item: str, queue: str) -> None:
    quoted = json.dumps(queue)[1:-1]
    alone, later, _ = after(envelope(first, queue=quoted), envelope(item, queue=quoted))
    assert later == alone


@given(documents, documents)
def test_one_document_says_nothing_of_another(first: str, second: str) -> None:
    alone, later, _ = after(first, second)
    assert later == alone


@pytest.mark.parametrize(
    "first",
    [
        envelope(),
        envelope("[]"),
        envelope("1"),
        envelope("{}", "{}"),
        envelope("{}").replace("{", "{\n", 1),
        '{"payload":{"data":[{"id":1}]},"x":{"id":1}}',
        '{"payload":{"data":[{"id":1}]},"x":"' + "x" * 1000 + '"}',
        '{"payload":{"data":{"id":1}}}',
        '{"data":[{"id":1}],"meta":{}}',
        '{"payload":{"data":[{"id":1}],"meta":{"licenseId":"5"}}}',
        '{"id":1}',
    ],
)
def test_nothing_is_known_by_what_is_not_certain(first: str) -> None:
    events._envelope_templates.clear()
    decode(event(first))
    assert events._envelope_templates == {}


def test_what_stands_after_the_item_counts_too() -> None:
    other = envelope(MESSAGE).replace('"licenseId":1229', '"licenseId":1230')
    _, later, served = after(envelope(MESSAGE), other)
    assert not served
    assert later.records[0].license == 1230
    assert later.records[0].id == f"message:1230:telegram:{CHAT}:696"


def test_what_is_known_stays_within_bounds() -> None:
    for number in range(5000):
        decode(event(envelope(MESSAGE), channel=f"news-{number}"))
    assert 0 < len(events._envelope_templates) <= 4096


@pytest.mark.parametrize("depth", [500, 900, 950, 980, 990, 1000, 5000, 100_000])
@pytest.mark.parametrize(
    "document",
    ["%s", '{"payload":%s}', '{"queue":%s,"payload":{"data":[1]}}', '{"payload":{"data":[%s]}}'],
)
def test_nesting_of_any_depth_is_survived(document: str, depth: int) -> None:
    assert records(document % ("[" * depth + "]" * depth))


@pytest.mark.parametrize("digits", [30, 5000])
def test_a_license_of_any_length_is_survived(digits: int) -> None:
    assert one("1", channel=f"private-v1.licenses.{'9' * digits}.messengers.x").data == b"1"
    number = "9" * digits
    document = f'{{"payload":{{"data":[{{"id":1}}],"meta":{{"licenseId":{number}}}}}}}'
    assert one(document).data == b'{"id":1}'


# --- licence and messenger ----------------------------------------------------------------------

SAID = {
    "meta wins": ('{"licenseId":7,"messengerType":"x"}', CHANNEL, 7, "x"),
    "each on its own": ('{"messengerType":"x"}', CHANNEL, 1229, "x"),
    "the channel, when meta is silent": ("{}", CHANNEL, 1229, "telegram"),
    "null says nothing": ('{"licenseId":null,"messengerType":null}', CHANNEL, 1229, "telegram"),
    "meta is no object": ("5", CHANNEL, 1229, "telegram"),
    "nobody knows": ("{}", "private-v1.companies.2224", None, None),
    "no channel": ("{}", None, None, None),
    "one of them odd, the other good": (
        '{"licenseId":"seven","messengerType":"x"}',
        "private-v1.companies.2224",
        None,
        "x",
    ),
}


@pytest.mark.parametrize(
    ("meta", "channel", "license_id", "messenger"), SAID.values(), ids=SAID.keys()
)
def test_license_and_messenger(
    meta: str, channel: str | None, license_id: int | None, messenger: str | None
) -> None:
    record = one(f'{{"payload":{{"data":[{{"id":1}}],"meta":{meta}}}}}', "message", channel)
    assert (record.license, record.messenger) == (license_id, messenger)


# --- ids ----------------------------------------------------------------------------------------

IDS: dict[str, tuple[str, str, str]] = {
    "number": ("message", '{"id":5,CHAT}', "message:1229:telegram:c:5"),
    "text": ("message", '{"id":"wamid.A==",CHAT}', "message:1229:telegram:c:wamid.A=="),
    "number and text alike": ("message", '{"id":"5",CHAT}', "message:1229:telegram:c:5"),
    "internal": ("message", '{"internalId":"x",CHAT}', "message:1229:telegram:c:x"),
    "internal beside null": (
        "message",
        '{"id":null,"internalId":9,CHAT}',
        "message:1229:telegram:c:9",
    ),
    "the id before the internal": (
        "message",
        '{"id":1,"internalId":9,CHAT}',
        "message:1229:telegram:c:1",
    ),
    "zero": ("message", '{"id":0,CHAT}', "message:1229:telegram:c:0"),
    "beyond 64 bits": (
        "message",
        '{"id":123456789012345678901234567890,CHAT}',
        "message:1229:telegram:c:123456789012345678901234567890",
    ),
    "status": (
        "messageStatus",
        '{"id":5,"type":"viewed",CHAT}',
        "messageStatus:1229:telegram:c:5:viewed",
    ),
    "a type nobody knows": ("message", '{"id":5,"type":7,CHAT}', "message:1229:telegram:c:5"),
    "a chat with a number": (
        "message",
        '{"id":5,"chat":{"id":-100123}}',
        "message:1229:telegram:-100123:5",
    ),
    "half a surrogate pair in the text": (
        "message",
        r'{"id":5,"message":{"text":"\ud83d"},CHAT}',
        "message:1229:telegram:c:5",
    ),
    "half a surrogate pair in the chat": (
        "messageStatus",
        r'{"id":5,"type":"viewed","chat":{"name":"\ud83d","id":77}}',
        "messageStatus:1229:telegram:77:5:viewed",
    ),
}


@pytest.mark.parametrize(("name", "item", "identity"), IDS.values(), ids=IDS.keys())
def test_ids(name: str, item: str, identity: str) -> None:
    whole = envelope(item.replace("CHAT", '"chat":{"id":"c","name":"Anna"}'))
    alone, later, _ = after(envelope(STATUS), whole, name)
    assert alone.records[0].id == later.records[0].id == identity


@pytest.mark.defect("A.5")
@pytest.mark.parametrize("name", ["message", "messageStatus"])
@pytest.mark.parametrize("chats", [('"a"', '"b"'), ("1", "2"), (r'"\ud800a"', r'"\ud800b"')])
def test_the_same_number_in_two_chats_is_two_ids(name: str, chats: tuple[str, str]) -> None:
    first, second = (
        one(envelope(f'{{"id":696,"type":"text","chat":{{"id":{chat}}}}}'), name).id
        for chat in chats
    )
    assert first != second


NO_CHAT = ['"chat":null', '"chat":{}', '"chat":{"id":null}', '"chat":{"id":""}', '"chat":[]']
NO_CHAT += ['"chat":{"id":true}', '"chat":{"id":{}}', '"chat":"c"', '"c":1']


@pytest.mark.parametrize("name", ["message", "messageStatus"])
@pytest.mark.parametrize("chat", NO_CHAT)
def test_what_names_no_chat_is_known_by_its_bytes(name: str, chat: str) -> None:
    """Two of them may have one number; live and from history the same bytes give the same id."""
    first, again, other = (
        one(envelope(f'{{"id":5,"type":"x",{chat},"n":{number}}}'), name).id for number in (1, 1, 2)
    )
    assert first == again != other
    assert len(first) == len(f"{name}:") + 32


@pytest.mark.parametrize(
    "item", ["{}", '{"id":null}', '{"id":true}', '{"id":1.5}', '{"id":[]}', "5"]
)
def test_a_message_without_a_usable_id_is_known_by_its_bytes(item: str) -> None:
    first, again = one(envelope(item)), one(envelope(item))
    assert first.id == again.id
    assert len(first.id) == len("message:") + 32
    assert one(envelope(item), channel="news").id != first.id
    assert one(envelope(item), "messageStatus").id != first.id


@pytest.mark.parametrize(("name", "identity"), [("message", '""'), ("messageStatus", "1")])
def test_an_empty_id_and_a_status_without_a_type_identify_nothing(name: str, identity: str) -> None:
    item = f'{{"id":{identity},"chat":{{"id":"c"}},"n":%d}}'
    first, second = (one(envelope(item % number), name) for number in (1, 2))
    assert first.id != second.id


def test_without_a_license_the_channel_tells_messages_apart() -> None:
    document = '{"payload":{"data":[{"id":1,"chat":{"id":"c"}}]}}'
    assert one(document, channel="a").id != one(document, channel="b").id


SCRIPT = """
import json, sys
from chatapp_tail.chatapp.records import decode
from chatapp_tail.items import ChannelEvent
for name, channel, data in json.load(sys.stdin):
    for record in decode(ChannelEvent(1, name, channel, data.encode())).records:
        print(record.id)
"""


@pytest.mark.parametrize("seed", ["0", "1", "12345"])
def test_ids_are_the_same_in_every_process(seed: str) -> None:
    inputs: list[tuple[str, str | None, str]] = [
        (name, channel, data)
        for name in ("message", "messageStatus", "chatTag", "nobody:knows")
        for channel in (CHANNEL, "news", None)
        for data in (envelope(MESSAGE, STATUS, TAG), "5", "text", r'"\ud800"', "{}")
    ]
    environment = {**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT],
        input=json.dumps(inputs),
        capture_output=True,
        text=True,
        env=environment,
        check=True,
    )
    here: list[Any] = [
        record.id
        for name, channel, data in inputs
        for record in decode(ChannelEvent(1, name, channel, data.encode())).records
    ]
    assert done.stdout.splitlines() == here


@pytest.mark.parametrize("source", Source)
def test_the_source_is_taken_over_and_changes_no_id(source: Source) -> None:
    (record,) = decode(event(envelope(TAG), "chatTag"), source).records
    assert record.source is source
    assert record.id == one(envelope(TAG), "chatTag").id
