"""What the status of an answer means for a delivery, and the reasons of failures, for people."""

import socket
import ssl
from enum import Enum
from http.client import HTTPException, LineTooLong, RemoteDisconnected
from urllib.parse import urljoin

import msgspec

from ..net import without_secrets

_LONGEST_LOCATION = 200


ADVICE = {
    401: "check the credentials in --header",
    403: "check the credentials in --header",
    404: "check the path in --forward-to",
    405: "it takes no POST; check the path in --forward-to",
    407: "check the user and the password in --proxy",
    410: "it is gone for good; check --forward-to",
}
"""Status -> what to do where the endpoint is wrong."""


class Verdict(Enum):
    """What becomes of a delivery."""

    SETTLED = "settled"
    TROUBLE = "retried"
    WRONG_ENDPOINT = "retried slowly, never given up"
    REFUSED = "a dead letter"
    GONE = "the end of the run"


class Answer(msgspec.Struct, frozen=True):
    """The head of an answer; `retry_after` is in seconds."""

    status: int
    retry_after: float | None = None
    location: str | None = None


def verdict(status: int) -> Verdict:
    """Return what a status means; one of 4xx that is not named, such as 422, refuses a delivery."""
    if 200 <= status < 300:
        return Verdict.SETTLED
    if status == 410:
        return Verdict.GONE
    if status < 200 or status >= 500 or status in (408, 425, 429):
        return Verdict.TROUBLE
    if status < 400 or status in (401, 402, 403, 404, 405, 407):
        return Verdict.WRONG_ENDPOINT
    return Verdict.REFUSED


def describe_answer(answer: Answer, url: str) -> str:
    """Return the reason of a failure that has an answer from `url`."""
    if not 300 <= answer.status < 400:
        advice = ADVICE.get(answer.status)
        return f"answered {answer.status}" + (f": {advice}" if advice else "")
    target = f" to {_absolute(url, answer.location)}" if answer.location else ""
    advice = "redirects are not followed, name that address with --forward-to"
    return f"answered {answer.status}{target}: {advice}"


def _absolute(url: str, location: str) -> str:
    """Return a location for people, which is relative to `url`."""
    try:
        text = without_secrets(urljoin(url, location))
    except ValueError:
        return "an invalid URL"
    text = "".join(char for char in text if char.isprintable())
    return text if len(text) <= _LONGEST_LOCATION else f"{text[:_LONGEST_LOCATION]}…"


def describe_error(error: Exception, timeout: float) -> str:
    """Return the reason of a failure that has no answer."""
    if isinstance(error, TimeoutError):
        return f"no answer within {timeout:g} s"
    if isinstance(error, RemoteDisconnected):
        return "the connection was closed without an answer"
    if isinstance(error, HTTPException):
        return _describe_malformed(error)
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not trusted ({error.verify_message})"
    if isinstance(error, ssl.SSLError) and error.reason == "WRONG_VERSION_NUMBER":
        return "it answered without TLS; is it http:// or another port?"
    if isinstance(error, ssl.SSLError):
        return f"TLS failed: {error.reason or type(error).__name__}"
    if isinstance(error, socket.gaierror):
        return f"its name cannot be resolved: {error.strerror}"
    if isinstance(error, OSError):
        text = error.strerror or str(error) or type(error).__name__
        return text[0].lower() + text[1:]
    return type(error).__name__


def _describe_malformed(error: HTTPException) -> str:
    # Without a status line it is no HTTP; too many headers are a plain HTTPException.
    if type(error) in (LineTooLong, HTTPException):
        return "the head of its answer is too long"
    return "its answer is no HTTP"
