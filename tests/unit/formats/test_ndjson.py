"""`-o json`: the documented line, to the byte."""

import json
import subprocess
from hashlib import sha256
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatapp_tail.chatapp.records import DecodedEvent, Record, Source, decode
from chatapp_tail.formats import ndjson
from chatapp_tail.formats.ndjson import encode, format_ndjson
from chatapp_tail.items import ChannelEvent
from tests.factories import decoded, record


def test_the_documented_line() -> None:
    assert encode(record()) == (
        b'{"v":1,"type":"event","event":"message","id":"message:1229:telegram:c:696",'
        b'"hash":"b4d721d1127d","channel":"private-v1.licenses.1229.messengers.telegram","license":1229,'
        b'"messenger":"telegram","received":"2026-11-22T08:39:00.123456Z","source":"live",'
        b'"queue":"Telegram.Broadcast.Message","part":1,"parts":1,"data":{"id":696}}\n'
    )


def test_what_is_not_known_is_null() -> None:
    line = encode(record(channel=None, license=None, messenger=None, queue=None, data=b"null"))
    assert line == (
        b'{"v":1,"type":"event","event":"message","id":"message:1229:telegram:c:696",'
        b'"hash":"74234e98afe7","channel":null,"license":null,"messenger":null,'
        b'"received":"2026-11-22T08:39:00.123456Z","source":"live","queue":null,"part":1,"parts":1,'
        b'"data":null}\n'
    )


def test_text_says_so_just_before_the_data() -> None:
    line = encode(record(encoding="text", data=b'"hi"'))
    assert line.endswith(b'"part":1,"parts":1,"encoding":"text","data":"hi"}\n')


def test_lines_that_differ_in_one_name_are_not_mistaken_for_each_other() -> None:
    changes: list[dict[str, Any]] = [{}, {"event": "chatTag"}, {"channel": "x"}, {"channel": None}]
    changes += [{"license": 1}, {"license": None}, {"messenger": "x"}, {"messenger": None}]
    changes += [{"queue": "x"}, {"queue": None}, {"part": 2, "parts": 3}, {"source": Source.REPLAY}]
    changes += [{"received": 1}, {"id": "x"}, {"encoding": "text"}]
    lines = [encode(record(**change)) for change in changes]
    assert len(set(lines)) == len(lines)
    assert [encode(record(**change)) for change in changes] == lines
    for change, line in zip(changes, lines, strict=True):
        said = json.loads(line)
        assert {name: said[name] for name in change.keys() - {"received"}} == {
            name: change[name] for name in change.keys() - {"received"}
        }


def test_names_are_remembered_within_bounds() -> None:
    for number in range(5000):
        assert f'"channel":"news-{number}"'.encode() in encode(record(channel=f"news-{number}"))
    assert 0 < len(ndjson._remembered) <= 4096
    ndjson._remembered.clear()
    assert b"x" * 2000 in encode(record(queue="x" * 2000))
    assert ndjson._remembered == {}


def hash_of_data(line: bytes) -> str:
    """What a reader computes from the bytes of a line; no quote within a string is bare."""
    _, _, data = line.removesuffix(b"}\n").partition(b',"data":')
    return sha256(data).hexdigest()[:12]


KEYS = ["v", "type", "event", "id", "hash", "channel", "license", "messenger", "received"]
KEYS += ["source", "queue", "part", "parts", "data"]
encodable = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
data = st.sampled_from(
    (b"1.10", b"1e400", b'{"b":1,"a":2,"b":3}', rb'"\ud800"', '"é\u2028"'.encode(), b"[ 1 ]")
)


@given(
    st.builds(
        Record,
        event=encodable,
        id=encodable,
        channel=st.none() | encodable,
        license=st.none() | st.integers(-(2**63), 2**64 - 1),
        messenger=st.none() | encodable,
        received=st.integers(0, 4 * 10**18),
        source=st.sampled_from(Source),
        queue=st.none() | encodable,
        part=st.integers(1, 10**6),
        parts=st.integers(1, 10**6),
        data=data,
        encoding=st.sampled_from((None, "text")),
    )
)
def test_any_record_is_one_line_of_json_in_the_documented_order(record: Record) -> None:
    line = encode(record)
    assert line.count(b"\n") == 1
    assert line.endswith(b"}\n")
    assert b"\r" not in line
    pairs = json.loads(line, object_pairs_hook=list)
    keys = [key for key, _ in pairs]
    assert [key for key in keys if key != "encoding"] == KEYS
    assert line.endswith(b',"data":' + record.data + b"}\n")
    read = json.loads(line)
    for key in ("event", "id", "channel", "license", "messenger", "source", "queue", "part"):
        assert read[key] == getattr(record, key)
    assert read["parts"] == record.parts
    assert read.get("encoding") == record.encoding
    assert read["hash"] == hash_of_data(line)
    assert (read["v"], read["type"]) == (1, "event")


def test_a_license_beyond_64_bits_is_written() -> None:
    assert json.loads(encode(record(license=10**30)))["license"] == 10**30


def test_one_line_a_kept_record() -> None:
    kept = [record(part=2), record(part=3)]
    lines = format_ndjson(DecodedEvent(b"{}", [record(), *kept]), kept)
    assert lines == [encode(each) for each in kept]
    assert format_ndjson(DecodedEvent(b"{}", [record()]), []) == []


BYTES = [b'{"id":1.0}', b'{ "id" : 1 }', '{"text":"é"}'.encode(), b'"plain text"']


@pytest.mark.parametrize("data", BYTES)
def test_the_hash_is_what_sha256sum_says_of_the_data(data: bytes) -> None:
    line = encode(record(data=data))
    sum_of = subprocess.run(["sha256sum"], input=data, capture_output=True, check=True).stdout
    assert json.loads(line)["hash"] == sum_of[:12].decode()


def test_text_has_the_hash_of_its_json_string() -> None:
    (plain,) = decode(ChannelEvent(1, "x", None, b'plain "text"')).records
    expected = sha256(rb'"plain \"text\""').hexdigest()[:12]
    assert json.loads(encode(plain))["hash"] == plain.hash == expected


def test_an_edited_message_has_the_same_id_and_another_hash() -> None:
    said, edited = (
        decoded({"id": 696, "chat": {"id": "c"}, "message": {"text": text}}) for text in "ab"
    )
    assert said.id == edited.id
    assert said.hash != edited.hash


@given(st.text(max_size=40), st.booleans())
def test_whatever_the_text_the_line_can_be_read(text: str, wrapped: bool) -> None:
    document = json.dumps({"payload": {"data": [text]}}) if wrapped else text
    decoded = decode(ChannelEvent(1, "message", "news", document.encode()))
    (line,) = format_ndjson(decoded, decoded.records)
    read = json.loads(line.decode())
    assert (read["v"], read["hash"]) == (1, hash_of_data(line))
    assert line.count(b"\n") == 1
