"""One wanted channel of a connection: its state and its request."""

from enum import Enum, auto
from math import inf

import msgspec

AUTHORISED_PREFIXES = ("private-", "presence-")
_ANNOUNCES_OR_REPLAYS = ("presence-", "cache-", "private-cache-", "private-encrypted-cache-")


class State(Enum):
    """The state of a subscription; `subscriptions` has its transitions."""

    WANTED = auto()
    AUTHORISING = auto()
    CONFIRMING = auto()
    CONFIRMED = auto()
    RECHECKING = auto()
    REFUSED = auto()


SUBSCRIBED = {State.CONFIRMED, State.RECHECKING}
UNDECIDED = (State.WANTED, State.AUTHORISING, State.CONFIRMING)
UNANSWERED = {State.CONFIRMING, State.RECHECKING}


class Subscription(msgspec.Struct):
    """One wanted channel."""

    channel: str
    """Its name."""
    request: str = ""
    """The subscribe message of this connection; its signature is valid as long as the socket id."""
    state: State = State.WANTED
    """See the table in `subscriptions`."""
    due: float = inf
    """When the state stops waiting."""
    number: int = 0
    """The place of its last request in the order of those of the connection."""
    tries: int = 0
    """How often it failed; sets the delay before the next request."""
    unanswered: int = 0
    """How many requests were neither confirmed nor rejected."""
    timeouts: int = 0
    """How many requests had no answer in time."""
    confirmed_at: float = -inf
    """When it was subscribed."""
    refusal: str | None = None
    """The reason reported last; None after a confirmation."""

    def __repr__(self) -> str:
        return f"<{self.channel}: {self.state.name}>"  # never the signature

    @property
    def authorised(self) -> bool:
        """Whether it needs a signature."""
        return self.channel.startswith(AUTHORISED_PREFIXES)

    @property
    def awaits_confirmation(self) -> bool:
        """Whether a confirmation can be an answer: to a request, or again for a subscription."""
        return self.unanswered > 0 or self.state in SUBSCRIBED

    @property
    def can_be_rechecked(self) -> bool:
        """Whether a repeated request has no effect: no event sent again, no member announced."""
        return not self.channel.startswith(_ANNOUNCES_OR_REPLAYS)
