"""One WebSocket link: dialled, read and written without ever blocking its thread for long.

The only module that touches a socket. websocket-client does the upgrade and masks what is sent;
reading is `frames`' work. A dial has one deadline for all of it but the look-up of the name, which
has its own, and a wake-up ends it early.
"""

import errno
import os
import select
import socket
import ssl
import time
from base64 import b64encode
from collections.abc import Callable
from functools import cached_property
from math import ceil, inf
from typing import Any
from urllib.parse import quote, urlencode

import msgspec

from .. import __version__
from ..items import StopCause
from ..net import Proxy, parse_retry_after, proxy_for, split_base_url
from ..threads import Waker
from .backoff import Retry
from .close_codes import CloseReason
from .frames import ABNORMAL, CLOSE, PONG, TEXT, FrameDecoder, Message
from .resolver import Address, DialCancelled, Resolver

MAX_MESSAGE = 16 * 1024 * 1024
"""Largest message accepted, in bytes; larger ones close the link with 1009."""

_PRODUCT = f"chatapp-tail/{__version__}"
_BLOCK = 128 * 1024
_TLS_RECORD = 16 * 1024
_LONGEST_ANSWER = 256 * 1024
_UNSENT_LIMIT = 1024 * 1024
_RETRYABLE_STATUSES = (408, 425, 429)


class Endpoint(msgspec.Struct, frozen=True):
    """Where a Pusher server listens: `ws[s]://host[:port][/prefix]`, taken apart and checked."""

    tls: bool
    host: str
    port: int
    prefix: str = ""

    @classmethod
    def parse(cls, url: str) -> "Endpoint":
        """Return the endpoint in `url`; ValueError says what is wrong with it."""
        parts = split_base_url(url, ("ws", "wss"))
        tls = parts.scheme == "wss"
        port = parts.port or (443 if tls else 80)
        return cls(tls, parts.hostname or "", port, parts.path.rstrip("/"))

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}:{self.port}{self.prefix}"

    @property
    def scheme(self) -> str:
        """`ws` or `wss`."""
        return "wss" if self.tls else "ws"

    def with_tls(self) -> "Endpoint":
        """Return the same place over TLS, for a server that closes with 4000."""
        return Endpoint(True, self.host, self.port, self.prefix)

    def url(self, app_key: str) -> str:
        """Return the URL to upgrade, as Pusher's protocol 7 wants it."""
        query = urlencode({"protocol": 7, "client": "python-chatapp-tail", "version": __version__})
        return f"{self}/app/{quote(app_key, safe='')}?{query}"


class DialFailed(Exception):
    """A dial that came to nothing; `ended` says why and whether another may be tried."""

    def __init__(self, ended: CloseReason, retry_after: float | None = None) -> None:
        super().__init__(ended.reason)
        self.ended = ended
        self.retry_after = retry_after


class Dialer(msgspec.Struct, dict=True):
    """Opens links; keeps the TLS context, which is costly to make, for all of them.

    `stopping` is asked whenever `waker` ends a wait, so that a stop never waits for a dial.
    """

    app_key: str
    ca_file: str | None
    proxy: Proxy | None
    timeout: float
    waker: Waker
    stopping: Callable[[], bool]
    _failures: int = 0

    def dial(self, endpoint: Endpoint) -> "Transport":
        """Return an upgraded link, or raise `DialFailed` (or `DialCancelled`)."""
        proxy = proxy_for(endpoint.scheme, endpoint.host, self.proxy)
        try:
            addresses = self._addresses(endpoint, proxy)
            guard = _Deadline(time.monotonic() + self.timeout, self.waker, self.stopping)
            sock = self._open(endpoint, proxy, addresses, guard)
            try:
                self._upgrade(sock, endpoint, guard)
            except BaseException:
                sock.close()
                raise
        except DialCancelled:
            raise
        except Exception as error:
            self.leave_address()
            raise _failed(error, self.timeout, proxy) from error
        return Transport(sock)

    def leave_address(self) -> None:
        """Begin the next dial with the next address of its host: this one may be sick."""
        self._failures += 1

    @cached_property
    def _resolver(self) -> Resolver:
        return Resolver(self.waker, self.stopping)

    def _addresses(self, endpoint: Endpoint, proxy: Proxy | None) -> list[Address]:
        """Return where to connect to, none for a SOCKS proxy, whose library looks it up itself."""
        if proxy is None:
            return self._resolver.addresses(endpoint.host, endpoint.port)
        return self._resolver.addresses(proxy.host, proxy.port) if proxy.scheme == "http" else []

    def _open(
        self, endpoint: Endpoint, proxy: Proxy | None, addresses: list[Address], guard: "_Deadline"
    ) -> socket.socket:
        if proxy and proxy.scheme != "http":
            sock = _connect_by_socks(proxy, (endpoint.host, endpoint.port), self.timeout)
        else:
            sock = self._connect(addresses, guard)
        try:
            sock.setblocking(False)
            if proxy and proxy.scheme == "http":
                _ask_for_tunnel(_DeadlineSocket(sock, guard), proxy, endpoint)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            return self._secured(sock, endpoint, guard) if endpoint.tls else sock
        except BaseException:
            sock.close()
            raise

    def _connect(self, found: list[Address], guard: "_Deadline") -> socket.socket:
        """Connect to the first of the host's addresses that answers, each given a fair time."""
        first = self._failures % len(found)
        addresses = [*found[first:], *found[:first]]
        for left, (family, kind, protocol, address) in zip(
            range(len(addresses), 0, -1), addresses, strict=True
        ):
            sock = socket.socket(family, kind, protocol)
            try:
                guard.connect(sock, address, left)
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

    def _secured(
        self, sock: socket.socket, endpoint: Endpoint, guard: "_Deadline"
    ) -> socket.socket:
        secured = self._tls.wrap_socket(
            sock, server_hostname=endpoint.host, do_handshake_on_connect=False
        )
        try:
            while True:
                try:
                    secured.do_handshake()
                except ssl.SSLWantReadError:
                    guard.wait(secured, select.POLLIN)
                except ssl.SSLWantWriteError:
                    guard.wait(secured, select.POLLOUT)
                else:
                    return secured
        except BaseException:
            secured.close()
            raise

    @cached_property
    def _tls(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=self.ca_file)

    def _upgrade(self, sock: socket.socket, endpoint: Endpoint, guard: "_Deadline") -> None:
        import websocket

        client = websocket.WebSocket()
        try:
            client.connect(  # type: ignore[no-untyped-call]
                endpoint.url(self.app_key),
                socket=_DeadlineSocket(sock, guard),
                suppress_origin=True,
                redirect_limit=0,
                header={"User-Agent": _PRODUCT},
            )
        except websocket.WebSocketBadStatusException as error:
            raise _status_refused(error.status_code, error.resp_headers) from error
        except websocket.WebSocketTimeoutException as error:
            raise TimeoutError from error
        except websocket.WebSocketException as error:
            answer = client.handshake_response
            if answer is not None and answer.status != _SWITCHING_PROTOCOLS:
                raise _status_refused(answer.status, answer.headers) from error
            raise


_SWITCHING_PROTOCOLS = 101


def import_websocket() -> None:
    """Import websocket-client, which a dial needs in its midst, while the dial waits."""
    import websocket  # noqa: F401


def _failed(error: Exception, timeout: float, proxy: Proxy | None) -> DialFailed:
    """Return what any failure on the way to a link means.

    Anything but a certificate may get better; so may whatever websocket-client raises on an answer
    it cannot read, which is more than its documented exceptions.
    """
    if isinstance(error, DialFailed):
        return error
    if isinstance(error, ssl.SSLCertVerificationError):
        reason = f"its certificate is not trusted ({error.verify_message})"
        return DialFailed(CloseReason(reason, stop=StopCause.UNTRUSTED))
    if isinstance(error, ssl.SSLError):
        reason = f"TLS failed: {error.reason or error}"
    elif isinstance(error, OSError):
        reason = _why(error, timeout)
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


def _connect_by_socks(proxy: Proxy, address: tuple[str, int], timeout: float) -> socket.socket:
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


def _ask_for_tunnel(sock: "_DeadlineSocket", proxy: Proxy, endpoint: Endpoint) -> None:
    """Ask an HTTP proxy to connect us (RFC 9110, section 9.3.6); OSError says why it does not."""
    host = f"[{endpoint.host}]" if ":" in endpoint.host else endpoint.host
    place = f"{host}:{endpoint.port}".encode("idna").decode()
    lines = [f"CONNECT {place} HTTP/1.1", f"Host: {place}", f"User-Agent: {_PRODUCT}"]
    if proxy.username is not None:
        credentials = f"{proxy.username}:{proxy.password or ''}".encode()
        lines.append(f"Proxy-Authorization: Basic {b64encode(credentials).decode()}")
    sock.send_all("\r\n".join([*lines, "", ""]).encode())
    answer = b""
    while not answer.endswith(b"\r\n\r\n"):
        # One byte at a time: what follows the answer is the server's.
        if not (byte := sock.recv(1)):
            raise OSError("the proxy ended the connection")
        answer += byte
    version, _, rest = answer.partition(b"\r\n")[0].decode("latin-1").partition(" ")
    if not version.startswith("HTTP/"):
        raise OSError("what answers is not an HTTP proxy")
    if not rest.startswith("2"):
        raise OSError(f"the proxy answered {rest}")


def _why(error: OSError, timeout: float) -> str:
    if isinstance(beneath := getattr(error, "socket_err", None), OSError):
        return _why(beneath, timeout)  # PySocks wraps it
    if isinstance(error, TimeoutError):
        return f"no answer within {timeout:g} s"
    if isinstance(error, socket.gaierror):
        return f"its name cannot be resolved: {error.strerror}"
    return error.strerror or str(error) or type(error).__name__


def _status_refused(status: int | None, headers: dict[str, str] | None) -> DialFailed:
    """Return what an HTTP answer to the upgrade means: most of 4xx will not get better."""
    status = min(status or 0, 999)
    reason = f"it answered the WebSocket upgrade with HTTP status {status}"
    if 400 <= status < 500 and status not in _RETRYABLE_STATUSES:
        return DialFailed(CloseReason(reason, status, stop=StopCause.SERVER_REFUSED))
    retry_after = parse_retry_after((headers or {}).get("retry-after", ""))
    return DialFailed(CloseReason(reason, status, retry=Retry.BACK_OFF), retry_after)


class _Deadline(msgspec.Struct, frozen=True):
    """One deadline for all steps of a dial, and a stop that ends each of them early."""

    deadline: float
    waker: Waker
    stopping: Callable[[], bool]

    def check(self) -> None:
        """Raise `DialCancelled` or TimeoutError if the dial is over."""
        if self.stopping():
            raise DialCancelled
        if time.monotonic() >= self.deadline:
            raise TimeoutError

    def wait(self, sock: socket.socket, event: int, until: float = inf) -> None:
        """Wait until `sock` is ready for `event`; TimeoutError at `until` or the deadline."""
        self.check()
        until = min(until, self.deadline)
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
        """Connect within a fair share of the time left; OSError says why not."""
        sock.setblocking(False)
        until = time.monotonic() + (self.deadline - time.monotonic()) / sharers
        code = sock.connect_ex(address)
        while code in (errno.EINPROGRESS, errno.EALREADY):
            self.wait(sock, select.POLLOUT, until)
            code = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            if code == 0 and not _is_connected(sock):
                code = errno.EINPROGRESS
        if code:
            raise OSError(code, os.strerror(code))


def _is_connected(sock: socket.socket) -> bool:
    """Tell a finished connect from a wake-up that came first."""
    try:
        sock.getpeername()
    except OSError:
        return False
    return True


class _DeadlineSocket:
    """A socket as websocket-client's upgrade sees it.

    It reads the answer byte by byte with a timeout for each; here one deadline holds for all of
    them, so a server that drips its answer, or never ends it, cannot keep the dial for ever.
    """

    def __init__(self, sock: socket.socket, guard: _Deadline) -> None:
        self._sock = sock
        self._guard = guard
        self._left = _LONGEST_ANSWER

    def gettimeout(self) -> float:
        """Tell websocket-client that waiting is not its business."""
        return 0.0

    def recv(self, size: int) -> bytes:
        """Return up to `size` bytes, waiting for them until the deadline."""
        while True:
            self._guard.check()
            try:
                data = self._sock.recv(size)
            except (BlockingIOError, ssl.SSLWantReadError):
                self._guard.wait(self._sock, select.POLLIN)
                continue
            self._left -= len(data)
            if self._left < 0:
                raise OSError("an answer has no end")
            return data

    def send(self, data: bytes) -> int:
        """Send some of `data`, waiting for room until the deadline."""
        while True:
            try:
                return self._sock.send(data)
            except (BlockingIOError, ssl.SSLWantWriteError):
                self._guard.wait(self._sock, select.POLLOUT)

    def send_all(self, data: bytes) -> None:
        """Send all of `data`, waiting for room until the deadline."""
        while data:
            data = data[self.send(data) :]

    def close(self) -> None:
        """Close the socket beneath."""
        self._sock.close()


class Transport:
    """An upgraded socket, read and written without blocking."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        # TLS gives a record at most, whatever it is asked for; TCP all it has.
        tls = isinstance(sock, ssl.SSLSocket)
        self._at_once, self._drained_below = (_TLS_RECORD, 0) if tls else (_BLOCK, _BLOCK)
        self._decoder = FrameDecoder(MAX_MESSAGE)
        self._unsent = bytearray()
        self._waits = select.poll()
        self._wanted = select.POLLIN
        self._wants_room = False
        self._waits.register(sock, self._wanted)
        self._waker: Waker | None = None
        self.end: tuple[int, str] | None = None
        """Close code and reason, once the stream is over or broken."""

    def watch(self, waker: Waker) -> None:
        """Let `waker` end the waits of this link too."""
        self._waker = waker
        self._waits.register(waker, select.POLLIN)

    def wait(self, timeout: float) -> None:
        """Wait until something can be read or written, a wake-up, or `timeout` seconds."""
        if isinstance(self._sock, ssl.SSLSocket) and self._sock.pending():
            return
        for descriptor, _ in self._waits.poll(timeout * 1000):
            if self._waker and descriptor == self._waker.fileno():
                self._waker.clear()

    def read(self) -> list[Message]:
        """Return the messages that came whole; `end` is set when no more will."""
        blocks: list[bytes] = []
        size = 0
        self._wants_room = False
        while size < _BLOCK and self.end is None:
            try:
                data = self._sock.recv(self._at_once)
            except (BlockingIOError, ssl.SSLWantReadError):
                break
            except ssl.SSLWantWriteError:
                # TLS has something of its own to send first: read again when there is room.
                self._wants_room = True
                break
            except OSError as error:
                self.end = (ABNORMAL, error.strerror or str(error))
                break
            if not data:
                self.end = (ABNORMAL, "")
                break
            size += len(data)
            blocks.append(data)
            if len(data) < self._drained_below:
                break
        messages = self._decoder.feed(b"".join(blocks))
        if self._decoder.fault:
            self.end = (self._decoder.fault.code, self._decoder.fault.reason)
        return messages

    @property
    def unfinished(self) -> int:
        """How many bytes came of a message that is not whole yet."""
        return self._decoder.unfinished

    @property
    def faulty(self) -> bool:
        """Whether the peer broke the WebSocket protocol (and should be told by a close)."""
        return self._decoder.fault is not None

    def send_text(self, text: str) -> None:
        """Queue a text frame and send what the socket takes."""
        self._queue(TEXT, text.encode())

    def send_pong(self, payload: bytes) -> None:
        """Answer a WebSocket ping with its own payload (RFC 6455 section 5.5.3)."""
        self._queue(PONG, payload)

    def send_close(self, code: int, reason: str = "") -> None:
        """Say goodbye; codes that may not be sent become a close without a code."""
        sendable = code not in (1005, ABNORMAL, 1015) and 1000 <= code < 5000
        self._queue(CLOSE, code.to_bytes(2, "big") + reason.encode()[:120] if sendable else b"")

    def _queue(self, opcode: int, payload: bytes) -> None:
        import websocket

        self._unsent += websocket.ABNF.create_frame(payload, opcode).format()
        self.flush()

    def flush(self) -> None:
        """Send what the socket takes now of what is queued."""
        try:
            while self._unsent:
                del self._unsent[: self._sock.send(self._unsent)]
        except (BlockingIOError, ssl.SSLWantWriteError, ssl.SSLWantReadError):
            if len(self._unsent) > _UNSENT_LIMIT:
                self.end = self.end or (ABNORMAL, "the server reads nothing we send")
        except OSError as error:
            self.end = self.end or (ABNORMAL, error.strerror or str(error))
        waits_for_room = self._unsent or self._wants_room
        wanted = select.POLLIN | (select.POLLOUT if waits_for_room else 0)
        if wanted != self._wanted:
            self._waits.modify(self._sock, wanted)
            self._wanted = wanted

    def close(self) -> None:
        """Drop the socket, whatever the peer does."""
        self._sock.close()
