"""Opens WebSocket links: TCP or a proxy, TLS, then the upgrade, which websocket-client does.

A dial has one deadline for all of its steps but the lookup of the host name, which has its own.
A wake-up ends it early when the connection is asked to stop.
"""

import socket
import ssl
import time
from collections.abc import Callable
from math import ceil

from ..items import StopCause
from ..net import Proxy, parse_retry_after, proxy_for
from ..threads import Waker
from .backoff import Retry
from .close_codes import CloseReason
from .endpoint import Endpoint
from .resolver import Address, DialCancelled, Resolver
from .tcp import PRODUCT, Deadline, DeadlineSocket, connect, request_tunnel, start_tls
from .transport import Transport

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
            deadline = Deadline(time.monotonic() + self._timeout, self._waker, self._stopping)
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
        deadline: Deadline,
    ) -> socket.socket:
        if proxy and proxy.scheme != "http":
            sock = _connect_through_socks(proxy, (endpoint.host, endpoint.port), self._timeout)
        else:
            sock = connect(self._rotated(addresses), deadline)
        try:
            sock.setblocking(False)
            if proxy and proxy.scheme == "http":
                request_tunnel(sock, proxy, (endpoint.host, endpoint.port), deadline)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            return start_tls(sock, self._tls(), endpoint.host, deadline) if endpoint.tls else sock
        except BaseException:
            sock.close()
            raise

    def _rotated(self, resolved: list[Address]) -> list[Address]:
        """Return the addresses of a host, beginning with another one after a failure."""
        first = self._address_offset % len(resolved)
        return [*resolved[first:], *resolved[:first]]

    def _tls(self) -> ssl.SSLContext:
        if self._tls_context is None:
            self._tls_context = ssl.create_default_context(cafile=self._ca_file)
        return self._tls_context

    def _upgrade(self, sock: socket.socket, endpoint: Endpoint, deadline: Deadline) -> None:
        import websocket

        client = websocket.WebSocket()
        try:
            client.connect(  # type: ignore[no-untyped-call]
                endpoint.url(self._app_key),
                socket=DeadlineSocket(sock, deadline),
                suppress_origin=True,
                redirect_limit=0,
                header={"User-Agent": PRODUCT},
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
