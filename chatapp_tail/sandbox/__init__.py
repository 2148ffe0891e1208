"""An embedded ChatApp on 127.0.0.1: for the demo, for your tests and for ours.

It is a peer of the client, not a part of it: nothing else in this package is imported here.

    with Sandbox() as sandbox:
        ...connect to sandbox.ws_url, authorise at sandbox.api_url with sandbox.token...
        sandbox.wait_subscribed(messenger_channel(1229, "telegram"), timeout=5)
        sandbox.publish(messenger_channel(1229, "telegram"), "message", '{"payload":…}')

The HTTP API knows logins, refreshes, licences, companies and the history of what was published;
`sandbox.faults` breaks any of it, and `sandbox.journal` holds what clients did.
"""

from .account import messenger_channel
from .events import LiveEvent, LiveEvents
from .faults import Faults, PathFault
from .frames import pusher_error
from .history import History
from .http_messages import Answer
from .journal import (
    ApiAnswered,
    ApiRequested,
    AuthAnswered,
    AuthRequested,
    ClientFrame,
    Closed,
    Connected,
    Entry,
    Journal,
    Pinged,
    Subscribed,
    TokenChecked,
    TokenMade,
    TokenRefreshed,
    Unsubscribed,
    UpgradeRefused,
)
from .sandbox import Sandbox

__all__ = [
    "Answer",
    "ApiAnswered",
    "ApiRequested",
    "AuthAnswered",
    "AuthRequested",
    "ClientFrame",
    "Closed",
    "Connected",
    "Entry",
    "Faults",
    "History",
    "Journal",
    "LiveEvent",
    "LiveEvents",
    "PathFault",
    "Pinged",
    "Sandbox",
    "Subscribed",
    "TokenChecked",
    "TokenMade",
    "TokenRefreshed",
    "Unsubscribed",
    "UpgradeRefused",
    "messenger_channel",
    "pusher_error",
]
