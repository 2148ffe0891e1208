"""What goes into a function of the HTTP API, and what comes out of it."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from email.message import Message
from typing import Any
from urllib.parse import parse_qsl


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One HTTP request, its body read whole.

    `path` is percent-encoded still, `query` and the route's named `parts` are decoded;
    `peer_port` is the client's.
    """

    method: str
    path: str
    query: Mapping[str, str]
    headers: Message = field(repr=False)
    body: bytes = field(repr=False)
    peer_port: int
    parts: Mapping[str, str] = field(default_factory=dict)

    def fields(self) -> dict[str, str]:
        """Return the text fields of a form or of a JSON object; empty when it is neither."""
        if self.headers.get_content_type() == "application/json":
            return _json_fields(self.body)
        return dict(parse_qsl(self.body.decode(errors="replace"), keep_blank_values=True))


@dataclass(frozen=True, slots=True)
class Answer:
    """One HTTP answer. Content-Length is added by the server unless `headers` has one.

    The status 0 is no answer at all: the connection is closed instead. With `drip` it is sent
    byte by byte, each after so many seconds.
    """

    status: int
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    drip: float = 0.0


NO_ANSWER = Answer(0)


class Refused(Exception):
    """A request is not served; `answer` says why."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(answer)
        self.answer = answer


def json_answer(status: int, value: Any) -> Answer:
    """Build an answer whose body is `value` as JSON."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    if not _is_utf8(text):
        # Half of a surrogate pair, as a client may well be sent it: only an escape can say it.
        text = json.dumps(value, separators=(",", ":"))
    return Answer(status, text.encode(), {"Content-Type": "application/json"})


def error_answer(status: int, code: str, message: str) -> Answer:
    """Build an answer in the shape of ChatApp's own error bodies."""
    return json_answer(status, {"success": False, "error": {"code": code, "message": message}})


def _is_utf8(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _json_fields(body: bytes) -> dict[str, str]:
    try:
        value = json.loads(body)
    except ValueError:
        return {}
    if not isinstance(value, dict):
        return {}
    return {name: text for name, text in value.items() if isinstance(text, str)}
