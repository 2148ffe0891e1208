"""What the protocol machine reports: one struct for each event, and the output they wait in."""

import msgspec

from ..items import ChannelEvent
from .close_codes import CloseReason


class ConnectionEstablished(msgspec.Struct, frozen=True):
    """`pusher:connection_established` came; `socket_id` is opaque and new on every connection."""

    socket_id: str


class AuthRequested(msgspec.Struct, frozen=True):
    """A signature is needed; its answer goes to `Protocol.receive_auth`."""

    channel: str
    socket_id: str


class SubscribeSent(msgspec.Struct, frozen=True):
    """A request for the channel is about to be sent."""

    channel: str


class PingSent(msgspec.Struct, frozen=True):
    """A ping is about to be sent."""


class PongReceived(msgspec.Struct, frozen=True):
    """`pusher:pong` came."""


class SubscriptionSucceeded(msgspec.Struct, frozen=True):
    """`pusher_internal:subscription_succeeded` came for a wanted channel, for the first time."""

    channel: str


class ChannelDenied(msgspec.Struct, frozen=True):
    """The server rejected a request for the channel, temporarily or permanently."""

    channel: str


class SubscriptionRefused(msgspec.Struct, frozen=True):
    """The auth endpoint or the server refuses the channel; it is requested again after minutes."""

    channel: str
    reason: str


class SubscriptionReconfirmed(msgspec.Struct, frozen=True):
    """The server confirmed a subscribed channel again.

    `certain` if it reports an existing subscription; otherwise this may be a new one.
    """

    channel: str
    certain: bool = False


class SubscriptionLost(msgspec.Struct, frozen=True):
    """The server no longer confirms a subscribed channel; it is requested again."""

    channel: str


class Idle(msgspec.Struct, frozen=True):
    """No channel event for `quiet_interval`; ages in seconds, `last_pong` None before the first."""

    last_event: float
    last_frame: float
    last_pong: float | None


class SubscriptionsSettled(msgspec.Struct, frozen=True):
    """Every wanted channel is confirmed or refused, and at least one is confirmed."""

    confirmed: list[str]
    refused: list[str]


class ProtocolWarning(msgspec.Struct, frozen=True):
    """Something unexpected that the connection survives."""

    reason: str
    channel: str | None = None


Event = (
    ChannelEvent
    | ConnectionEstablished
    | AuthRequested
    | PingSent
    | PongReceived
    | SubscribeSent
    | SubscriptionSucceeded
    | ChannelDenied
    | SubscriptionRefused
    | SubscriptionReconfirmed
    | SubscriptionLost
    | Idle
    | SubscriptionsSettled
    | ProtocolWarning
    | CloseReason
)


class Output:
    """Events and text frames in wire order, until they are taken, and the end."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.texts: list[str] = []
        self.pong_owed = False
        self.ended: CloseReason | None = None

    def end(self, reason: CloseReason) -> None:
        """Report the end of the connection, as its last event."""
        self.ended = reason
        self.events.append(reason)
