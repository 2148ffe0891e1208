"""The text of every Pusher frame the sandbox sends, as servers of the soketi family write it."""

import json
from typing import Any


def connection_established(socket_id: str, activity_timeout: int) -> str:
    """Build the first frame; `activity_timeout` is in seconds, `data` a JSON string."""
    data = {"socket_id": socket_id, "activity_timeout": activity_timeout}
    return _text({"event": "pusher:connection_established", "data": json.dumps(data)})


def subscription_succeeded(channel: str) -> str:
    """Build the confirmation of a subscription, which has no `data` on soketi."""
    return _text({"event": "pusher_internal:subscription_succeeded", "channel": channel})


def subscription_error(channel: str) -> str:
    """Build soketi's answer to a wrong or missing channel signature."""
    data = {"type": "AuthError", "error": "The connection is unauthorized.", "status": 401}
    return _text({"event": "pusher:subscription_error", "channel": channel, "data": data})


def pusher_error(code: int | None, message: str) -> str:
    """Build an in-band `pusher:error` whose `data` is an object."""
    return _text({"event": "pusher:error", "data": {"code": code, "message": message}})


def pong() -> str:
    """Build the answer to `pusher:ping`."""
    return _text({"event": "pusher:pong", "data": {}})


def channel_event(channel: str, event: str, data: str) -> str:
    """Build an application event; a client that decodes the frame gets `data` back exactly."""
    return _text({"event": event, "channel": channel, "data": data})


def _text(frame: dict[str, Any]) -> str:
    return json.dumps(frame, ensure_ascii=False, separators=(",", ":"))
