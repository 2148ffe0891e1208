"""HTTP to ChatApp's API: requests, responses and the reasons of failures.

Every request goes through `Http.send`, by one of two ways: `auth_connections`, or `proxied` with a
proxy. The same limits of time and size apply to both, and every response becomes a `Response` or
an ApiError.
"""

import contextlib
import json as stdlib_json
import os
import socket
import ssl
import time
from collections.abc import Iterator, Mapping
from functools import cached_property
from importlib import import_module
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import urlsplit

import msgspec

from .. import __version__, raw_json
from ..errors import ApiError, UntrustedError
from ..net import Proxy, parse_retry_after, proxy_for, split_base_url
from ..raw_json import replace_surrogates

if TYPE_CHECKING:
    from .auth_connections import AuthConnections, RawResponse
    from .proxied import Session

Shape = TypeVar("Shape")

INVALID_TOKEN = "ApiInvalidTokenError"
AUTH_PATH = "/broadcasting/auth"
CHECK_URL = "is --api-url right?"
_HEADERS = {"User-Agent": f"chatapp-tail/{__version__}", "Accept": "application/json"}
_RETRY_AFTER_MAX = 60.0
_WAITS = (0.5, 1.0, 2.0, 4.0)
_WAIT_FOR_CONNECTION = 2.0
_RETRYABLE = (408, 425, 429)
_EXCHANGE_WAITS = 3.0
"""Limit of a whole exchange, as a multiple of the limit of one wait."""
_MAX_FAILED_ATTEMPT = 10.0
"""Seconds; a request that took longer to fail is not repeated."""


class _Error(msgspec.Struct):
    code: str | None = None
    message: str | None = None


class _Body(msgspec.Struct, frozen=True):
    """The members common to bodies: ChatApp's error, or Laravel's `{"message":…}`."""

    error: _Error | str | None = None
    message: str | None = None
    success: bool | None = None


_NO_BODY = _Body()


class Response(msgspec.Struct, frozen=True):
    """An HTTP response. `summary` has the request and the status, for people.

    `content` is decoded and valid UTF-8, with replacement characters where it was not. `refuses`
    tells whether it is an error of ChatApp itself: the bodies of an intermediary differ.
    """

    status: int
    content: bytes
    headers: Mapping[str, str]
    summary: str
    error_code: str | None
    is_json: bool
    refuses: bool = False

    @property
    def text(self) -> str:
        """The body as text."""
        return self.content.decode()

    @property
    def ok(self) -> bool:
        """Whether the request succeeded; ChatApp also reports errors with status 200."""
        return 200 <= self.status < 300 and self.error_code is None

    @property
    def token_refused(self) -> bool:
        """Whether the access token is not accepted, as far as this response tells."""
        return self.error_code == INVALID_TOKEN or (self.status == 401 and not self.foreign)

    @property
    def foreign(self) -> bool:
        """Whether it is an error of an intermediary, such as the page of a gateway.

        An error without any body may be ChatApp's.
        """
        return self.status >= 400 and bool(self.content) and not self.refuses

    @property
    def retryable(self) -> bool:
        """Whether the same request may well succeed later."""
        return self.status >= 500 or self.status in _RETRYABLE

    @property
    def retry_after(self) -> float | None:
        """Seconds the server asks to wait, None if it does not."""
        return parse_retry_after(self.headers.get("Retry-After", ""))

    def decode(self, shape: type[Shape]) -> Shape | None:
        """Return the body as a struct, None when it has another shape."""
        try:
            return msgspec.json.decode(self.content, type=shape)
        except raw_json.DECODE_ERRORS:
            # Half an emoji in a member that nobody needs is refused as well.
            with contextlib.suppress(ValueError, RecursionError, msgspec.ValidationError):
                return msgspec.convert(stdlib_json.loads(self.text), shape)
            return None


def parse_url(url: str) -> str:
    """Return the base URL without a slash at the end; ValueError says what is wrong with it."""
    split_base_url(url, ("http", "https"))
    return url.rstrip("/")


class Http:
    """Kept-alive connections with the API at `url`, shared by several threads.

    `timeout` (seconds) limits each wait: for a name, a connection, a handshake, a read. A whole
    exchange may take three times as long, however slowly its bytes arrive.
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
        self.trusted = False
        """Whether there was a response, over TLS from a server with a trusted certificate."""
        self._ca_file = ca_file
        self._given_proxy = proxy
        self._timeout = timeout

    def prepare(self) -> None:
        """Import what the next calls need, while the program would wait."""
        # A call will report the failure.
        with contextlib.suppress(OSError, ImportError):
            if self._direct and self.url.startswith("https:"):
                _ = self._tls
            elif not self._direct:
                _ = self._session

    def prepare_all(self) -> None:
        """Import what any call may need, before an upgrade replaces the files."""
        for module in ("encodings.idna", "zlib"):
            import_module(module)
        if not self._direct:
            _ = self._session
        if self._proxy and self._proxy.scheme != "http":
            import_module("socks")

    def send(
        self,
        method: str,
        path: str,
        *,
        headers: Mapping[str, str],
        form: Mapping[str, str] | None = None,
        json: Mapping[str, str] | None = None,
        query: Mapping[str, str] | None = None,
    ) -> Response:
        """Send a request and return the response; ApiError when there is none.

        UntrustedError, a kind of ApiError, when the server's certificate is not trusted.
        """
        request = f"{method} {self.url}{path}"
        start = time.monotonic()
        try:
            from .auth_connections import Call
            from .sockets import within

            with within(self._timeout, self._timeout * _EXCHANGE_WAITS):
                call = Call(method, path, {**_HEADERS, **headers}, form, json, query)
                answer = (self._direct or self._session).send(call)
                response = _response(request, answer)
        except Exception as error:
            # A response can make libraries raise undocumented exceptions, and an upgrade in place
            # or a lack of descriptors makes even an import fail.
            raise self._failed(request, error, time.monotonic() - start) from error
        self.trusted = True
        return response

    def _failed(self, request: str, error: Exception, elapsed: float) -> ApiError:
        through = f" (through the proxy {self._proxy})" if self._proxy else ""
        failed = f"{request} failed{through}: "
        if untrusted := _untrusted(error):
            return UntrustedError(f"{failed}its certificate is not trusted ({untrusted})")
        if elapsed >= self._timeout * _EXCHANGE_WAITS:
            reason = f"no whole answer within {self._timeout * _EXCHANGE_WAITS:g} s"
        else:
            reason = _describe_error(error, self._timeout)
        return ApiError(f"{failed}{reason}; check --api-url and the network")

    @cached_property
    def _direct(self) -> "AuthConnections | None":
        """Connections by `http.client`, if there is no proxy and the URL is supported."""
        from .auth_connections import AuthConnections

        if self._proxy or not AuthConnections.supports(self.url):
            return None
        return AuthConnections(self.url, lambda: self._tls)

    @cached_property
    def _session(self) -> "Session":
        from .proxied import Session

        tls = self._tls if self.url.startswith("https:") else None
        return Session(self.url, self._proxy, tls)

    @cached_property
    def _tls(self) -> ssl.SSLContext:
        # Shared by all connections: reading the authorities takes 14 ms, and an upgrade may
        # remove the file of certifi.
        from .sockets import tls_context

        return tls_context(authorities_file(self._ca_file))

    def get_with_retries(self, path: str, *, headers: Mapping[str, str]) -> Response:
        """GET, repeated a few times after transient failures, within minutes.

        Not urllib3's Retry: it fails on a Retry-After that it cannot parse, and otherwise waits
        for as long as the header says, even for hours.
        """
        for wait in _WAITS:
            start = time.monotonic()
            try:
                response = self.send("GET", path, headers=headers)
            except UntrustedError:
                raise
            except ApiError:
                if wait >= _WAIT_FOR_CONNECTION or time.monotonic() - start > _MAX_FAILED_ATTEMPT:
                    raise
                delay = 0.0
            else:
                if not response.retryable:
                    return response
                delay = min(response.retry_after or 0.0, _RETRY_AFTER_MAX)
            time.sleep(max(wait, delay))
        return self.send("GET", path, headers=headers)

    @cached_property
    def _proxy(self) -> Proxy | None:
        parts = urlsplit(self.url)
        return proxy_for(parts.scheme, parts.hostname or "", self._given_proxy)


def named_authorities() -> Iterator[tuple[str, str]]:
    """Yield (variable, path) of certificate authorities in the environment; the first counts."""
    for variable in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE"):
        if path := os.environ.get(variable):
            yield variable, path


def authorities_file(given: str | None) -> str:
    """Return the file or directory of authorities: the one given, the environment's, certifi's."""
    if authorities := given or next((path for _, path in named_authorities()), None):
        return authorities
    import certifi

    return certifi.where()


def _response(request: str, answer: "RawResponse") -> Response:
    content = _decoded(answer.content, answer.headers.get("Content-Encoding") or "")
    body, is_json = _body(content)
    error = _Error(message=body.error) if isinstance(body.error, str) else body.error or _Error()
    # A refusal without a code counts as well.
    code = error.code or ("no code" if body.success is False or body.error else None)
    detail = error.code or error.message or body.message
    summary = f"{request} answered {answer.status}" + (f" ({detail})" if detail else "")
    if 300 <= answer.status < 400:
        summary += f", a redirect to {answer.headers.get('Location')}, which is not followed"
    refuses = code is not None or body.message is not None
    return Response(answer.status, content, answer.headers, summary, code, is_json, refuses)


def _decoded(content: bytes, encoding: str) -> bytes:
    """Return a body decompressed, in valid UTF-8; OSError when it is too large or incomplete."""
    if encoding.strip().lower() not in ("", "identity"):
        content = _inflated(content, encoding.strip().lower())
    try:
        content.decode()
    except UnicodeDecodeError:
        return content.decode("utf-8", "replace").encode()
    return content


def _inflated(content: bytes, encoding: str) -> bytes:
    import zlib

    from .auth_connections import MAX_BODY_BYTES, check_size

    if encoding not in ("gzip", "x-gzip", "deflate"):
        raise OSError(f"its answer is encoded as {encoding}, which was not asked for")
    whole = b""
    while content:
        # 32: a gzip or zlib header. A gzip body may have several members.
        part = zlib.decompressobj(zlib.MAX_WBITS | 32)
        whole += part.decompress(content, MAX_BODY_BYTES + 1 - len(whole))
        check_size(len(whole))
        if not part.eof:
            raise OSError("its answer is compressed and not whole")
        content = part.unused_data
    return whole


def _body(content: bytes) -> tuple[_Body, bool]:
    """Return the known members of a body, and whether it is JSON."""
    try:
        return msgspec.json.decode(content, type=_Body), True
    except msgspec.ValidationError:
        return _odd_body(content), True
    except (msgspec.DecodeError, RecursionError):
        odd = _odd_body(content)
        return odd, odd is not _NO_BODY


def _odd_body(content: bytes) -> _Body:
    """Return the known members of a body that msgspec refuses, for a type or a lone surrogate."""
    try:
        document = stdlib_json.loads(content.decode())
    except (ValueError, RecursionError):
        return _NO_BODY
    members = document if isinstance(document, dict) else {}
    error = members.get("error")
    if isinstance(error, dict):
        error = _Error(_text(error.get("code")), _text(error.get("message")))
    elif not isinstance(error, str):
        error = _Error("no code") if error else None
    return _Body(error, _text(members.get("message")), members.get("success") is not False)


def _text(value: object) -> str | None:
    return None if value is None else replace_surrogates(str(value))


def _causes(error: BaseException) -> Iterator[BaseException]:
    """Yield an error and its causes, outermost first, in whatever attribute libraries keep them."""
    seen: list[BaseException] = []
    waiting: list[object] = [error]
    while waiting:
        cause = waiting.pop(0)
        if isinstance(cause, BaseException) and cause not in seen:
            seen.append(cause)
            yield cause
            beneath = (getattr(cause, name, None) for name in ("reason", "socket_err"))
            waiting += [*beneath, cause.__cause__, cause.__context__]


def _untrusted(error: BaseException) -> str:
    """Return the reason why the server's certificate is not trusted, else empty text."""
    for cause in _causes(error):
        if isinstance(cause, ssl.SSLCertVerificationError):
            return cause.verify_message or str(cause)
    return ""


def _describe_error(error: BaseException, timeout: float) -> str:
    """Return the cause that a person can act on; libraries wrap it three levels deep."""
    causes = list(_causes(error))
    for cause in causes:
        if isinstance(cause, socket.gaierror):
            return f"its name cannot be resolved: {cause.strerror}"
    cause = causes[-1]
    if isinstance(cause, TimeoutError):
        stopped = any(type(known).__name__ == "BodyTimeout" for known in causes)
        return f"{'its answer stopped for' if stopped else 'no answer within'} {timeout:g} s"
    if isinstance(cause, OSError | ImportError):
        return getattr(cause, "strerror", None) or str(cause) or type(cause).__name__
    return type(cause).__name__
