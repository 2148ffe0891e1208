"""The machine of one Pusher connection with a clock of its own, and the frames to feed it."""

import json
from collections.abc import Callable
from typing import Any, Self, TypeVar

from chatapp_tail.pusher.answers import AuthAnswer, Granted
from chatapp_tail.pusher.close_codes import CloseReason
from chatapp_tail.pusher.events import (
    AuthRequested,
    Event,
    ProtocolWarning,
    SubscriptionRefused,
    SubscriptionSucceeded,
)
from chatapp_tail.pusher.protocol import Protocol
from chatapp_tail.pusher.refusals import ChannelRefusals
from chatapp_tail.pusher.timing import Timing

CHANNEL = "private-v1.licenses.1229.messengers.telegram"
OTHER = "private-v1.companies.2224"
PUBLIC = "news"
SOCKET_ID = "1.1"
RECEIVED = 1_763_800_000_000_000_000
ALIVE = Timing(pong_timeout=1e9)
"""For a server that answers no ping and is not left for it."""

E = TypeVar("E")


def frame(event: object, channel: object = ..., data: object = ...) -> str:
    """Return an event frame; what is not given is no member of it."""
    members = {"event": event, "channel": channel, "data": data}
    return json.dumps({name: value for name, value in members.items() if value is not ...})


ESTABLISHED = frame("pusher:connection_established", data=json.dumps({"socket_id": SOCKET_ID}))
MESSAGE = frame("message", CHANNEL, "{}")
PING, PONG = frame("pusher:ping"), frame("pusher:pong")


def succeeded(channel: str) -> str:
    return frame("pusher_internal:subscription_succeeded", channel)


def rejected(channel: str, data: object) -> str:
    return frame("pusher:subscription_error", channel, data)


def error(code: object, message: str = "made up") -> str:
    return frame("pusher:error", data={"code": code, "message": message})


class Machine:
    """A `Protocol`, its clock, and all that came out of it; the steps can be chained."""

    def __init__(
        self,
        *channels: str,
        timing: Timing | None = None,
        random: Callable[[], float] = lambda: 0.5,
        strict: bool = False,
        refusals: ChannelRefusals | None = None,
    ) -> None:
        self.channels = channels or (CHANNEL,)
        self.now = 100.0
        self.events: list[Event] = []
        self.sent: list[tuple[float, dict[str, Any]]] = []
        """When each message was sent, and the message."""
        self.protocol = Protocol(
            self.channels,
            now=self.now,
            timing=timing or Timing(),
            random=random,
            strict=strict,
            refusals=refusals,
        )

    def drain(self) -> Self:
        """Take what came out of the machine."""
        self.events += self.protocol.take_events()
        self.sent += ((self.now, json.loads(text)) for text in self.protocol.take_outgoing())
        return self

    # --- what the server does

    def receive(self, *frames: str | bytes) -> Self:
        """Let the server send text frames, all in one block."""
        for text in frames:
            payload = text if isinstance(text, bytes) else text.encode("utf-8", "surrogatepass")
            self.protocol.receive_text(payload, self.now, RECEIVED)
        return self.drain()

    def outcome(self, *frames: str | bytes) -> list[Event]:
        """Let the server send text frames; return the events that come of them alone."""
        before = len(self.events)
        return self.receive(*frames).events[before:]

    def receive_binary(self) -> Self:
        self.protocol.receive_binary(self.now)
        return self.drain()

    def receive_control(self) -> Self:
        """Let the server send a WebSocket ping or pong."""
        self.protocol.receive_control(self.now)
        return self.drain()

    def establish(self, socket_id: str = SOCKET_ID, **members: Any) -> Self:
        """Let the server establish the connection; other members go into the document."""
        data = json.dumps({"socket_id": socket_id} | members)
        return self.receive(frame("pusher:connection_established", data=data))

    def confirm(self, *channels: str) -> Self:
        """Let the server confirm these channels, or all."""
        return self.receive(*map(succeeded, channels or self.channels))

    def error(self, code: object, message: str = "made up") -> Self:
        return self.receive(error(code, message))

    def close(self, code: int = 1006, reason: str = "") -> Self:
        self.protocol.receive_close(code, reason)
        return self.drain()

    # --- what the auth endpoint does

    def answer(self, channel: str, answer: AuthAnswer, socket_id: str = SOCKET_ID) -> Self:
        self.protocol.receive_auth(channel, socket_id, answer, self.now)
        return self.drain()

    def grant(self, *channels: str) -> Self:
        """Let the auth endpoint sign for these channels, or for all."""
        for channel in channels or self.channels:
            self.answer(channel, Granted(f"key:{channel}"))
        return self

    def subscribe(self, *channels: str) -> Self:
        """Establish; sign and confirm these channels, or all."""
        return self.establish().grant(*channels).confirm(*channels)

    # --- what time does

    def at(self, now: float) -> Self:
        """Jump to `now`, without a wake-up in between."""
        self.now = now
        self.protocol.tick(now)
        return self.drain()

    def after(self, seconds: float) -> Self:
        """Let time pass until the end, waking at each deadline as the shell does."""
        until = self.now + seconds
        while self.goes_on and (due := self.protocol.deadline()) <= until:
            self.at(max(due, self.now))
        return self.at(until) if self.goes_on else self

    def live(self, seconds: float) -> Self:
        """Let time pass with a server that answers pings in time."""
        until = self.now + seconds
        while self.now < until:
            self.after(min(5.0, until - self.now)).receive(PONG)
        return self

    def probe(self) -> Self:
        """Let the shell ask for a ping at once."""
        self.protocol.ping_now(self.now)
        return self.drain()

    def wait_asked(self) -> float:
        """Wait until a signature is asked for; return for how long."""
        since, asked = self.now, len(self.asked)
        while len(self.asked) == asked:
            assert self.goes_on, self.events[-1]
            self.at(self.protocol.deadline())
        return self.now - since

    # --- what came out

    def all(self, kind: type[E]) -> list[E]:
        """What came out of one kind so far."""
        return [event for event in self.events if isinstance(event, kind)]

    @property
    def asked(self) -> list[str]:
        """The channels of all signatures asked for, in order."""
        return [wanted.channel for wanted in self.all(AuthRequested)]

    @property
    def confirmed(self) -> list[str]:
        """The channels confirmed, in order."""
        return [event.channel for event in self.all(SubscriptionSucceeded)]

    @property
    def refused(self) -> list[str]:
        """The channels refused, in order."""
        return [event.channel for event in self.all(SubscriptionRefused)]

    @property
    def warned(self) -> list[str | None]:
        """What channels the warnings are about, in order."""
        return [event.channel for event in self.all(ProtocolWarning)]

    @property
    def names_sent(self) -> list[str]:
        """The events of all messages sent, in order."""
        return [message["event"] for _, message in self.sent]

    @property
    def pings(self) -> list[float]:
        """When pings were sent."""
        return [at for at, message in self.sent if message["event"] == "pusher:ping"]

    @property
    def requests(self) -> list[dict[str, str]]:
        """The data of all `pusher:subscribe` sent, in order."""
        return [sent["data"] for _, sent in self.sent if sent["event"] == "pusher:subscribe"]

    @property
    def requested(self) -> list[str]:
        """The channels of all `pusher:subscribe` sent, in order."""
        return [data["channel"] for data in self.requests]

    @property
    def ended(self) -> CloseReason:
        """How it ended: the last event, and the only one of its kind."""
        (ended,) = self.all(CloseReason)
        assert self.events[-1] is ended
        assert self.protocol.ended is ended
        return ended

    @property
    def goes_on(self) -> bool:
        return self.protocol.ended is None
