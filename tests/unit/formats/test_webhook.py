"""Bodies in the shape of ChatApp's webhooks."""

import json

import pytest

from chatapp_tail.chatapp.records import decode
from chatapp_tail.formats.webhook import webhook_body
from chatapp_tail.items import ChannelEvent
from tests.factories import CHANNEL, RECEIVED

META = '{ "type":"message","licenseId":1229, "messengerType":"telegram"}'
ITEMS = ['{"id": 1.50,"chat":{"id":"c"}}', '{"id":2,"text":"\\u0441 🐚"}', '{"id":3}']
PAYLOAD = f'{{"data":[{",".join(ITEMS)}], "meta":{META}}}'
HALF_AN_EMOJI = r'{"id":1,"text":"\ud83d"}'


def body(data: str, *kept: int) -> str:
    """The body for the items at the positions `kept`, of all without any."""
    decoded = decode(ChannelEvent(RECEIVED, "message", CHANNEL, data.encode()))
    records = [decoded.records[position] for position in kept] or decoded.records
    return webhook_body(decoded, records).decode()


def test_a_whole_payload_is_passed_byte_for_byte() -> None:
    assert body(f'{{"queue":"Q", "payload": {PAYLOAD}}}') == PAYLOAD


def test_a_filtered_payload_has_the_kept_items_and_the_meta_byte_for_byte() -> None:
    data = f'{{"queue":"Q","payload":{PAYLOAD}}}'
    assert body(data, 0, 2) == f'{{"data":[{ITEMS[0]},{ITEMS[2]}],"meta":{META}}}'


def test_a_webhook_is_passed_as_it_is() -> None:
    assert body(PAYLOAD) == PAYLOAD
    assert body(PAYLOAD, 1) == f'{{"data":[{ITEMS[1]}],"meta":{META}}}'


def test_a_payload_that_msgspec_refuses_is_passed_byte_for_byte() -> None:
    payload = f'{{"data":[{HALF_AN_EMOJI},{ITEMS[0]}],"meta":{META}}}'
    assert body(f'{{"payload":{payload}}}') == payload
    assert body(f'{{"payload":{payload}}}', 0) == f'{{"data":[{HALF_AN_EMOJI}],"meta":{META}}}'


def test_a_payload_without_meta_gets_one_only_when_it_is_filtered() -> None:
    payload = '{"data":[{"id":1},{"id":2}]}'
    own = '{"licenseId":1229,"messengerType":"telegram"}'
    assert body(f'{{"payload":{payload}}}') == payload
    assert body(f'{{"payload":{payload}}}', 1) == f'{{"data":[{{"id":2}}],"meta":{own}}}'


def test_a_payload_with_one_object_gets_a_list() -> None:
    data = f'{{"payload":{{"data":{{"id":7}},"meta":{META}}}}}'
    assert body(data) == f'{{"data":[{{"id":7}}],"meta":{META}}}'


@pytest.mark.parametrize(
    "data", ['{"id":5}', "[1,2]", "null", '{"data":[],"more":1}', "plain text"]
)
def test_other_data_is_one_item(data: str) -> None:
    written = json.loads(body(data))
    expected = data if data == "plain text" else json.loads(data)
    meta = {"licenseId": 1229, "messengerType": "telegram"}
    assert written == {"data": [expected], "meta": meta}
