"""Opens WebSocket links: TCP or a proxy, TLS, then the upgrade, which websocket-client does.

A dial has one deadline for all of its steps but the lookup of the host name, which has its own.
A wake-up ends it early when the connection is asked to stop.
"""

import errno
import os
import select
import socket
import ssl
import time
from base64 import b64encode
from collections.abc import Callable
from math import ceil, inf
from typing import Any

import msgspec

from .. import __version__
from ..items import StopCause
from ..net import Proxy, parse_retry_after, proxy_for
from ..threads import Waker
from .backoff import Retry
from .close_codes import CloseReason
from .endpoint import Endpoint
from .resolver import Address, DialCancelled, Resolver
from .transport import Transport

_PRODUCT = f"chatapp-tail/{__version__}"
_LONGEST_ANSWER = 256 * 1024
_RETRYABLE_STATUSES = (408, 425, 429)
_SWITCHING_PROTOCOLS = 101


class DialFailed(Exception):
    """A dial that came to nothing; `ended` says why and whether another may be tried."""

    def __init__(self, ended: CloseReason, retry_after: float | None = None) -> None:
        super().__init__(ended.reason)
        self.ended = ended
        self.retry_after = retry_after


class Dialer:
    """Opens links to any endpoint of one connection.

    `stopping` is asked whenever `waker` ends a wait, so that a stop never waits for a dial.
    """

    def __init__(
        self,
        app_key: str,
        ca_file: str | None,
        proxy: Proxy | None,
        timeout: float,
        waker: Waker,
        stopping: Callable[[], bool],
    ) -> None:
        self._app_key = app_key
        """Names the application in the URL of the upgrade."""
        self._ca_file = ca_file
        """Authorities trusted in place of the system's, as a PEM file."""
        self._proxy = proxy
        """The proxy of the command line; None: what the environment says."""
        self._timeout = timeout
        """Seconds for all steps of a dial after the lookup."""
        self._waker = waker
        """Ends any wait of a dial."""
        self._stopping = stopping
        """Whether a wait that was ended is the last."""
        self._resolver = Resolver(waker, stopping)
        """Looks host names up, with a deadline of its own."""
        self._tls_context: ssl.SSLContext | None = None
        """For all links; made for the first that needs it, because it takes long."""
        self._address_offset = 0
        """Where in the list of a host's addresses a dial begins."""

    def dial(self, endpoint: Endpoint) -> Transport:
        """Return an upgraded link, or raise `DialFailed` (or `DialCancelled`)."""
        proxy = proxy_for(endpoint.scheme, endpoint.host, self._proxy)
        try:
            addresses = self._addresses(endpoint, proxy)
            deadline = _Deadline(time.monotonic() + self._timeout, self._waker, self._stopping)
            sock = self._open(endpoint, proxy, addresses, deadline)
            try:
                self._upgrade(sock, endpoint, deadline)
            except BaseException:
                sock.close()
                raise
        except DialCancelled:
            raise
        except Exception as error:
            self.leave_address()
            raise _failed(error, self._timeout, proxy) from error
        return Transport(sock)

    def leave_address(self) -> None:
        """Begin the next dial with the next address of its host; this one may not work."""
        self._address_offset += 1

    def _addresses(self, endpoint: Endpoint, proxy: Proxy | None) -> list[Address]:
        """Return the addresses to connect to; none for SOCKS, where the proxy resolves the name."""
        if proxy is None:
            return self._resolver.addresses(endpoint.host, endpoint.port)
        return self._resolver.addresses(proxy.host, proxy.port) if proxy.scheme == "http" else []

    def _open(
        self,
        endpoint: Endpoint,
        proxy: Proxy | None,
        addresses: list[Address],
        deadline: "_Deadline",
    ) -> socket.socket:
        if proxy and proxy.scheme != "http":
            sock = _connect_through_socks(proxy, (endpoint.host, endpoint.port), self._timeout)
        else:
            sock = self._connect(addresses, deadline)
        try:
            sock.setblocking(False)
            if proxy and proxy.scheme == "http":
                _request_tunnel(_DeadlineSocket(sock, deadline), proxy, endpoint)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            return self._start_tls(sock, endpoint, deadline) if endpoint.tls else sock
        except BaseException:
            sock.close()
            raise

    def _connect(self, resolved: list[Address], deadline: "_Deadline") -> socket.socket:
        """Connect to the first address that answers; each has an equal share of the time left."""
        first = self._address_offset % len(resolved)
        addresses = [*resolved[first:], *resolved[:first]]
        for left, (family, kind, protocol, address) in zip(
            range(len(addresses), 0, -1), addresses, strict=True
        ):
            sock = socket.socket(family, kind, protocol)
            try:
                deadline.connect(sock, address, left)
            except OSError:
                sock.close()
                if left == 1:
                    raise
            except BaseException:
                sock.close()
                raise
            else:
                return sock
        raise AssertionError("the last address connects or raises")

    def _start_tls(
        self, sock: socket.socket, endpoint: Endpoint, deadline: "_Deadline"
    ) -> socket.socket:
        secured = self._tls().wrap_socket(
            sock, server_hostname=endpoint.host, do_handshake_on_connect=False
        )
        try:
            while True:
                try:
                    secured.do_handshake()
                except ssl.SSLWantReadError:
                    deadline.wait(secured, select.POLLIN)
                except ssl.SSLWantWriteError:
                    deadline.wait(secured, select.POLLOUT)
                else:
                    return secured
        except BaseException:
            secured.close()
            raise

    def _tls(self) -> ssl.SSLContext:
        if self._tls_context is None:
            self._tls_context = ssl.create_default_context(cafile=self._ca_file)
        return self._tls_context

    def _upgrade(self, sock: socket.socket, endpoint: Endpoint, deadline: "_Deadline") -> None:
        import websocket

        client = websocket.WebSocket()
        try:
            client.connect(  # type: ignore[no-untyped-call]
                endpoint.url(self._app_key),
                socket=_DeadlineSocket(sock, deadline),
                suppress_origin=True,
                redirect_limit=0,
                header={"User-Agent": _PRODUCT},
            )
        except websocket.WebSocketBadStatusException as error:
            raise _status_failure(error.status_code, error.resp_headers) from error
        except websocket.WebSocketTimeoutException as error:
            raise TimeoutError from error
        except websocket.WebSocketException as error:
            answer = client.handshake_response
            if answer is not None and answer.status != _SWITCHING_PROTOCOLS:
                raise _status_failure(answer.status, answer.headers) from error
            raise


def _failed(error: Exception, timeout: float, proxy: Proxy | None) -> DialFailed:
    """Return what an exception of any step of a dial means for the next dial.

    Only an untrusted certificate is final. websocket-client raises more than its documented
    exceptions on an answer it cannot read; those are retried as well.
    """
    if isinstance(error, DialFailed):
        return error
    if isinstance(error, ssl.SSLCertVerificationError):
        reason = f"its certificate is not trusted ({error.verify_message})"
        return DialFailed(CloseReason(reason, stop=StopCause.UNTRUSTED))
    if isinstance(error, ssl.SSLError):
        reason = f"TLS failed: {error.reason or error}"
    elif isinstance(error, OSError):
        reason = _description(error, timeout)
    else:
        reason = f"the WebSocket upgrade failed: {error or type(error).__name__}"
    through = f" (through the proxy {proxy})" if proxy else ""
    return DialFailed(CloseReason(reason + through, retry=Retry.BACK_OFF))


def check_authorities(ca_file: str) -> None:
    """Raise ValueError unless `ca_file` holds certificates that can be trusted."""
    try:
        ssl.create_default_context(cafile=ca_file)
    except OSError as error:
        raise ValueError(f"it holds no certificate in PEM form ({error.strerror})") from error


def _connect_through_socks(proxy: Proxy, address: tuple[str, int], timeout: float) -> socket.socket:
    import socks

    opened: socket.socket = socks.create_connection(
        address,
        timeout=ceil(timeout),
        proxy_type=socks.SOCKS5,
        proxy_addr=proxy.host,
        proxy_port=proxy.port,
        proxy_rdns=True,
        proxy_username=proxy.username,
        proxy_password=proxy.password,
    )
    return opened


def _request_tunnel(sock: "_DeadlineSocket", proxy: Proxy, endpoint: Endpoint) -> None:
    """Send CONNECT to an HTTP proxy (RFC 9110 section 9.3.6); OSError says why it refuses."""
    host = f"[{endpoint.host}]" if ":" in endpoint.host else endpoint.host
    authority = f"{host}:{endpoint.port}".encode("idna").decode()
    lines = [f"CONNECT {authority} HTTP/1.1", f"Host: {authority}", f"User-Agent: {_PRODUCT}"]
    if proxy.username is not None:
        credentials = f"{proxy.username}:{proxy.password or ''}".encode()
        lines.append(f"Proxy-Authorization: Basic {b64encode(credentials).decode()}")
    sock.send_all("\r\n".join([*lines, "", ""]).encode())
    answer = b""
    while not answer.endswith(b"\r\n\r\n"):
        # One byte at a time: what follows the answer belongs to TLS or the upgrade.
        if not (byte := sock.recv(1)):
            raise OSError("the proxy ended the connection")
        answer += byte
    version, _, rest = answer.partition(b"\r\n")[0].decode("latin-1").partition(" ")
    if not version.startswith("HTTP/"):
        raise OSError("what answers is not an HTTP proxy")
    if not rest.startswith("2"):
        raise OSError(f"the proxy answered {rest}")


def _description(error: OSError, timeout: float) -> str:
    if isinstance(beneath := getattr(error, "socket_err", None), OSError):
        return _description(beneath, timeout)  # PySocks wraps it
    if isinstance(error, TimeoutError):
        return f"no answer within {timeout:g} s"
    if isinstance(error, socket.gaierror):
        return f"its name cannot be resolved: {error.strerror}"
    return error.strerror or str(error) or type(error).__name__


def _status_failure(status: int | None, headers: dict[str, str] | None) -> DialFailed:
    """Return what an HTTP answer to the upgrade means; most of 4xx are final."""
    status = min(status or 0, 999)
    reason = f"it answered the WebSocket upgrade with HTTP status {status}"
    if 400 <= status < 500 and status not in _RETRYABLE_STATUSES:
        return DialFailed(CloseReason(reason, status, stop=StopCause.SERVER_REFUSED))
    retry_after = parse_retry_after((headers or {}).get("retry-after", ""))
    return DialFailed(CloseReason(reason, status, retry=Retry.BACK_OFF), retry_after)


class _Deadline(msgspec.Struct, frozen=True):
    """One deadline for all steps of a dial; a stop ends each of them early."""

    at: float
    waker: Waker
    stopping: Callable[[], bool]

    def check(self) -> None:
        """Raise `DialCancelled` or TimeoutError if the dial is over."""
        if self.stopping():
            raise DialCancelled
        if time.monotonic() >= self.at:
            raise TimeoutError

    def wait(self, sock: socket.socket, event: int, until: float = inf) -> None:
        """Wait until `sock` is ready for `event`; TimeoutError at `until` or the deadline."""
        self.check()
        until = min(until, self.at)
        waits = select.poll()
        waits.register(sock, event)
        waits.register(self.waker, select.POLLIN)
        ready = waits.poll(max(0.0, until - time.monotonic()) * 1000)
        if any(descriptor == self.waker.fileno() for descriptor, _ in ready):
            self.waker.clear()
        self.check()
        if not ready:
            raise TimeoutError

    def connect(self, sock: socket.socket, address: Any, sharers: int) -> None:
        """Connect within a fair share of the time left; OSError says why that failed."""
        sock.setblocking(False)
        until = time.monotonic() + (self.at - time.monotonic()) / sharers
        code = sock.connect_ex(address)
        while code in (errno.EINPROGRESS, errno.EALREADY):
            self.wait(sock, select.POLLOUT, until)
            code = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            if code == 0 and not _is_connected(sock):
                code = errno.EINPROGRESS
        if code:
            raise OSError(code, os.strerror(code))


def _is_connected(sock: socket.socket) -> bool:
    """Tell a finished connect from a wake-up before it."""
    try:
        sock.getpeername()
    except OSError:
        return False
    return True


class _DeadlineSocket:
    """The socket that is handed to websocket-client for the upgrade.

    websocket-client reads the answer byte by byte, with a timeout for each byte. Here one deadline
    holds for the whole answer, so that neither a slow nor an endless one prolongs the dial.
    """

    def __init__(self, sock: socket.socket, deadline: _Deadline) -> None:
        self._sock = sock
        self._deadline = deadline
        self._allowance = _LONGEST_ANSWER

    def gettimeout(self) -> float:
        """Keep websocket-client from waiting itself."""
        return 0.0

    def recv(self, size: int) -> bytes:
        """Return up to `size` bytes, waiting for them until the deadline."""
        while True:
            self._deadline.check()
            try:
                data = self._sock.recv(size)
            except (BlockingIOError, ssl.SSLWantReadError):
                self._deadline.wait(self._sock, select.POLLIN)
                continue
            self._allowance -= len(data)
            if self._allowance < 0:
                raise OSError("an answer has no end")
            return data

    def send(self, data: bytes) -> int:
        """Send some of `data`, waiting for room until the deadline."""
        while True:
            try:
                return self._sock.send(data)
            except (BlockingIOError, ssl.SSLWantWriteError):
                self._deadline.wait(self._sock, select.POLLOUT)

    def send_all(self, data: bytes) -> None:
        """Send all of `data`, waiting for room until the deadline."""
        while data:
            data = data[self.send(data) :]

    def close(self) -> None:
        """Close the socket."""
        self._sock.close()
