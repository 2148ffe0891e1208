"""Opens TCP connections under one deadline: an address that answers, a proxy's tunnel, TLS.

Sockets do not block; each wait ends at the deadline or when the connection is asked to stop.
"""

import errno
import os
import select
import socket
import ssl
import time
from base64 import b64encode
from collections.abc import Callable
from contextlib import suppress
from math import inf
from typing import Any

import msgspec

from .. import __version__
from ..net import Proxy
from ..threads import Waker
from .resolver import Address, DialCancelled

PRODUCT = f"chatapp-tail/{__version__}"
LONGEST_ANSWER = 256 * 1024
"""Bytes that a `DeadlineSocket` receives at most."""
_SOCKS_SIZES = {1: 4, 4: 16}
_SOCKS_REPLIES = {
    1: "general failure",
    2: "not allowed by its rules",
    3: "network unreachable",
    4: "host unreachable",
    5: "connection refused",
    6: "time to live expired",
}


class Deadline(msgspec.Struct, frozen=True):
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


class DeadlineSocket:
    """A socket on which one deadline holds for all waits together.

    Libraries read an answer in parts, with a timeout for each part. Here neither a slow answer nor
    an endless one takes longer than the deadline.
    """

    def __init__(self, sock: socket.socket, deadline: Deadline) -> None:
        self._sock = sock
        self._deadline = deadline
        self.received = 0
        """Bytes so far."""

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
            except ssl.SSLWantWriteError:
                self._deadline.wait(self._sock, select.POLLOUT)
                continue
            self.received += len(data)
            if self.received > LONGEST_ANSWER:
                raise OSError("an answer has no end")
            return data

    def recv_exactly(self, size: int) -> bytes:
        """Return `size` bytes; OSError when the peer ends the connection before."""
        data = b""
        while len(data) < size:
            if not (block := self.recv(size - len(data))):
                raise OSError("the proxy ended the connection")
            data += block
        return data

    def send(self, data: bytes) -> int:
        """Send some of `data`, waiting for room until the deadline."""
        while True:
            try:
                return self._sock.send(data)
            except (BlockingIOError, ssl.SSLWantWriteError):
                self._deadline.wait(self._sock, select.POLLOUT)
            except ssl.SSLWantReadError:
                self._deadline.wait(self._sock, select.POLLIN)

    def send_all(self, data: bytes) -> None:
        """Send all of `data`, waiting for room until the deadline."""
        while data:
            data = data[self.send(data) :]

    def close(self) -> None:
        """Close the socket."""
        self._sock.close()


def connect(addresses: list[Address], deadline: Deadline) -> socket.socket:
    """Connect to the first address that answers; each has an equal share of the time left."""
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


def request_tunnel(
    sock: socket.socket, proxy: Proxy, address: tuple[str, int], deadline: Deadline
) -> None:
    """Send CONNECT to an HTTP proxy (RFC 9110 section 9.3.6); OSError says why it refuses."""
    host, port = address
    authority = f"[{host}]:{port}" if ":" in host else f"{host}:{port}".encode("idna").decode()
    lines = [f"CONNECT {authority} HTTP/1.1", f"Host: {authority}", f"User-Agent: {PRODUCT}"]
    if proxy.username is not None:
        credentials = f"{proxy.username}:{proxy.password or ''}".encode()
        lines.append(f"Proxy-Authorization: Basic {b64encode(credentials).decode()}")
    stream = DeadlineSocket(sock, deadline)
    stream.send_all("\r\n".join([*lines, "", ""]).encode())
    answer = b""
    while not answer.endswith(b"\r\n\r\n"):
        # One byte at a time: what follows the answer belongs to TLS or the upgrade.
        answer += stream.recv_exactly(1)
    version, _, rest = answer.partition(b"\r\n")[0].decode("latin-1").partition(" ")
    if not version.startswith("HTTP/"):
        raise OSError("what answers is not an HTTP proxy")
    if not rest.startswith("2"):
        raise OSError(f"the proxy answered {rest}")


def request_socks(
    sock: socket.socket, proxy: Proxy, address: tuple[str, int], deadline: Deadline
) -> None:
    """Ask a SOCKS5 proxy for a connection (RFC 1928, 1929); OSError says why it refuses.

    The proxy resolves the name. PySocks does the same with a timeout for each read, which no stop
    ends early.
    """
    stream = DeadlineSocket(sock, deadline)
    methods = b"\x00" if proxy.username is None else b"\x00\x02"
    stream.send_all(bytes([5, len(methods)]) + methods)
    version, method = stream.recv_exactly(2)
    if version != 5:
        raise OSError("what answers is not a SOCKS5 proxy")
    if method not in methods:
        raise OSError("the proxy wants another way to authenticate")
    if method:
        user, password = (text.encode() for text in (proxy.username or "", proxy.password or ""))
        stream.send_all(bytes([1, len(user)]) + user + bytes([len(password)]) + password)
        if stream.recv_exactly(2)[1]:
            raise OSError("the proxy refuses the user or the password")
    host, port = address
    stream.send_all(b"\x05\x01\x00" + _socks_address(host) + port.to_bytes(2, "big"))
    _, reply, _, kind = stream.recv_exactly(4)
    if reply:
        raise OSError(f"the proxy answered: {_SOCKS_REPLIES.get(reply, f'error {reply}')}")
    stream.recv_exactly((_SOCKS_SIZES.get(kind) or stream.recv_exactly(1)[0]) + 2)


def _socks_address(host: str) -> bytes:
    """Return the type of an address, and the address."""
    for kind, family in ((1, socket.AF_INET), (4, socket.AF_INET6)):
        with suppress(OSError):
            return bytes([kind]) + socket.inet_pton(family, host)
    name = host.encode("idna")
    return bytes([3, len(name)]) + name


def start_tls(
    sock: socket.socket, context: ssl.SSLContext, host: str, deadline: Deadline
) -> ssl.SSLSocket:
    """Return `sock` after the handshake with `host`, whose certificate is verified."""
    secured = context.wrap_socket(sock, server_hostname=host, do_handshake_on_connect=False)
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
