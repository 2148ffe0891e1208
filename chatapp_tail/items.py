"""The items that the socket's thread passes to the main thread, in wire order.

A closed union, `Item`. All times are wall-clock nanoseconds since the epoch, all durations are
seconds. The structs are tagged, so that a spool can keep them on disk as msgpack and the
status and gap records can be encoded from the same types.
"""

from enum import StrEnum

import msgspec

from .errors import ExitStatus

NOT_FETCHED = "history was not asked"
NOT_RUNNING = "chatapp-tail was not running"
ASKED = "asked for with --since"
"""Reason of a pseudo-gap: the period before the start, requested with --since."""
RENEWED = "the server may have forgotten the subscription"
"""Reason of a possible gap: it is one if history has messages of it that were not received."""
ADDED = "it was added to the account while chatapp-tail was running"


class ChannelEvent(msgspec.Struct, frozen=True, tag="event", tag_field="item", gc=False):
    """One event frame of a channel.

    `data` is the document in the frame's `data` member, byte for byte, or None when it is absent.
    Where the member is a JSON string, as Pusher's protocol wants it, that is its text, which may be
    no JSON.
    """

    received: int
    event: str
    channel: str | None
    data: bytes | None


class Connecting(msgspec.Struct, frozen=True, tag="connecting", tag_field="item"):
    """A dial begins."""

    at: int
    url: str


class Connected(msgspec.Struct, frozen=True, tag="connected", tag_field="item"):
    """The server established the connection; nothing is subscribed yet."""

    at: int
    socket_id: str


class Subscribed(msgspec.Struct, frozen=True, tag="subscribed", tag_field="item"):
    """The server confirmed one channel."""

    at: int
    channel: str


class Ready(msgspec.Struct, frozen=True, tag="ready", tag_field="item"):
    """Every wanted channel is decided: confirmed, or refused for good reason."""

    at: int
    channels: list[str]
    refused: list[str]


class Refused(msgspec.Struct, frozen=True, tag="refused", tag_field="item"):
    """One channel was refused; the others go on."""

    at: int
    channel: str
    reason: str


class ConnectionWarning(msgspec.Struct, frozen=True, tag="warning", tag_field="item"):
    """A problem that a user should know and that does not end the connection."""

    at: int
    reason: str
    channel: str | None = None


class FrameTrace(msgspec.Struct, frozen=True, tag="frame", tag_field="item"):
    """A text frame as sent (`>`) or received (`<`), without its signature; only when asked for."""

    at: int
    direction: str
    text: str


class Lost(msgspec.Struct, frozen=True, tag="lost", tag_field="item"):
    """A link ended, or a dial failed.

    `code` is the close or in-band code that decided, `lasted` how long the link was up (None when
    it never was).
    """

    at: int
    reason: str
    code: int | None
    lasted: float | None


class Reconnecting(msgspec.Struct, frozen=True, tag="reconnecting", tag_field="item"):
    """The next dial comes in `delay` seconds."""

    at: int
    delay: float


class Idle(msgspec.Struct, frozen=True, tag="idle", tag_field="item"):
    """No event for a while, on a working connection; ages in seconds."""

    at: int
    last_event: float
    last_frame: float
    last_pong: float | None


class Fetching(msgspec.Struct, frozen=True, tag="fetching", tag_field="item"):
    """History is being read; counts so far.

    `trouble` is the last failure, while a request is repeated.
    """

    at: int
    chats: int
    chats_read: int
    messages: int
    trouble: str | None = None


class Gap(msgspec.Struct, frozen=True, tag="gap", tag_field="item"):
    """Events of `channel` between two moments may be missing.

    `read_from` and `given_up` are not part of the gap record.
    """

    channel: str
    since: int
    """When the lost connection was last proven to work, see `pusher.gaps`."""
    until: int
    """When the new subscription was confirmed; the end of the run if it never was."""
    reason: str
    """Why events may be missing; some reasons are constants above."""
    final: bool = False
    """Whether it lasts until the end of the run."""
    recovered: int = 0
    """Messages of it that were read from history."""
    missing: str | None = NOT_FETCHED
    """Why other messages of it may be missing, None when all were read."""
    read_from: int | None = None
    """Where to read history from, if that is earlier than `since`."""
    given_up: bool = False
    """Whether reading failed in a way that a later run may not."""

    @property
    def begin(self) -> int:
        """The time from which history has to be read."""
        return self.since if self.read_from is None else min(self.since, self.read_from)


class Watermarks(msgspec.Struct, frozen=True, tag="covered", tag_field="item"):
    """Everything that happened in a channel until a moment has been handed on before this item."""

    until: dict[str, int]


class StopCause(StrEnum):
    """Why the connection will not be tried again."""

    ASKED = "asked"
    CREDENTIALS = "credentials"
    UNREACHABLE = "unreachable"
    UNTRUSTED = "untrusted"
    CHANNELS_REFUSED = "channels_refused"
    SERVER_REFUSED = "server_refused"
    BUG = "bug"


EXIT_STATUS_OF = {
    StopCause.CREDENTIALS: ExitStatus.CREDENTIALS,
    StopCause.UNREACHABLE: ExitStatus.UNREACHABLE,
    StopCause.UNTRUSTED: ExitStatus.UNREACHABLE,
    StopCause.CHANNELS_REFUSED: ExitStatus.CHANNELS_REFUSED,
    StopCause.SERVER_REFUSED: ExitStatus.REFUSED_BY_SERVER,
    StopCause.BUG: ExitStatus.BUG,
}
"""Of each cause but `StopCause.ASKED`, where the status depends on who asked."""


class Stopped(msgspec.Struct, frozen=True, tag="stopped", tag_field="item"):
    """The connection is over and its thread ends; always the last item."""

    at: int
    cause: StopCause
    reason: str


Status = (
    Connecting
    | Connected
    | Subscribed
    | Ready
    | Refused
    | ConnectionWarning
    | FrameTrace
    | Idle
    | Lost
    | Reconnecting
    | Fetching
    | Stopped
)
Item = ChannelEvent | Status | Gap | Watermarks
