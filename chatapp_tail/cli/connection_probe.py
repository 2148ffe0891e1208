"""A short connection of `doctor`, and what it has reported so far."""

import threading
from collections.abc import Callable, Sequence
from itertools import takewhile

from msgspec.structs import replace

from .. import items
from ..chatapp.channels import license_and_messenger, with_short_names
from ..errors import ExitStatus
from ..items import EXIT_STATUS_OF, Item, StopCause
from ..pusher.answers import AuthAnswer, Granted
from ..pusher.connection import Connection, Settings, Timing
from .check_result import CheckFailed

_ADVICE_FOR = {
    StopCause.CREDENTIALS: "run chatapp-tail login, or set a new token",
    StopCause.SERVER_REFUSED: "check --app-key and --ws-url",
    StopCause.UNTRUSTED: "name the authority of its certificate with --ca-file",
    StopCause.BUG: "this is a bug in chatapp-tail, please report it",
}


def advice_for_channels(channels: Sequence[str]) -> str:
    """Return what to do about refused channels."""
    if any(None in license_and_messenger(channel) for channel in channels):
        return "check the name given with --channel, and whose token it is"
    return "choose another with --license and --messenger"


class ConnectionProbe:
    """Connects as a tail does, to one server after the other, but tries each only once."""

    TIMEOUT = 15.0
    """Seconds to wait for each step."""

    def __init__(self, settings: Settings, authorise: Callable[[str, str], AuthAnswer]) -> None:
        self._settings = settings
        self._authorise = authorise
        self._changed = threading.Condition()
        self._items: list[Item] = []
        self._granted: set[str] = set()
        """Channels that the API has signed."""
        self._ping_sent: int | None = None
        """When the first ping was sent, in nanoseconds."""
        self._round_trip: float | None = None
        """Seconds from the first ping to its answer."""
        timing = Timing(ping_interval=0.1, pong_timeout=self.TIMEOUT)
        quick = replace(settings, timing=timing, max_retries=len(settings.endpoints) - 1)
        self._connection = Connection(quick, self._authorised, self._take, trace=True)
        self._connection.start()

    def close(self) -> None:
        """End the connection."""
        self._connection.stop()
        self._connection.join(2)

    @property
    def url(self) -> str:
        """The server that was dialled last."""
        dialled = [item.url for item in self._items if isinstance(item, items.Connecting)]
        return dialled[-1] if dialled else ""

    @property
    def losses(self) -> list[str]:
        """Why servers before the one that established the connection could not be used."""
        before = takewhile(lambda item: not isinstance(item, items.Connected), self._items)
        return [item.reason for item in before if isinstance(item, items.Lost)]

    @property
    def refusals(self) -> dict[str, str]:
        """Channel -> why it was refused, though others were not."""
        refused = (item for item in self._items if isinstance(item, items.Refused))
        return {item.channel: item.reason for item in refused}

    def wait_connected(self) -> None:
        """Return once a server established the connection; CheckFailed when none does."""
        self._await(
            lambda: self._has(items.Connected), self.TIMEOUT * len(self._settings.endpoints)
        )

    def wait_authorised(self) -> set[str]:
        """Return the channels that were signed, once each is signed or refused."""
        self._await(
            lambda: len(self._granted | self.refusals.keys()) == len(self._settings.channels)
        )
        return self._granted

    def wait_ready(self) -> None:
        """Return once the server confirmed each channel that was signed."""
        self._await(lambda: self._has(items.Ready))

    def wait_for_pong(self) -> float:
        """Return how many seconds a ping took."""
        self._await(lambda: self._round_trip is not None)
        return self._round_trip or 0.0

    def _has(self, kind: type[Item]) -> bool:
        return any(isinstance(item, kind) for item in self._items)

    def _await(self, happened: Callable[[], bool], timeout: float | None = None) -> None:
        timeout = timeout or self.TIMEOUT
        with self._changed:
            self._changed.wait_for(lambda: happened() or self._stopped(), timeout)
            if happened():
                return
            stopped = self._stopped()
        if stopped is None:
            raise CheckFailed(
                self._last_warning() or f"nothing within {timeout:g} s",
                "run a tail that shows every frame",
                ExitStatus.UNREACHABLE,
            )
        raise CheckFailed(
            with_short_names(stopped.reason, self._settings.channels),
            self._advice_for(stopped.cause),
            EXIT_STATUS_OF.get(stopped.cause, ExitStatus.UNREACHABLE),
        )

    def _last_warning(self) -> str:
        warnings = [
            item.reason for item in self._items if isinstance(item, items.ConnectionWarning)
        ]
        return warnings[-1] if warnings else ""

    def _advice_for(self, cause: StopCause) -> str:
        if cause is StopCause.CHANNELS_REFUSED:
            return advice_for_channels(self._settings.channels)
        return _ADVICE_FOR.get(cause, "check --ws-url and the network")

    def _stopped(self) -> items.Stopped | None:
        last = self._items[-1] if self._items else None
        return last if isinstance(last, items.Stopped) else None

    def _take(self, batch: Sequence[Item]) -> None:
        with self._changed:
            for item in batch:
                self._note_round_trip(item)
            self._items.extend(batch)
            self._changed.notify_all()

    def _authorised(self, socket_id: str, channel: str) -> AuthAnswer:
        answer = self._authorise(socket_id, channel)
        with self._changed:
            if isinstance(answer, Granted):
                self._granted.add(channel)
            self._changed.notify_all()
        return answer

    def _note_round_trip(self, item: Item) -> None:
        match item:
            case items.FrameTrace(at, ">", text) if (
                "pusher:ping" in text and self._ping_sent is None
            ):
                self._ping_sent = at
            case items.FrameTrace(at, "<", text) if (
                "pusher:pong" in text and self._ping_sent is not None
            ):
                self._round_trip = self._round_trip or (at - self._ping_sent) / 1e9
