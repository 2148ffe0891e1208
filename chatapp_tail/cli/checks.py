"""What `doctor` checks, in the order in which a tail depends on it.

Each check returns what it found; `CheckFailed` says what is wrong, what to do next and which exit
status a tail would end with for it.
"""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime

from msgspec.structs import replace

from ..chatapp.api import Api
from ..chatapp.channels import short_name
from ..chatapp.http import Http
from ..chatapp.licenses import License
from ..chatapp.selection import Selection
from ..errors import ApiError, ChatAppTailError, CredentialsError, ExitStatus
from ..net import proxy_for
from ..pusher.connection import Endpoint, Settings
from .check_result import Check, CheckFailed, fails_with
from .connection_probe import ConnectionProbe, advice_for_channels
from .endpoint_checks import Untrusted, endpoint_checks, speaks_tls

_SKEW_ALLOWED = 60.0


@dataclass
class DoctorChecks:
    """The subject of the checks, and what earlier ones leave to later ones."""

    settings: Settings
    selection: Selection
    api: Api
    http: Http
    licenses: Sequence[License] = ()
    reachable: list[Endpoint] = field(default_factory=list)
    probe: ConnectionProbe | None = None
    date: str = ""

    def in_order(self) -> Iterator[tuple[str, Check]]:
        """Yield the checks; each relies on those before it having passed."""
        yield "API answers", self._api_answers
        yield "clock", self._clock
        yield "token", self._token
        yield "licences", self._find_licenses
        for missing in self.selection.explain_missing(self.licenses) if self.licenses else ():
            yield "licences", fails_with(missing, "check --license, --messenger and --channel")
        for endpoint in self.settings.endpoints:
            yield from self._reach(endpoint)
        yield "app key", self._connect
        yield from self._endpoint_failures()
        yield "channel authorised", self._authorised
        yield from self._channel_refusals()
        yield "subscription", self._subscribed
        yield "ping", self._ping

    # --- HTTP

    def _api_answers(self) -> str:
        try:
            reply = self.http.send("GET", "/v1/tokens/check", headers={})
        except ApiError as error:
            # Its advice is for any command; here more is known.
            detail = str(error).partition("; check --api-url")[0]
            raise CheckFailed(
                detail, self._advice_for_api(detail), ExitStatus.UNREACHABLE
            ) from error
        self.date = reply.headers.get("Date", "")
        return self.http.url

    def _advice_for_api(self, error: str) -> str:
        if "certificate" in error:
            return "check --ca-file; a proxy or antivirus may be intercepting TLS"
        if "through the proxy" in error:
            return "check --proxy, or HTTPS_PROXY and the like, and then --api-url"
        return "check --api-url and the network"

    def _clock(self) -> str:
        if not self.date:
            return "the API does not say what time it is"
        try:
            skew = time.time() - parsedate_to_datetime(self.date).timestamp()
        except (ValueError, TypeError, OverflowError):
            return "what the API says of the time cannot be read"
        if abs(skew) > _SKEW_ALLOWED:
            raise CheckFailed(
                f"this machine is {skew:+.0f} s off", "set its clock (NTP)", ExitStatus.DONE
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
            return self._continue_without_licenses(error)
        wanted = self.selection.channels(self.licenses)
        if not wanted:
            raise CheckFailed(
                self.selection.explain_nothing(self.licenses),
                "choose one of these with --license and --messenger"
                if self.licenses
                else "check whose account this is: chatapp-tail login --status",
                ExitStatus.CHANNELS_REFUSED,
            )
        self._select(wanted)
        lines = sum(len(license_.messengers) for license_ in self.licenses)
        return f"{len(self.licenses)} licences, {lines} messengers"

    def _continue_without_licenses(self, error: ChatAppTailError) -> str:
        """Fail as a tail would: one that names its channels asks for no licences."""
        needed = self.selection.needs_licenses
        self._select(self.selection.known_channels())
        raise CheckFailed(
            str(error),
            "check what this account may see",
            error.exit_status if needed else ExitStatus.DONE,
        ) from error

    def _select(self, channels: Sequence[str]) -> None:
        """Check the selected channels; of --all only the first."""
        tried = channels[:1] if self.selection.everything else channels
        self.settings = replace(self.settings, channels=tuple(tried))

    # --- the socket

    def _reach(self, endpoint: Endpoint) -> Iterator[tuple[str, Check]]:
        """Yield the checks of one server, up to the first that fails."""
        failed = False

        def tracked(check: Check) -> Check:
            def run() -> str:
                nonlocal failed
                try:
                    return check()
                except CheckFailed as failure:
                    failed = True
                    if isinstance(failure, Untrusted) or not self._may_reach_another(endpoint):
                        raise
                    raise CheckFailed(failure.detail, failure.advice, ExitStatus.DONE) from None

            return run

        for name, check in endpoint_checks(endpoint, self.settings.ca_file, self.settings.proxy):
            yield name, tracked(check)
            if failed:
                return
        self.reachable.append(endpoint)

    def _may_reach_another(self, endpoint: Endpoint) -> bool:
        return bool(self.reachable) or endpoint != self.settings.endpoints[-1]

    def _connect(self) -> str:
        settings = replace(self.settings, endpoints=tuple(self.reachable))
        self.probe = ConnectionProbe(settings, self.api.authorise)
        try:
            self.probe.wait_connected()
        except CheckFailed as failure:
            if failure.status is ExitStatus.UNREACHABLE:
                self._explain_missing_tls(failure)
            raise
        if len(self.settings.endpoints) > 1:
            return f"{self.probe.url} accepts the app key"
        return "the server accepts the app key"

    def _explain_missing_tls(self, failure: CheckFailed) -> None:
        for endpoint in self.reachable:
            proxy = proxy_for(endpoint.scheme, endpoint.host, self.settings.proxy)
            if proxy is None and not endpoint.tls and speaks_tls(endpoint):
                advice = f"this server speaks TLS: use --ws-url {endpoint.with_tls()}"
                raise CheckFailed(failure.detail, advice, failure.status) from None

    @property
    def _connected(self) -> ConnectionProbe:
        """The connection, for the checks after `_connect`."""
        assert self.probe is not None
        return self.probe

    def _endpoint_failures(self) -> Iterator[tuple[str, Check]]:
        for reason in self._connected.losses:
            yield "app key", fails_with(reason, "check --ws-url and --app-key")

    def _authorised(self) -> str:
        granted = self._connected.wait_authorised()
        return ", ".join(
            short_name(channel) for channel in self.settings.channels if channel in granted
        )

    def _channel_refusals(self) -> Iterator[tuple[str, Check]]:
        for channel, reason in self._connected.refusals.items():
            detail = f"{short_name(channel)}: {reason}"
            yield "channel refused", fails_with(detail, advice_for_channels([channel]))

    def _subscribed(self) -> str:
        self._connected.wait_ready()
        return "confirmed"

    def _ping(self) -> str:
        return f"answered in {self._connected.wait_for_pong() * 1000:.1f} ms"
