"""Correlates an error that names no channel with the subscription request it answers."""

import re
from collections.abc import Mapping
from enum import Enum, auto

from .close_codes import UNAUTHORIZED
from .subscription import AUTHORISED_PREFIXES, UNANSWERED, Subscription

EXISTING = "Existing subscription"
"""Begins the text with which pusher.com confirms a repeated request."""

_MISSING = "No current subscription"
_ABOUT_AUTH = ("invalid signature", "auth value for subscription")
_name_in_text = re.compile(r"[A-Za-z0-9_\-=@,.;]+").findall


class Refusal(Enum):
    """How sure it is that an error refuses a channel."""

    CLEAR = auto()
    PERHAPS = auto()


def correlate_error(
    subscriptions: Mapping[str, Subscription], code: int | None, message: str
) -> tuple[Subscription | None, Refusal]:
    """Return the subscription that an error without a channel refers to, and how certain that is.

    pusher.com names the channel in the text (code null); laravel-websockets and Reverb answer with
    4009, in the order of the requests. An error with neither may refer to anything.
    """
    if code not in (None, UNAUTHORIZED):
        return None, Refusal.PERHAPS
    pending = [s for s in subscriptions.values() if s.state in UNANSWERED]
    names = {name.strip(",.;") for name in _name_in_text(message)}
    if named := [s for s in pending if s.channel in names]:
        return named[0], Refusal.CLEAR
    if message.startswith(EXISTING):
        # An answer may come late, while the request is being signed again.
        requested = (s for s in subscriptions.values() if s.awaits_confirmation)
        return next((s for s in requested if s.channel in names), None), Refusal.CLEAR
    if message.startswith(_MISSING) or _names_another(subscriptions, names):
        return None, Refusal.PERHAPS
    if code is None and len(pending) != 1:
        return None, Refusal.PERHAPS
    signed = [s for s in pending if s.authorised] or pending
    first = min(signed, key=lambda s: s.number, default=None)
    clear = code == UNAUTHORIZED or message.lower().startswith(_ABOUT_AUTH)
    return first, Refusal.CLEAR if clear else Refusal.PERHAPS


def _names_another(subscriptions: Mapping[str, Subscription], names: set[str]) -> bool:
    """Return whether a text names a channel without a request that waits for an answer."""
    return bool(names & subscriptions.keys()) or any(
        name.startswith(AUTHORISED_PREFIXES) for name in names
    )
