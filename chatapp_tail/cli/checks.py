"""What `doctor` checks, in the order in which a tail depends on it.

Each check returns what it found; `CheckFailed` says what is wrong, what to do next and which exit
status a tail would end with for it.
"""

import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from email.utils import parsedate_to_datetime

from msgspec.structs import replace

from ..chatapp.api import Api
from ..chatapp.channels import short_name
from ..chatapp.http import Http
from ..chatapp.lines import License
from ..chatapp.selection import Selection
from ..errors import ApiError, ChatAppTailError, CredentialsError, ExitStatus
from ..proxies import proxy_for
from ..pusher import items
from ..pusher.answers import AuthAnswer, Granted
from ..pusher.connection import Connection, Endpoint, Settings, Timing
from ..pusher.items import Item

_DAY = 86400.0
_SKEW_ALLOWED = 60.0
_STATUS_OF = {
    items.StopCause.CREDENTIALS: ExitStatus.CREDENTIALS,
    items.StopCause.CHANNELS_REFUSED: ExitStatus.CHANNELS_REFUSED,
    items.StopCause.SERVER_REFUSED: ExitStatus.REFUSED_BY_SERVER,
}


_ADVICE_FOR = {
    items.StopCause.CREDENTIALS: "run chatapp-tail login, or set a new token",
    items.StopCause.CHANNELS_REFUSED: "choose another with --license and --messenger",
    items.StopCause.SERVER_REFUSED: "check --app-key and --ws-url",
    items.StopCause.UNTRUSTED: "name the authority of its certificate with --ca-file",
}


class CheckFailed(Exception):
    """`advice` is the next step, `status` what a tail would end with."""

    def __init__(self, found: str, advice: str, status: ExitStatus) -> None:
        super().__init__(found)
        self.found = found
        self.advice = advice
        self.status = status


Check = Callable[[], str]
"""Returns what it found, or raises `CheckFailed`."""


@dataclass
class Patient:
    """What is examined, and what earlier checks found out for later ones."""

    settings: Settings
    selection: Selection
    api: Api
    http: Http
    licenses: Sequence[License] = ()
    observation: "Observation | None" = None
    date: str = ""

    def checks(self) -> Iterator[tuple[str, Check]]:
        """Yield the checks; each may rely on those before it having passed."""
        yield "API answers", self._api_answers
        yield "clock", self._clock
        yield "token", self._token
        yield "licences", self._find_licenses
        endpoint = self.settings.endpoints[0]
        proxy = proxy_for(endpoint.scheme, endpoint.host, self.settings.proxy)
        yield "proxy", lambda: str(proxy or "none")
        if proxy is None:
            yield "DNS", lambda: _dns(endpoint)
            yield "TCP", lambda: _tcp(endpoint)
            if endpoint.tls:
                yield "TLS", lambda: _tls(endpoint, self.settings.ca_file)
        yield "app key", self._connect
        yield "channel authorised", self._authorised
        yield "subscription", self._subscribed
        yield "ping", self._ping

    # --- HTTP

    def _api_answers(self) -> str:
        try:
            reply = self.http.send("GET", "/v1/tokens/check", headers={})
        except ApiError as error:
            advice = "check --api-url, the network, --proxy and --ca-file"
            raise CheckFailed(str(error), advice, ExitStatus.UNREACHABLE) from error
        self.date = reply.headers.get("Date", "")
        return self.http.url

    def _clock(self) -> str:
        if not self.date:
            return "the API does not say what time it is"
        try:
            skew = time.time() - parsedate_to_datetime(self.date).timestamp()
        except (ValueError, TypeError, OverflowError):
            return "what the API says of the time cannot be read"
        if abs(skew) > _SKEW_ALLOWED:
            raise CheckFailed(
                f"this machine is {skew:+.0f} s off", "set its clock (NTP)", ExitStatus.UNREACHABLE
            )
        return f"within {max(1.0, abs(skew)):.0f} s of the API's"

    def _token(self) -> str:
        try:
            self.api.check_token()
        except CredentialsError as error:
            advice = "run chatapp-tail login, or set a new token"
            raise CheckFailed(str(error), advice, error.exit_status) from error
        except ApiError as error:
            raise CheckFailed(str(error), "check --api-url", error.exit_status) from error
        return "accepted"

    def _find_licenses(self) -> str:
        try:
            self.licenses = self.api.licenses()
        except ChatAppTailError as error:
            raise CheckFailed(
                str(error), "check what this account may see", error.exit_status
            ) from error
        wanted = self.selection.channels(self.licenses)
        if not wanted:
            raise CheckFailed(
                self.selection.explain_nothing(self.licenses),
                "choose one of these with --license and --messenger",
                ExitStatus.CHANNELS_REFUSED,
            )
        self.settings = replace(self.settings, channels=wanted[:1])
        lines = sum(len(each.messengers) for each in self.licenses)
        return f"{len(self.licenses)} licences, {lines} messengers"

    # --- the socket

    def _connect(self) -> str:
        self.observation = Observation(self.settings, self.api.authorise)
        return self.observation.wait_for(items.Connected, "the server accepts the app key")

    def _authorised(self) -> str:
        assert self.observation is not None
        return self.observation.wait_for_auth(short_name(self.settings.channels[0]))

    def _subscribed(self) -> str:
        assert self.observation is not None
        return self.observation.wait_for(items.Subscribed, "confirmed")

    def _ping(self) -> str:
        assert self.observation is not None
        return self.observation.wait_for_pong()


def _dns(endpoint: Endpoint) -> str:
    try:
        found = socket.getaddrinfo(endpoint.host, endpoint.port, type=socket.SOCK_STREAM)
    except OSError as error:
        raise CheckFailed(
            f"{endpoint.host}: {error.strerror}",
            "check the name in --ws-url, and the resolver",
            ExitStatus.UNREACHABLE,
        ) from error
    return ", ".join(dict.fromkeys(str(address[4][0]) for address in found))


def _tcp(endpoint: Endpoint) -> str:
    try:
        with socket.create_connection((endpoint.host, endpoint.port), timeout=10):
            return f"port {endpoint.port} is open"
    except OSError as error:
        raise CheckFailed(
            f"{endpoint.host}:{endpoint.port}: {error.strerror or error}",
            "check the port in --ws-url, and firewalls (6001 is unusual)",
            ExitStatus.UNREACHABLE,
        ) from error


def _tls(endpoint: Endpoint, ca_file: str | None) -> str:
    context = ssl.create_default_context(cafile=ca_file)
    try:
        with (
            socket.create_connection((endpoint.host, endpoint.port), timeout=10) as plain,
            context.wrap_socket(plain, server_hostname=endpoint.host) as sock,
        ):
            certificate, version = sock.getpeercert() or {}, sock.version()
    except OSError as error:
        why = getattr(error, "verify_message", "") or error.strerror or str(error)
        raise CheckFailed(
            why, "check --ca-file, or who stands in between", ExitStatus.UNREACHABLE
        ) from error
    until = ssl.cert_time_to_seconds(str(certificate.get("notAfter", "Jan 1 00:00:00 1970 GMT")))
    return f"{version}, certificate good for {(until - time.time()) / _DAY:.0f} days"


class Observation:
    """A short connection of our own, and what it said so far."""

    PATIENCE = 15.0

    def __init__(self, settings: Settings, authorise: Callable[[str, str], AuthAnswer]) -> None:
        self._changed = threading.Condition()
        self._items: list[Item] = []
        self._answers: list[AuthAnswer] = []
        self._pinged: int | None = None
        self._round_trip: float | None = None
        self._authorise = authorise
        timing = Timing(ping_interval=0.1, pong_timeout=self.PATIENCE)
        quick = replace(settings, timing=timing, max_retries=0)
        self._connection = Connection(quick, self._authorised, self._take, trace=True)
        self._connection.start()

    def close(self) -> None:
        """End the connection."""
        self._connection.stop()
        self._connection.join(2)

    def wait_for(self, kind: type[Item], found: str) -> str:
        """Return `found` once an item of `kind` came; CheckFailed when the connection ends."""
        self._await(lambda: any(isinstance(item, kind) for item in self._items))
        return found

    def wait_for_auth(self, channel: str) -> str:
        """Return that the channel was signed."""
        self._await(lambda: any(isinstance(answer, Granted) for answer in self._answers))
        return channel

    def wait_for_pong(self) -> str:
        """Return how long a ping took."""
        self._await(lambda: self._round_trip is not None)
        return f"answered in {(self._round_trip or 0) * 1000:.1f} ms"

    def _await(self, happened: Callable[[], bool]) -> None:
        with self._changed:
            self._changed.wait_for(lambda: happened() or self._stopped(), self.PATIENCE)
            if happened():
                return
            stopped = self._stopped()
        if stopped is None:
            troubles = [item.reason for item in self._items if isinstance(item, items.Trouble)]
            raise CheckFailed(
                troubles[-1] if troubles else f"nothing within {self.PATIENCE:g} s",
                "run a tail that shows every frame",
                ExitStatus.UNREACHABLE,
            )
        raise CheckFailed(
            stopped.reason,
            _ADVICE_FOR.get(stopped.cause, "check --ws-url and the network"),
            _STATUS_OF.get(stopped.cause, ExitStatus.UNREACHABLE),
        )

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
            self._answers.append(answer)
            self._changed.notify_all()
        return answer

    def _note_round_trip(self, item: Item) -> None:
        match item:
            case items.Traced(at, ">", text) if "pusher:ping" in text and self._pinged is None:
                self._pinged = at
            case items.Traced(at, "<", text) if "pusher:pong" in text and self._pinged is not None:
                self._round_trip = self._round_trip or (at - self._pinged) / 1e9
