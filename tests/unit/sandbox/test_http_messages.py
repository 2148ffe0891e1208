import json
from email.message import Message

import pytest

from chatapp_tail.sandbox.http_messages import Request, error_answer, json_answer


def request(body: bytes, content_type: str) -> Request:
    headers = Message()
    headers["Content-Type"] = content_type
    return Request(method="POST", path="/", query={}, headers=headers, body=body, peer_port=1)


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (b"a=1.2&b=x%20y&c=", "application/x-www-form-urlencoded"),
        (b'{"a":"1.2","b":"x y","c":""}', "application/json"),
        (b'{"a":"1.2","b":"x y","c":"","d":5}', "application/json; charset=utf-8"),
    ],
)
def test_fields_of_a_form_and_of_json(body: bytes, content_type: str) -> None:
    assert request(body, content_type).fields() == {"a": "1.2", "b": "x y", "c": ""}


@pytest.mark.parametrize("body", [b"", b"nonsense", b"[1]", b"5", b"\xff"])
def test_json_that_is_no_object_has_no_fields(body: bytes) -> None:
    assert request(body, "application/json").fields() == {}


def test_json_answer() -> None:
    answer = json_answer(200, {"name": "é"})
    assert answer.body == '{"name":"é"}'.encode()
    assert answer.headers == {"Content-Type": "application/json"}


def test_error_answer_has_chatapps_shape() -> None:
    answer = error_answer(401, "ApiInvalidTokenError", "Invalid Token")
    assert answer.status == 401
    assert json.loads(answer.body) == {
        "success": False,
        "error": {"code": "ApiInvalidTokenError", "message": "Invalid Token"},
    }


def test_half_a_surrogate_pair_is_escaped() -> None:
    answer = json_answer(200, {"text": "\ud83d é"})
    assert json.loads(answer.body) == {"text": "\ud83d é"}
    assert answer.body.isascii()
