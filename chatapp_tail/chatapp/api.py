"""ChatApp's HTTP API; the only module that speaks HTTP.

`requests` is imported at the first call: it takes 80 ms, and the first call is made by an auth
thread while the socket is already up.
"""

import os
from functools import cached_property
from http.cookiejar import DefaultCookiePolicy
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import msgspec

from .. import __version__
from ..proxies import Proxy, proxy_for
from ..pusher.answers import AuthAnswer, Denied, Granted, TokenRefused, Unavailable
from .tokens import Secret

if TYPE_CHECKING:
    import requests

INVALID_TOKEN = "ApiInvalidTokenError"
_CONNECTIONS = 8
_RETRYABLE = (408, 425, 429)


class _Error(msgspec.Struct):
    code: str | None = None
    message: str | None = None


class _AuthBody(msgspec.Struct):
    """`{"auth":"KEY:SIGNATURE"}`, or ChatApp's error body, or Laravel's `{"message":…}`."""

    auth: str | None = None
    error: _Error | None = None
    message: str | None = None


def parse_url(url: str) -> str:
    """Return the base URL without a slash at the end; ValueError says what is wrong with it."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https"):
        raise ValueError("it must start with http:// or https://")
    if not parts.hostname:
        raise ValueError("it has no host")
    if parts.query or parts.fragment or parts.username is not None:
        raise ValueError("it may hold a host, a port and a path, nothing else")
    try:
        parts.port  # noqa: B018 - it is checked when read
    except ValueError:
        raise ValueError("its port is not a number from 1 to 65535") from None
    return url.rstrip("/")


class Api:
    """One account's access to the API at `url`; shared by up to eight threads.

    `timeout` (seconds) holds for the connect and for each read of every call.
    """

    def __init__(
        self,
        url: str,
        token: Secret,
        *,
        ca_file: str | None = None,
        proxy: Proxy | None = None,
        timeout: float = 10.0,
    ) -> None:
        self._url = url
        self._token = token
        self._ca_file = ca_file
        self._proxy = proxy
        self._timeout = timeout

    @cached_property
    def _session(self) -> "requests.Session":
        import requests
        from requests.adapters import HTTPAdapter

        session = requests.Session()
        # Off, because it also lets ~/.netrc replace the Authorization header.
        session.trust_env = False
        session.verify = self._ca_file or _authorities_of_environment()
        parts = urlsplit(self._url)
        proxy = proxy_for(parts.scheme, parts.hostname or "", self._proxy)
        if proxy:
            session.proxies = {"http": proxy.url, "https": proxy.url}
        adapter = HTTPAdapter(pool_connections=1, pool_maxsize=_CONNECTIONS)
        session.mount("https://", adapter)
        session.mount("http://", adapter)
        session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
        session.headers["User-Agent"] = f"chatapp-tail/{__version__}"
        session.headers["Accept"] = "application/json"
        return session

    def authorise(self, socket_id: str, channel: str) -> AuthAnswer:
        """Ask for the signature that lets `socket_id` join `channel`."""
        import requests

        url = f"{self._url}/broadcasting/auth"
        try:
            response = self._session.post(
                url,
                data={"socket_id": socket_id, "channel_name": channel},
                headers={"Authorization": self._token.reveal()},
                timeout=self._timeout,
                # A redirect to another host must not carry the token there.
                allow_redirects=False,
            )
        except requests.RequestException as error:
            return Unavailable(f"POST {url} failed: {_why(error, self._timeout)}")
        return _auth_answer(url, response)


def _authorities_of_environment() -> str | bool:
    """Return the bundle that requests would take from the environment, or True for its own."""
    for variable in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE"):
        if path := os.environ.get(variable):
            return path
    return True


def _auth_answer(url: str, response: "requests.Response") -> AuthAnswer:
    status, body = response.status_code, _body(response.content)
    said = f"POST {url} answered {status}"
    error = (body and body.error) or _Error()
    if detail := error.code or error.message or (body and body.message):
        said += f" ({detail})"
    if status == 401 or error.code == INVALID_TOKEN:
        return TokenRefused(said)
    if status == 200 and body and body.auth:
        return Granted(body.auth)
    if status == 200:
        return Unavailable(f"{said} without a signature (is --api-url right?)")
    if 300 <= status < 400:
        location = response.headers.get("Location", "nowhere")
        return Unavailable(f"{said}, a redirect to {location}, which is not followed")
    if status >= 500 or status in _RETRYABLE:
        return Unavailable(said, _retry_after(response.headers.get("Retry-After", "")))
    return Denied(said)


def _body(content: bytes) -> _AuthBody | None:
    try:
        return msgspec.json.decode(content, type=_AuthBody)
    except (msgspec.DecodeError, RecursionError):
        return None


def _retry_after(text: str) -> float | None:
    return float(text) if text.isdecimal() else None


def _why(error: "requests.RequestException", timeout: float) -> str:
    """Return the cause a person can act on; requests wraps it three levels deep."""
    import requests

    if isinstance(error, requests.Timeout):
        return f"no answer within {timeout:g} s"
    cause: BaseException = error
    while inner := cause.__cause__ or cause.__context__ or getattr(cause, "reason", None):
        if not isinstance(inner, BaseException) or inner is cause:
            break
        cause = inner
    if isinstance(cause, OSError) and cause.strerror:
        return getattr(cause, "verify_message", "") or cause.strerror
    return type(cause).__name__
