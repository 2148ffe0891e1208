"""Kept-alive connections to the API without a proxy, by `http.client`.

`requests` takes 55 ms of CPU and 12 MiB to import and 360 µs per call, against 6 ms and 90 µs here:
a quarter of a tail's start, and half of it with 500 channels. Only URLs with an ASCII host and path
are supported. `proxied` has the rest; `http` interprets responses.
"""

import contextlib
import re
import select
import socket
import ssl
from collections import deque
from collections.abc import Callable, Mapping
from http.client import HTTPConnection, HTTPSConnection, IncompleteRead
from typing import Any, NamedTuple, cast
from urllib.parse import quote, urlencode, urlsplit

import msgspec

from .sockets import connect

_SAFE_IN_PATH = "/%:@!$&'()*+,;=~"
"""Characters that need no quoting in a path, besides letters, digits and `-._`."""
_BLOCK = 64 * 1024
MAX_BODY_BYTES = 16 * 1024 * 1024
"""Most bytes of a body, as sent and after decompression."""


_FORM = "application/x-www-form-urlencoded"
ENCODINGS = "gzip, deflate"


class Call(NamedTuple):
    """A request: its path below the URL of the API, and at most one of `form` and `json`."""

    method: str
    path: str
    headers: Mapping[str, str]
    form: Mapping[str, str] | None
    json: Mapping[str, str] | None
    query: Mapping[str, str] | None


class RawResponse(NamedTuple):
    """A response; `content` may be encoded as the header `Content-Encoding` says."""

    status: int
    headers: Mapping[str, str]
    content: bytes


class BodyTimeout(Exception):
    """A body stopped arriving, as opposed to no response at all."""


class AuthConnections:
    """Kept-alive connections to one API, as many as there are concurrent calls.

    `tls` returns the context for https. Use it under `sockets.within`.
    """

    def __init__(self, url: str, tls: Callable[[], ssl.SSLContext]) -> None:
        self._parts = urlsplit(url)
        self._tls = tls
        self._idle: deque[_Connection] = deque()

    def __del__(self) -> None:
        for connection in self._idle:
            connection.close()

    @staticmethod
    def supports(url: str) -> bool:
        """Return whether a URL can be used without the URL handling of `requests`."""
        plain = r"https?://([A-Za-z0-9.-]+|\[[0-9a-f:]+\])(:[0-9]+)?(/[A-Za-z0-9/_-]*)?"
        return re.fullmatch(plain, url) is not None

    def send(self, call: Call) -> RawResponse:
        """Send a request; OSError, HTTPException or ValueError when there is no response.

        The server may close a kept-alive connection just as it is used. Then the request is
        repeated once over a new one. A request that must not be repeated uses a new one at once.
        """
        if (call.method == "GET" or call.form is not None) and (kept := self._reusable()):
            with contextlib.suppress(ConnectionError):
                return self._send_by(kept, call)
        return self._send_by(self._new_connection(), call)

    def _send_by(self, connection: "_Connection", call: Call) -> RawResponse:
        target = quote(self._parts.path + call.path, safe=_SAFE_IN_PATH)
        target += f"?{urlencode(call.query)}" if call.query else ""
        headers, body = _body_of(call)
        try:
            connection.holds = body is not None
            connection.request(call.method, target, body, {**call.headers, **headers})
            response = connection.getresponse()
            content = read_body(response.read)
            if response.length:
                raise IncompleteRead(content, response.length)
        except BaseException:
            connection.close()
            raise
        self._idle.append(connection)
        return RawResponse(response.status, cast("Mapping[str, str]", response.headers), content)

    def _reusable(self) -> "_Connection | None":
        """Return the connection used last, unless the server closed it; threads share none."""
        try:
            connection = self._idle.pop()
        except IndexError:
            return None
        if connection.sock and not _is_readable(connection.sock):
            return connection
        connection.close()
        return None

    def _new_connection(self) -> "_Connection":
        host, port = self._parts.hostname or "", self._parts.port
        if self._parts.scheme == "http":
            return _Connection(host, port)
        return _TLSConnection(host, port, context=self._tls())


def _body_of(call: Call) -> tuple[dict[str, str], bytes | None]:
    """Return the headers that depend on the body, and the body."""
    if call.form is not None:
        return {"Content-Type": _FORM}, urlencode(call.form).encode()
    if call.json is not None:
        return {"Content-Type": "application/json"}, msgspec.json.encode(call.json)
    return ({"Accept-Encoding": ENCODINGS} if call.method == "GET" else {}), None


class _Connection(HTTPConnection):
    """Sends header and body together, when it `holds` the header: a system call takes 50 µs."""

    holds = False
    _held = b""

    def connect(self) -> None:
        self.sock = connect(self.host, self.port)

    def send(self, data: Any) -> None:
        if self.holds:
            self._held, self.holds = data, False
        else:
            data, self._held = self._held + data, b""
            super().send(data)


class _TLSConnection(_Connection, HTTPSConnection):
    _context: ssl.SSLContext

    def connect(self) -> None:
        self.sock = connect(self.host, self.port)
        self.sock = self._context.wrap_socket(self.sock, server_hostname=self.host)


def read_body(read: Callable[[int], bytes]) -> bytes:
    """Return everything that `read` returns; OSError when it is too large, or stops arriving."""
    content = bytearray()
    while block := _read_block(read):
        content += block
        check_size(len(content))
    return bytes(content)


def check_size(size: int) -> None:
    """Raise OSError for a body over the limit."""
    if size > MAX_BODY_BYTES:
        raise OSError(f"its answer is larger than {MAX_BODY_BYTES // 2**20} MiB")


def _read_block(read: Callable[[int], bytes]) -> bytes:
    try:
        return read(_BLOCK)
    except TimeoutError as error:
        raise BodyTimeout from error


def _is_readable(sock: socket.socket) -> bool:
    """Return whether a socket without a request is readable, which means that it was closed."""
    waits = select.poll()
    waits.register(sock, select.POLLIN)
    return bool(waits.poll(0))
