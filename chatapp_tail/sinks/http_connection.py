"""One kept-alive connection to the destination, used by one thread, with a deadline per exchange.

`http.client` reads the answers. Its connections are not used: their timeouts apply to one read.
"""

import contextlib
import io
import select
import socket
import ssl
import time
from collections.abc import Callable
from http.client import HTTPException, HTTPResponse
from typing import Any, cast
from urllib.parse import SplitResult, urlsplit

from ..chatapp.http import authorities_file
from ..chatapp.sockets import trust
from ..net import Proxy, is_loopback, parse_retry_after, proxy_for
from ..pusher.resolver import Address, Resolver
from ..pusher.tcp import Deadline, DeadlineSocket, connect, request_socks, request_tunnel, start_tls
from ..threads import Waker
from .http_answers import Answer

_LONGEST_BODY = 64 * 1024
"""Bytes of a body that are read, so that the connection can be used again."""
_PORTS = {"http": 80, "https": 443}


class Route:
    """How the host of `url` is reached; shared by all connections.

    OSError when the certificate authorities cannot be read, ValueError for an invalid proxy in the
    environment.
    """

    def __init__(self, url: str, proxy: Proxy | None, ca_file: str | None) -> None:
        parts: SplitResult = urlsplit(url)
        self.host = parts.hostname or ""
        self.port = parts.port or _PORTS[parts.scheme]
        self.proxy = None if is_loopback(self.host) else proxy_for(parts.scheme, self.host, proxy)
        """None for a loopback address, whatever is configured."""
        self.tls = trust(authorities_file(ca_file)) if parts.scheme == "https" else None

    @property
    def forwarder(self) -> Proxy | None:
        """The HTTP proxy that forwards requests, rather than bytes through a tunnel."""
        return self.proxy if self.proxy and self.proxy.scheme == "http" and not self.tls else None

    def addresses(self, resolver: Resolver, timeout: float) -> list[Address]:
        """Return the addresses to connect to.

        Both of localhost, whatever the resolver says: node listens on one of them.
        """
        if self.proxy:
            return resolver.addresses(self.proxy.host, self.proxy.port, timeout)
        if self.host != "localhost":
            return resolver.addresses(self.host, self.port, timeout)
        families = [(socket.AF_INET6, "::1"), (socket.AF_INET, "127.0.0.1")]
        return [
            (family, socket.SOCK_STREAM, socket.IPPROTO_TCP, (address, self.port))
            for family, address in families
        ]


class Connection:
    """Makes one exchange at a time; `stopping` is asked whenever `waker` ends a wait.

    All requests have the same `method`: an answer to HEAD has no body, whatever its head says.
    """

    def __init__(
        self, route: Route, waker: Waker, stopping: Callable[[], bool], method: str = "POST"
    ) -> None:
        self._route = route
        self._method = method
        self._waker = waker
        self._stopping = stopping
        self._resolver = Resolver(waker, stopping)
        self._sock: socket.socket | None = None
        """Idle between exchanges; None when there is no connection."""

    @property
    def is_open(self) -> bool:
        """Whether there is a connection that the next exchange may use."""
        return self._sock is not None

    def close(self) -> None:
        """Close the connection, if there is one."""
        if self._sock:
            self._sock.close()
            self._sock = None

    def exchange(self, request: bytes, timeout: float) -> Answer:
        """Send a request and return the answer within `timeout` seconds.

        A server may close a kept-alive connection just as it is used: then the request is repeated
        once over a new one. OSError, HTTPException and ValueError say why there is no answer;
        DialCancelled is a stop.
        """
        deadline = Deadline(time.monotonic() + timeout, self._waker, self._stopping)
        if self._sock and not _is_readable(self._sock):
            stream = DeadlineSocket(self._sock, deadline)
            try:
                return self._exchange(stream, request)
            except (ConnectionError, ssl.SSLError):
                if stream.received:
                    raise
        self.close()
        self._sock = self._open(deadline)
        return self._exchange(DeadlineSocket(self._sock, deadline), request)

    def _exchange(self, stream: DeadlineSocket, request: bytes) -> Answer:
        try:
            reader = _Reader(stream)
            _send(stream, request)
            with contextlib.closing(_response(reader, self._method)) as response:
                if reader.ended:
                    raise ConnectionResetError("the connection was closed within the answer")
                if not _read_body(response):
                    self.close()
                return _answer(response)
        except BaseException:
            self.close()
            raise

    def _open(self, deadline: Deadline) -> socket.socket:
        route, proxy = self._route, self._route.proxy
        timeout = deadline.at - time.monotonic()
        sock = connect(route.addresses(self._resolver, timeout), deadline)
        try:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if proxy and proxy.scheme != "http":
                request_socks(sock, proxy, (route.host, route.port), deadline)
            elif proxy and route.tls:
                request_tunnel(sock, proxy, (route.host, route.port), deadline)
            return start_tls(sock, route.tls, route.host, deadline) if route.tls else sock
        except BaseException:
            sock.close()
            raise


class _Reader(io.RawIOBase):
    """The bytes of an answer, for `HTTPResponse`, which takes it for a socket."""

    def __init__(self, stream: DeadlineSocket) -> None:
        self._stream = stream
        self._buffered = io.BufferedReader(self)
        self.ended = False
        """Whether the server ended the connection where more was read."""

    def makefile(self, _: str) -> io.BufferedIOBase:
        return self._buffered

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = self._stream.recv(len(buffer))
        buffer[: len(data)] = data
        self.ended = not data
        return len(data)


def _response(reader: _Reader, method: str) -> HTTPResponse:
    """Return the response with its head read, after any interim ones (RFC 9110 section 15.2)."""
    while True:
        response = HTTPResponse(cast("socket.socket", reader), method=method)
        response.begin()
        if not 102 <= response.status < 200:
            return response
        response.fp = None  # type: ignore[assignment]  # which it would close


def _send(stream: DeadlineSocket, request: bytes) -> None:
    """Send a request; a server that answers without reading all of it may close its end."""
    with contextlib.suppress(ConnectionError):
        stream.send_all(request)


def _read_body(response: HTTPResponse) -> bool:
    """Read the body, and return whether the connection can be used again.

    The head has said already what becomes of the delivery, so a broken or a long body changes
    nothing. TimeoutError when a success has no end.
    """
    try:
        response.read(_LONGEST_BODY + 1)
    except TimeoutError:
        if 200 <= response.status < 300:
            raise
        return False
    except (OSError, HTTPException, ValueError):
        return False
    return response.isclosed() and not response.will_close and response.status >= 200


def _answer(response: HTTPResponse) -> Answer:
    retry_after = parse_retry_after(response.headers.get("Retry-After", ""))
    return Answer(response.status, retry_after, response.headers.get("Location"))


def _is_readable(sock: socket.socket) -> bool:
    """Return whether a connection without a request is readable, which means that it was closed."""
    waits = select.poll()
    waits.register(sock, select.POLLIN)
    return bool(waits.poll(0))
