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
        self._checked = _TtlCache(self._ask_whether_good)
        self._licenses = _TtlCache(lambda _: self.licenses(patient=False))

    def prepare(self) -> None:
        """Get ready to be asked; nothing is sent."""
        self._http.prepare()

    def prepare_all(self) -> None:
        """Import all that calls can ever need; nothing is sent."""
        self._http.prepare_all()

    def authorise(self, socket_id: str, channel: str) -> AuthAnswer:
        """Ask for the signature that lets `socket_id` join `channel`.

        A dead token is renewed and the request repeated. Both a dead token and a channel of
        somebody else can look like 401 or 403, so the token is checked to tell them apart.
        """
        form = {"socket_id": socket_id, "channel_name": channel}

        def send(token: Secret) -> Response:
            return self._http.send("POST", AUTH_PATH, headers=_auth_headers(token), form=form)

        try:
            return self._auth_answer(self._with_token(send), channel)
        except UntrustedError as error:
            # After an answer that was trusted, it may be a passing interception.
            return Unavailable(str(error)) if self._http.trusted else Untrusted(error.reason)
        except ApiError as error:
            return Unavailable(str(error))
        except CredentialsError as error:
            return TokenRefused(str(error))

    def check_token(self) -> None:
        """Return if the token is good; CredentialsError or ApiError if not."""
        reply = self._get("/v1/tokens/check", patient=True)
        if not reply.is_json:
            raise ApiError(f"{reply.said} without JSON; {CHECK_URL}")

    def licenses(self, *, patient: bool = True) -> list[License]:
        """Return the licences of the account; `patient` as for `Http.get_with_retries`."""
        reply = self._get("/v1/licenses", patient=patient)
        try:
            return read_licenses(reply.text)
        except ValueError as error:
            raise ApiError(f"{reply.said} without JSON ({CHECK_URL})") from error

    def ask(self, path: str, query: Mapping[str, str]) -> Response:
        """GET once, renewing the token if need be; CredentialsError, or ApiError for no answer."""
        return self._with_token(
            lambda token: self._http.send("GET", path, headers=_auth_headers(token), query=query)
        )

    def _get(self, path: str, *, patient: bool) -> Response:
        """Return a good answer; ApiError or CredentialsError."""

        def send(token: Secret) -> Response:
            if patient:
                return self._http.get_with_retries(path, headers=_auth_headers(token))
            return self._http.send("GET", path, headers=_auth_headers(token))

        reply = self._with_token(send)
        if reply.passing:
            raise ApiError(f"{reply.said}; try again later", retry_after=reply.retry_after or 0.0)
        if not reply.ok:
            refused = reply.status in (401, 403) and not reply.foreign
            advice = "check what this account may see" if refused else CHECK_URL
            raise ApiError(f"{reply.said}; {advice}", lasting=not reply.foreign)
        return reply

    def _with_token(self, send: Callable[[Secret], Response]) -> Response:
        """Return the answer to a request, sent again with a new token if the first one is dead.

        ApiError, or CredentialsError when there is no token that is accepted.
        """
        token = self._source.current()
        began = time.monotonic()
        reply = send(token)
        if self._is_dead(token, reply, began):
            token = self._renewed(token, reply)
            began = time.monotonic()
            reply = send(token)
            if self._is_dead(token, reply, began):
                raise CredentialsError(f"{reply.said}, though the token is new")
        return reply

    def _renewed(self, refused: Secret, reply: Response) -> Secret:
        try:
            return self._source.renew(refused)
        except CredentialsError as error:
            raise CredentialsError(f"the token is refused: {reply.said}; {error}") from error
        except (OSError, ImportError) as error:
            # No descriptor is left, or an upgrade has just replaced the program.
            raise ApiError(f"{reply.said}, and the token cannot be renewed: {error}") from error

    def _is_dead(self, token: Secret, reply: Response, began: float) -> bool:
        """Return whether a refusal is about the token rather than about the channel.

        To a 401 says nothing what was known of the token before the refused request `began`.
        """
        if reply.error_code == INVALID_TOKEN:
            return True
        if reply.status not in (401, 403) or reply.foreign:
            return False
        since = began if reply.status == 401 else began - _CACHE_TTL
        good = self._checked.get(token, since)
        return reply.status == 401 if good is None else not good

    def _ask_whether_good(self, token: Secret) -> bool | None:
        """Return what `/v1/tokens/check` says; None when it says nothing usable."""
        reply = self._http.send("GET", "/v1/tokens/check", headers=_auth_headers(token))
        if reply.token_refused:
            return False
        return True if reply.ok else None

    def _auth_answer(self, reply: Response, channel: str) -> AuthAnswer:
        if reply.ok:
            body = reply.decode(_Auth)
            if body and body.auth:
                register_signature(body.auth.rpartition(":")[2])
                return Granted(body.auth)
            return Unavailable(f"{reply.said} without a signature ({CHECK_URL})")
        if reply.passing or 300 <= reply.status < 400 or reply.status == 200:
            return Unavailable(reply.said, reply.retry_after)
        if not (reply.refuses or (reply.status in (401, 403) and not reply.foreign)):
            return Unavailable(f"{reply.said}, which is not ChatApp's own answer; {CHECK_URL}")
        return Denied("; ".join(filter(None, (reply.said, self._explain(channel)))))

    def _explain(self, channel: str) -> str:
        recently = time.monotonic() - _CACHE_TTL
        licenses = self._licenses.get(self._source.current(), recently)
        return explain_refusal(licenses, *license_and_messenger(channel)) if licenses else ""


class _TtlCache(Generic[Answer]):
    """The last answer about a token, with when it was asked for; many channels share it."""

    def __init__(self, ask: Callable[[Secret], Answer]) -> None:
        self._ask = ask
        self._lock = threading.Lock()
        self._known: tuple[Secret, float, Answer | None] | None = None

    def get(self, token: Secret, since: float) -> Answer | None:
        """Return an answer for `token` not older than `since`; None when it cannot be had."""
        with self._lock:
            if self._known and self._known[0] == token and self._known[1] >= since:
                return self._known[2]
            asked = time.monotonic()
            try:
                answer: Answer | None = self._ask(token)
            except (ApiError, CredentialsError):
                answer = None
            self._known = (token, asked, answer)
            return answer


def _auth_headers(token: Secret) -> dict[str, str]:
    """Return the header the vendor wants: the token as it is, without `Bearer`."""
    return {"Authorization": token.reveal()}
