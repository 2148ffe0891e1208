"""HTTP to ChatApp's API; the only module that uses `requests`.

`requests` is imported at the first call that needs it: it takes 55 ms of CPU. The calls that sign
subscriptions need it only behind a proxy or for an odd URL, see `direct`.
"""

import os
import socket
import time
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import msgspec

from .. import __version__
from ..errors import ApiError
from ..proxies import Proxy, proxy_for
from ..retry_after import parse_retry_after
from ..urls import split_base_url

if TYPE_CHECKING:
    import requests

    from .direct import Answer, Direct

INVALID_TOKEN = "ApiInvalidTokenError"
AUTH_PATH = "/broadcasting/auth"
_CONNECTIONS = 8
_HEADERS = {"User-Agent": f"chatapp-tail/{__version__}", "Accept": "application/json"}
_RETRY_AFTER_MAX = 60.0
_WAITS = (0.5, 1.0, 2.0, 4.0)
_WAIT_FOR_CONNECTION = 2.0
_PASSING = (408, 425, 429)


class _Error(msgspec.Struct):
    code: str | None = None
    message: str | None = None


class _Body(msgspec.Struct):
    """What answers have in common: ChatApp's error body, or Laravel's `{"message":…}`."""

    error: _Error | str | None = None
    message: str | None = None
    success: bool | None = None


class Reply(msgspec.Struct, frozen=True):
    """An HTTP answer. `said` tells a person what was asked and what came back."""

    status: int
    content: bytes
    headers: Mapping[str, str]
    said: str
    error_code: str | None
    is_json: bool

    @property
    def ok(self) -> bool:
        """Whether it is the answer that was asked for; ChatApp also fails with status 200."""
        return 200 <= self.status < 300 and self.error_code is None

    @property
    def token_refused(self) -> bool:
        """Whether the access token is no longer good."""
        return self.status == 401 or self.error_code == INVALID_TOKEN

    @property
    def passing(self) -> bool:
        """Whether the same request may well succeed later."""
        return self.status >= 500 or self.status in _PASSING

    @property
    def retry_after(self) -> float | None:
        """Seconds the server asks to wait, if it does."""
        return parse_retry_after(self.headers.get("Retry-After", ""))


def parse_url(url: str) -> str:
    """Return the base URL without a slash at the end; ValueError says what is wrong with it."""
    split_base_url(url, ("http", "https"))
    return url.rstrip("/")


class Http:
    """One kept-alive session with the API at `url`, shared by several threads.

    `timeout` (seconds) holds for the connect and for each read.
    """

    def __init__(
        self,
        url: str,
        *,
        ca_file: str | None = None,
        proxy: Proxy | None = None,
        timeout: float = 10.0,
    ) -> None:
        self.url = url
        self._ca_file = ca_file
        self._proxy = proxy
        self._timeout = timeout

    def prepare(self) -> None:
        """Import what the calls to come need, as long as there is nothing better to do."""
        if self._direct:
            self._direct.prepare()
        else:
            _ = self._session

    def send(
        self,
        method: str,
        path: str,
        *,
        headers: Mapping[str, str],
        form: Mapping[str, str] | None = None,
        json: Mapping[str, str] | None = None,
        query: Mapping[str, str] | None = None,
    ) -> Reply:
        """Send a request and return whatever answer comes; ApiError when none does."""
        asked = f"{method} {self.url}{path}"
        if method == "POST" and form is not None and self._direct:
            answer = self._post_directly(asked, path, headers, form)
            if answer.plain:
                return _reply(asked, answer.status, answer.content, answer.headers)
        import requests
        from urllib3.exceptions import HTTPError

        url = self.url + path
        try:
            request = self._session.prepare_request(
                requests.Request(
                    method, url, headers=dict(headers), params=query, data=form, json=json
                )
            )
            # By the adapter, since the session looks into a redirect even if it is not to follow
            # it, which fails on odd ones; it is never followed, lest it takes a token elsewhere.
            response = self._session.get_adapter(url).send(
                request,
                timeout=self._timeout,
                verify=self._ca_file or _authorities_of_environment(),
                proxies=self._session.proxies,
            )
            reply = _reply(asked, response.status_code, response.content, response.headers)
        except (requests.RequestException, HTTPError, ValueError) as error:
            # The last two: requests lets some of what a header of an answer can hold through.
            raise self._failed(asked, error) from error
        return reply

    def _post_directly(
        self, asked: str, path: str, headers: Mapping[str, str], form: Mapping[str, str]
    ) -> "Answer":
        from http.client import HTTPException

        assert self._direct is not None
        try:
            return self._direct.post(path, {**_HEADERS, **headers}, form)
        except (OSError, HTTPException, ValueError) as error:
            raise self._failed(asked, error) from error

    def _failed(self, asked: str, error: Exception) -> ApiError:
        through = f" (through the proxy {self._through})" if self._through else ""
        failed = f"{asked} failed{through}: {_why(error, self._timeout)}"
        return ApiError(f"{failed}; check --api-url and the network")

    @cached_property
    def _direct(self) -> "Direct | None":
        """The short way to the API, if nothing is in it."""
        from .direct import Direct

        if self._through or not Direct.reaches(self.url):
            return None
        if self.url.startswith("http:"):
            return Direct(self.url, "", self._timeout)
        authorities = self._ca_file or _authorities_of_environment()
        if authorities is True:
            import certifi  # what requests trusts

            authorities = certifi.where()
        if not Path(str(authorities)).is_file():
            return None  # a directory of authorities, or something for requests to complain of
        return Direct(self.url, str(authorities), self._timeout)

    def get_patiently(self, path: str, *, headers: Mapping[str, str]) -> Reply:
        """GET, a few times over as long as it fails in passing, and never for more than minutes.

        Not urllib3's Retry: it gives up on a Retry-After that it cannot read, and waits for hours
        on one that it can.
        """
        for wait in _WAITS:
            try:
                reply = self.send("GET", path, headers=headers)
            except ApiError:
                if wait >= _WAIT_FOR_CONNECTION:
                    raise
                asked = 0.0
            else:
                if not reply.passing:
                    return reply
                asked = min(reply.retry_after or 0.0, _RETRY_AFTER_MAX)
            time.sleep(max(wait, asked))
        return self.send("GET", path, headers=headers)

    @cached_property
    def _session(self) -> "requests.Session":
        from http.cookiejar import DefaultCookiePolicy

        import requests
        from requests.adapters import HTTPAdapter

        session = requests.Session()
        for scheme in ("http://", "https://"):
            session.mount(scheme, HTTPAdapter(pool_maxsize=_CONNECTIONS))
        session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
        session.headers.update(_HEADERS)
        # Off, because it also lets ~/.netrc replace the Authorization header.
        session.trust_env = False
        if proxy := self._through:
            session.proxies = {"http": proxy.url, "https": proxy.url}
        return session

    @cached_property
    def _through(self) -> Proxy | None:
        parts = urlsplit(self.url)
        return proxy_for(parts.scheme, parts.hostname or "", self._proxy)


def _reply(asked: str, status: int, content: bytes, headers: Mapping[str, str]) -> Reply:
    body, is_json = _body(content)
    error = _Error(message=body.error) if isinstance(body.error, str) else body.error or _Error()
    # A refusal that has no code still is one.
    code = error.code or ("no code" if body.success is False or body.error else None)
    detail = error.code or error.message or body.message
    said = f"{asked} answered {status}" + (f" ({detail})" if detail else "")
    if 300 <= status < 400:
        said += f", a redirect to {headers.get('Location')}, which is not followed"
    return Reply(status, content, headers, said, code, is_json)


def _body(content: bytes) -> tuple[_Body, bool]:
    """Return what the body says, as far as it has a known shape, and whether it is JSON at all."""
    try:
        return msgspec.json.decode(content, type=_Body), True
    except msgspec.ValidationError:
        return _Body(), True
    except (msgspec.DecodeError, RecursionError):
        return _Body(), False


def _authorities_of_environment() -> str | bool:
    """Return the bundle that requests would take from the environment, or True for its own."""
    for variable in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE"):
        if path := os.environ.get(variable):
            return path
    return True


def _why(error: Exception, timeout: float) -> str:
    """Return the cause a person can act on; requests wraps it three levels deep."""
    import requests

    if isinstance(error, requests.Timeout | TimeoutError):
        return f"no answer within {timeout:g} s"
    cause: BaseException = error
    while inner := cause.__cause__ or cause.__context__ or getattr(cause, "reason", None):
        if not isinstance(inner, BaseException) or inner is cause:
            break
        cause = inner
    if isinstance(cause, socket.gaierror):
        return f"its name cannot be resolved: {cause.strerror}"
    if untrusted := getattr(cause, "verify_message", ""):
        return (
            f"its certificate is not trusted ({untrusted}); --ca-file names an authority to trust"
        )
    if isinstance(cause, OSError):
        return cause.strerror or str(cause) or type(cause).__name__
    return type(cause).__name__
