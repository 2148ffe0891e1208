"""Builders of events, records and logins that several test modules use."""

import json
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from chatapp_tail.chatapp.http import Http
from chatapp_tail.chatapp.licenses import License, Messenger
from chatapp_tail.chatapp.records import Record, Source, decode
from chatapp_tail.chatapp.secret import Secret
from chatapp_tail.chatapp.token_store import Login, TokenPair, TokenStore
from chatapp_tail.chatapp.tokens import make_tokens
from chatapp_tail.items import ChannelEvent, Gap
from chatapp_tail.sandbox import Sandbox

CHANNEL = "private-v1.licenses.1229.messengers.telegram"
RECEIVED = 1637319283_123456789


def event(*items: object, name: str = "message", channel: str | None = CHANNEL) -> ChannelEvent:
    """Return an event with these items in ChatApp's envelope."""
    envelope = {"queue": "Telegram.Broadcast.Message", "payload": {"data": items}}
    return ChannelEvent(RECEIVED, name, channel, json.dumps(envelope).encode())


def decoded(item: object, name: str = "message") -> Record:
    """Return the record of an event with one item."""
    (record,) = decode(event(item, name=name)).records
    return record


def record(**members: Any) -> Record:
    """Return a record of a message; `members` replace those it has by default."""
    defaults: dict[str, Any] = {
        "event": "message",
        "id": "message:1229:telegram:c:696",
        "channel": CHANNEL,
        "license": 1229,
        "messenger": "telegram",
        "received": 1_795_336_740_123_456_789,
        "source": Source.LIVE,
        "queue": "Telegram.Broadcast.Message",
        "part": 1,
        "parts": 1,
        "data": b'{"id":696}',
    }
    return Record(**(defaults | members))


def message(number: int = 1, channel: str = "a") -> ChannelEvent:
    """Return an event that came at `number` nanoseconds."""
    return ChannelEvent(number, "message", channel, b"{}")


def gap(channel: str = "a", since: int = 1, length: int = 5, **members: Any) -> Gap:
    """Return a gap of so many nanoseconds."""
    return Gap(channel, since, since + length, **({"reason": "lost"} | members))


# --- accounts

STATE = Path(".local/state/chatapp-tail")


def state_of(home: Path) -> Path:
    """Where the program keeps logins of a user with this home."""
    return home / STATE


def log_in(sandbox: Sandbox, home: Path, *, profile: str = "default") -> TokenPair:
    """Store a login as the command does, without the time that a process takes."""
    http = Http(sandbox.api_url, ca_file=str(sandbox.ca_file) if sandbox.ca_file else None)
    pair = make_tokens(http, sandbox.email, Secret(sandbox.password), sandbox.app_id)
    login = Login(sandbox.email, sandbox.app_id, sandbox.api_url, pair)
    TokenStore(state_of(home)).save(profile, login)
    return pair


def stored(home: Path, *, profile: str = "default") -> TokenPair:
    login = TokenStore(state_of(home)).load(profile)
    assert login is not None
    return login.pair


def let_refreshes_be_old(home: Path) -> None:
    """Let the stored login be as if its last refresh was long ago."""
    store = TokenStore(state_of(home))
    login = store.load("default")
    assert login is not None
    store.save("default", replace(login, refreshed=0.0))


def license_of(
    number: int, *types: str, name: str | None = None, active: bool | None = True
) -> License:
    """Return a licence that has messengers of these types."""
    messengers = tuple(Messenger(kind, None, None) for kind in types)
    return License(number, name, active, None, messengers)


def token_pair(number: int) -> TokenPair:
    """Return the pair of this number, which is over."""
    return TokenPair(
        access_token=f"access-made-up-{number}",
        access_end=0,
        refresh_token=f"refresh-made-up-{number}",
        refresh_end=0,
        user_id=685,
    )


def login(number: int, api_url: str = "https://api.example.invalid") -> Login:
    return Login("a@example.invalid", "app_1", api_url, token_pair(number))
