"""One wanted channel of a connection, and which of them an error is about."""

import re
from collections.abc import Iterable, Mapping, Sequence
from enum import Enum, auto
from math import inf

import msgspec

from .close_codes import UNAUTHORIZED

AUTHORISED_PREFIXES = ("private-", "presence-")
_ANNOUNCES_OR_REPLAYS = ("presence-", "cache-", "private-cache-", "private-encrypted-cache-")
_hide_signature = re.compile(r"[0-9a-f]{64}").sub
EXISTING, MISSING = "Existing subscription", "No current subscription"
_ABOUT_AUTH = ("invalid signature", "auth value for subscription")
_name_in_text = re.compile(r"[A-Za-z0-9_\-=@,.;]+").findall


class State(Enum):
    """How far a subscription is."""

    WANTED = auto()
    AUTHORISING = auto()
    CONFIRMING = auto()
    CONFIRMED = auto()
    RECHECKING = auto()
    REFUSED = auto()


SUBSCRIBED = {State.CONFIRMED, State.RECHECKING}
UNDECIDED = (State.WANTED, State.AUTHORISING, State.CONFIRMING)
UNANSWERED = {State.CONFIRMING, State.RECHECKING}


class Refusal(Enum):
    """How sure it is that an error refuses a channel."""

    CLEAR = auto()
    PERHAPS = auto()


class Subscription(msgspec.Struct):
    """One wanted channel.

    `due` is when the state stops waiting, `asked` its place in the order of the requests sent,
    `tries` how often it failed, `request` the subscribe message sent on this socket, whose
    signature stays good as long as the socket id. `unanswered` counts the requests that are neither
    confirmed nor turned down, `timeouts` those given up; `confirmed_at` is when it was subscribed.
    """

    channel: str
    request: str = ""
    state: State = State.WANTED
    due: float = inf
    asked: int = 0
    tries: int = 0
    unanswered: int = 0
    timeouts: int = 0
    confirmed_at: float = -inf
    refusal: str | None = None

    def __repr__(self) -> str:
        return f"<{self.channel}: {self.state.name}>"  # never the signature

    @property
    def authorised(self) -> bool:
        """Whether it needs a signature."""
        return self.channel.startswith(AUTHORISED_PREFIXES)

    @property
    def awaits_confirmation(self) -> bool:
        """Whether a confirmation would be an answer, or one more of what is subscribed."""
        return self.unanswered > 0 or self.state in SUBSCRIBED

    @property
    def can_be_audited(self) -> bool:
        """Whether asking for it again shows nothing to anybody: no last event, no new member."""
        return not self.channel.startswith(_ANNOUNCES_OR_REPLAYS)


def request_for(channel: str, auth: str | None) -> str:
    """Return the message that subscribes; `auth` is None for a public channel."""
    # Members without a value are left out: laravel-websockets signs whatever is present.
    data = {"channel": channel} | ({"auth": auth} if auth else {})
    return msgspec.json.encode({"event": "pusher:subscribe", "data": data}).decode()


def without_signatures(signatures: Iterable[str], text: str) -> str:
    """Return a text of the server without signatures: those that are known, or look like one."""
    for signature in signatures:
        text = text.replace(signature, "[signature]")
    return _hide_signature("[signature]", text)


def channels_by_state(subscriptions: Mapping[str, Subscription]) -> dict[State, list[str]]:
    """Return the channels in each state that any of them is in."""
    found: dict[State, list[str]] = {}
    for subscription in subscriptions.values():
        found.setdefault(subscription.state, []).append(subscription.channel)
    return found


def why_refused(subscriptions: Mapping[str, Subscription], refused: Sequence[str]) -> str:
    """Return why refusals end the connection: all channels are, or --strict allows none."""
    reason = subscriptions[refused[0]].refusal
    if len(subscriptions) == 1:
        return f"{refused[0]} is refused: {reason}"
    if len(refused) == len(subscriptions):
        return f"all {len(refused)} channels are refused; {refused[0]}: {reason}"
    return f"{refused[0]} is refused, and --strict allows none: {reason}"


def meant_by_error(
    subscriptions: Mapping[str, Subscription], code: int | None, message: str
) -> tuple[Subscription | None, Refusal]:
    """Return the subscription an error without a channel is about, and how sure that is.

    pusher.com names it in the text (code null); laravel-websockets and Reverb answer 4009 in the
    order they were asked. An error with neither may be about anything.
    """
    if code not in (None, UNAUTHORIZED):
        return None, Refusal.PERHAPS
    pending = [s for s in subscriptions.values() if s.state in UNANSWERED]
    names = {name.strip(",.;") for name in _name_in_text(message)}
    if named := [s for s in pending if s.channel in names]:
        return named[0], Refusal.CLEAR
    if message.startswith(EXISTING):
        # Also while it is being signed again, after an answer that came too late.
        asked_before = (s for s in subscriptions.values() if s.awaits_confirmation)
        return next((s for s in asked_before if s.channel in names), None), Refusal.CLEAR
    if message.startswith(MISSING) or _names_another(subscriptions, names):
        return None, Refusal.PERHAPS
    if code is None and len(pending) != 1:
        return None, Refusal.PERHAPS
    asked_in_order = [s for s in pending if s.authorised] or pending
    first = min(asked_in_order, key=lambda s: s.asked, default=None)
    clear = code == UNAUTHORIZED or message.lower().startswith(_ABOUT_AUTH)
    return first, Refusal.CLEAR if clear else Refusal.PERHAPS


def _names_another(subscriptions: Mapping[str, Subscription], names: set[str]) -> bool:
    """Return whether a text names a channel that no answer is awaited for."""
    return bool(names & subscriptions.keys()) or any(
        name.startswith(AUTHORISED_PREFIXES) for name in names
    )
