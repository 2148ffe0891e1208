"""The calls of ChatApp's API: tokens, channel authorisation, licences; see also `history`."""

import json
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Generic, TypeVar

import msgspec

from .. import raw_json
from ..errors import ApiError, CredentialsError, UntrustedError
from ..pusher.answers import AuthAnswer, Denied, Granted, TokenRefused, Unavailable, Untrusted
from ..redaction import register_signature
from .channels import license_and_messenger
from .http import AUTH_PATH, INVALID_TOKEN, Http, Response
from .licenses import License, explain_refusal, read_licenses
from .secret import Secret
from .token_store import TokenPair
from .tokens import TokenSource, is_header_safe

_CACHE_TTL = 30.0
_NOT_CHATAPP = (404, 405)
_CHECK_URL = "is --api-url right?"

Answer = TypeVar("Answer")


class _Auth(msgspec.Struct):
    auth: str


class _Pair(msgspec.Struct, rename="camel"):
    """Only the tokens have a type: a refresh voids the old pair, so the new one must be read."""

    access_token: str
    refresh_token: str
    access_token_end_time: object = None
    refresh_token_end_time: object = None
    cabinet_user_id: object = None


class _PairBody(msgspec.Struct):
    data: _Pair


def make_tokens(http: Http, email: str, password: Secret, app_id: str) -> TokenPair:
    """Log in; CredentialsError when refused. Only on request: 100 logins per day are allowed."""
    credentials = {"email": email, "password": password.reveal(), "appId": app_id}
    response = http.send("POST", "/v1/tokens", headers={}, json=credentials)
    if response.ok:
        return _pair(response)
    if response.retryable:
        wait = f"; it asks to wait {response.retry_after:g} s" if response.retry_after else ""
        raise ApiError(f"{response.summary}{wait}; try again later (100 logins a day are allowed)")
    if not _is_refusal(response):
        raise ApiError(f"{response.summary}; {_CHECK_URL}")
    raise CredentialsError(f"{response.summary}; check email, password and appId")


def refresh_tokens(http: Http, refresh: Secret) -> TokenPair:
    """Exchange a refresh token for a new pair, which voids the old one.

    CredentialsError only when ChatApp itself refuses it; ApiError for transient failures.
    """
    response = http.send("POST", "/v1/tokens/refresh", headers={"Refresh": refresh.reveal()})
    if response.ok:
        return _pair(response)
    if response.retryable or not _is_refusal(response):
        raise ApiError(response.summary)
    raise CredentialsError(f"{response.summary}; run chatapp-tail login")


def _is_refusal(response: Response) -> bool:
    """Return whether ChatApp itself refuses credentials: the bodies of a gateway differ."""
    return (
        response.refuses
        and response.status not in _NOT_CHATAPP
        and not 300 <= response.status < 400
    )


def _pair(response: Response) -> TokenPair:
    body = _read(response, _PairBody)
    if body is None:
        raise ApiError(f"{response.summary} without a token pair ({_CHECK_URL})")
    pair = body.data
    if not (is_header_safe(pair.access_token) and is_header_safe(pair.refresh_token)):
        raise ApiError(f"{response.summary} with tokens that no request can carry")
    return TokenPair(
        access_token=pair.access_token,
        access_end=_seconds(pair.access_token_end_time),
        refresh_token=pair.refresh_token,
        refresh_end=_seconds(pair.refresh_token_end_time),
        user_id=pair.cabinet_user_id if isinstance(pair.cabinet_user_id, int) else None,
    )


def _seconds(moment: object) -> int:
    """Return a time as whole seconds, 0 when it cannot be parsed."""
    try:
        return int(float(moment)) if isinstance(moment, int | float | str) else 0
    except (ValueError, OverflowError):
        return 0


class Api:
    """One account's access to the API; shared by several threads."""

    def __init__(self, http: Http, source: TokenSource) -> None:
        self._http = http
        self._source = source
        self._token_checks = _TtlCache(self._check_token)
        self._licenses = _TtlCache(lambda _: self.licenses(patient=False))

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
        response = self._get_ok("/v1/tokens/check", patient=True)
        if not response.is_json:
            raise ApiError(f"{response.summary} without JSON; {_CHECK_URL}")

    def licenses(self, *, patient: bool = True) -> list[License]:
        """Return the licences of the account; `patient` as for `Http.get_with_retries`."""
        response = self._get_ok("/v1/licenses", patient=patient)
        try:
            return read_licenses(response.text)
        except ValueError as error:
            raise ApiError(f"{response.summary} without JSON ({_CHECK_URL})") from error

    def get(self, path: str, query: Mapping[str, str]) -> Response:
        """GET once, refreshing the token if needed; CredentialsError or ApiError on failure."""
        return self._with_token(
            lambda token: self._http.send("GET", path, headers=_auth_headers(token), query=query)
        )

    def _get_ok(self, path: str, *, patient: bool) -> Response:
        """Return a successful response; else ApiError or CredentialsError."""

        def send(token: Secret) -> Response:
            if patient:
                return self._http.get_with_retries(path, headers=_auth_headers(token))
            return self._http.send("GET", path, headers=_auth_headers(token))

        response = self._with_token(send)
        if response.retryable:
            raise ApiError(
                f"{response.summary}; try again later", retry_after=response.retry_after or 0.0
            )
        if not response.ok:
            refused = response.status in (401, 403) and not response.foreign
            advice = "check what this account may see" if refused else _CHECK_URL
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
            body = _read(response, _Auth)
            if body and body.auth:
                register_signature(body.auth.rpartition(":")[2])
                return Granted(body.auth)
            return Unavailable(f"{response.summary} without a signature ({_CHECK_URL})")
        if response.retryable or 300 <= response.status < 400 or response.status == 200:
            return Unavailable(response.summary, response.retry_after)
        if not (response.refuses or (response.status in (401, 403) and not response.foreign)):
            return Unavailable(
                f"{response.summary}, which is not ChatApp's own answer; {_CHECK_URL}"
            )
        return Denied("; ".join(filter(None, (response.summary, self._explain(channel)))))

    def _explain(self, channel: str) -> str:
        recently = time.monotonic() - _CACHE_TTL
        licenses = self._licenses.get(self._source.current(), recently)
        return explain_refusal(licenses, *license_and_messenger(channel)) if licenses else ""


def _read(response: Response, shape: type[Answer]) -> Answer | None:
    """Return a body as `shape`, None when it does not match."""
    try:
        return msgspec.json.decode(response.content, type=shape)
    except raw_json.DECODE_ERRORS:
        # A lone surrogate in an unused member is refused as well.
        with suppress(ValueError, RecursionError, msgspec.ValidationError):
            return msgspec.convert(json.loads(response.text), shape)
        return None


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
