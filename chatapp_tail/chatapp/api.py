"""ChatApp's API as this program uses it: channel auth, licences; see also `tokens`."""

import threading
import time
from collections.abc import Callable, Mapping
from typing import Generic, TypeVar

import msgspec

from ..errors import ApiError, CredentialsError, UntrustedError
from ..pusher.answers import AuthAnswer, Denied, Granted, TokenRefused, Unavailable, Untrusted
from ..redaction import register_signature
from .channels import license_and_messenger
from .http import AUTH_PATH, CHECK_URL, INVALID_TOKEN, Http, Response
from .licenses import License, explain_refusal, read_licenses
from .secret import Secret
from .tokens import TokenSource

_CACHE_TTL = 30.0

Answer = TypeVar("Answer")


class _Auth(msgspec.Struct):
    auth: str


class Api:
    """One account's access to the API; shared by several threads."""

    def __init__(self, http: Http, source: TokenSource) -> None:
        self._http = http
        self._source = source
        self._token_checks = _TtlCache(self._check_token)
        self._licenses = _TtlCache(lambda _: self.licenses(retry=False))

    def prepare(self) -> None:
        """Import what the first calls need; nothing is sent."""
        self._http.prepare()

    def prepare_all(self) -> None:
        """Import everything that any call may need; nothing is sent."""
        self._http.prepare_all()

    def authorise(self, socket_id: str, channel: str) -> AuthAnswer:
        """Ask for the signature that lets `socket_id` join `channel`.

        An expired token is refreshed and the request repeated. Both an expired token and a channel
        of another account can cause 401 or 403, so the token is checked to tell them apart.
        """
        form = {"socket_id": socket_id, "channel_name": channel}

        def send(token: Secret) -> Response:
            return self._http.send("POST", AUTH_PATH, headers=_auth_headers(token), form=form)

        try:
            return self._auth_answer(self._with_token(send), channel)
        except UntrustedError as error:
            # After a trusted response, it may be a transient interception.
            return Unavailable(str(error)) if self._http.trusted else Untrusted(error.reason)
        except ApiError as error:
            return Unavailable(str(error))
        except CredentialsError as error:
            return TokenRefused(str(error))

    def check_token(self) -> None:
        """Return if the token is accepted; CredentialsError or ApiError if not."""
        response = self._get_ok("/v1/tokens/check", retry=True)
        if not response.is_json:
            raise ApiError(f"{response.summary} without JSON; {CHECK_URL}")

    def licenses(self, *, retry: bool = True) -> list[License]:
        """Return the licences of the account; `retry` as `Http.get_with_retries` does."""
        response = self._get_ok("/v1/licenses", retry=retry)
        try:
            return read_licenses(response.text)
        except ValueError as error:
            raise ApiError(f"{response.summary} without JSON ({CHECK_URL})") from error

    def get(self, path: str, query: Mapping[str, str]) -> Response:
        """GET once, refreshing the token if needed; CredentialsError or ApiError on failure."""
        return self._with_token(
            lambda token: self._http.send("GET", path, headers=_auth_headers(token), query=query)
        )

    def _get_ok(self, path: str, *, retry: bool) -> Response:
        """Return a successful response; else ApiError or CredentialsError."""

        def send(token: Secret) -> Response:
            if retry:
                return self._http.get_with_retries(path, headers=_auth_headers(token))
            return self._http.send("GET", path, headers=_auth_headers(token))

        response = self._with_token(send)
        if response.retryable:
            raise ApiError(
                f"{response.summary}; try again later", retry_after=response.retry_after or 0.0
            )
        if not response.ok:
            refused = response.status in (401, 403) and not response.foreign
            advice = "check what this account may see" if refused else CHECK_URL
            raise ApiError(f"{response.summary}; {advice}", lasting=not response.foreign)
        return response

    def _with_token(self, send: Callable[[Secret], Response]) -> Response:
        """Return the response to a request, repeated once if the token has expired.

        ApiError, or CredentialsError when no token is accepted.
        """
        token = self._source.current()
        sent_at = time.monotonic()
        response = send(token)
        if self._token_expired(token, response, sent_at):
            token = self._refresh_token(token, response)
            sent_at = time.monotonic()
            response = send(token)
            if self._token_expired(token, response, sent_at):
                raise CredentialsError(f"{response.summary}, though the token is new")
        return response

    def _refresh_token(self, refused: Secret, response: Response) -> Secret:
        try:
            return self._source.refresh(refused)
        except CredentialsError as error:
            raise CredentialsError(f"the token is refused: {response.summary}; {error}") from error
        except (OSError, ImportError) as error:
            # No descriptor is left, or an upgrade has just replaced the program.
            raise ApiError(
                f"{response.summary}, and the token cannot be renewed: {error}"
            ) from error

    def _token_expired(self, token: Secret, response: Response, sent_at: float) -> bool:
        """Return whether a refusal is about the token rather than about the channel.

        After a 401, a cached check from before `sent_at` does not count.
        """
        if response.error_code == INVALID_TOKEN:
            return True
        if response.status not in (401, 403) or response.foreign:
            return False
        newer_than = sent_at if response.status == 401 else sent_at - _CACHE_TTL
        good = self._token_checks.get(token, newer_than)
        return response.status == 401 if good is None else not good

    def _check_token(self, token: Secret) -> bool | None:
        """Return the result of `/v1/tokens/check`; None when the response is inconclusive."""
        response = self._http.send("GET", "/v1/tokens/check", headers=_auth_headers(token))
        if response.token_refused:
            return False
        return True if response.ok else None

    def _auth_answer(self, response: Response, channel: str) -> AuthAnswer:
        if response.ok:
            body = response.decode(_Auth)
            if body and body.auth:
                register_signature(body.auth.rpartition(":")[2])
                return Granted(body.auth)
            return Unavailable(f"{response.summary} without a signature ({CHECK_URL})")
        if response.retryable or 300 <= response.status < 400 or response.status == 200:
            return Unavailable(response.summary, response.retry_after)
        if not (response.refuses or (response.status in (401, 403) and not response.foreign)):
            return Unavailable(
                f"{response.summary}, which is not ChatApp's own answer; {CHECK_URL}"
            )
        return Denied("; ".join(filter(None, (response.summary, self._explain(channel)))))

    def _explain(self, channel: str) -> str:
        recently = time.monotonic() - _CACHE_TTL
        licenses = self._licenses.get(self._source.current(), recently)
        return explain_refusal(licenses, *license_and_messenger(channel)) if licenses else ""


class _TtlCache(Generic[Answer]):
    """The last result for a token and the time it was requested; many channels share it."""

    def __init__(self, ask: Callable[[Secret], Answer]) -> None:
        self._ask = ask
        self._lock = threading.Lock()
        self._entry: tuple[Secret, float, Answer | None] | None = None

    def get(self, token: Secret, newer_than: float) -> Answer | None:
        """Return a result for `token` not older than `newer_than`; None when the request fails."""
        with self._lock:
            if self._entry and self._entry[0] == token and self._entry[1] >= newer_than:
                return self._entry[2]
            asked_at = time.monotonic()
            try:
                answer: Answer | None = self._ask(token)
            except (ApiError, CredentialsError):
                answer = None
            self._entry = (token, asked_at, answer)
            return answer


def _auth_headers(token: Secret) -> dict[str, str]:
    """Return the header as documented by the vendor: the token alone, without `Bearer`."""
    return {"Authorization": token.reveal()}
