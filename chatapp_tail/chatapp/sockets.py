"""Sockets on which no exchange exceeds its deadline, however slowly its bytes arrive.

The timeout of a socket applies to one read, and a line or a header takes many reads. Here the
thread that makes a request sets its limits with `within`, and every socket that it uses meanwhile
waits no longer than the remaining time. Both ways to the API use these sockets:
`auth_connections` and `proxied`.
"""

import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from math import inf
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any, TypeVar

from ..net import Proxy
from ..threads import outcome

S = TypeVar("S", bound=socket.socket)


class _Limits(threading.local):
    """The limits of this thread's exchange: seconds per wait, and its end (monotonic)."""

    wait = inf
    deadline = inf

    def left(self) -> float | None:
        """Return the seconds to wait at most; TimeoutError when the deadline has passed."""
        left = min(self.wait, self.deadline - time.monotonic())
        if left <= 0:
            raise TimeoutError("timed out")
        return None if left == inf else left

    def hold(self, sock: socket.socket) -> None:
        """Limit the waits of a socket to the remaining time."""
        left = self.left()
        if left != sock.gettimeout():  # mostly it is the same, and setting it is a system call
            sock.settimeout(left)


_limits = _Limits()


@contextmanager
def within(wait: float, whole: float) -> Iterator[None]:
    """Limit each wait of this thread to `wait` seconds, and all of them together to `whole`."""
    before = _limits.wait, _limits.deadline
    _limits.wait, _limits.deadline = wait, time.monotonic() + whole
    try:
        yield
    finally:
        _limits.wait, _limits.deadline = before


class _LimitedSocket(socket.socket):
    """A TCP socket with the limits of the thread that uses it."""

    def connect(self, address: Any) -> None:
        _limits.hold(self)
        super().connect(address)

    def recv_into(self, *args: Any) -> int:
        _limits.hold(self)
        return super().recv_into(*args)

    def sendall(self, *args: Any) -> None:
        _limits.hold(self)
        super().sendall(*args)


class _LimitedTLSSocket(ssl.SSLSocket):
    """The same over TLS; a handshake counts as one wait."""

    def do_handshake(self, block: bool = False) -> None:
        _limits.hold(self)
        super().do_handshake(block)

    def recv_into(self, *args: Any) -> int:
        _limits.hold(self)
        return super().recv_into(*args)

    def send(self, *args: Any) -> int:
        # `sendall` of TLS calls this.
        _limits.hold(self)
        return super().send(*args)


def connect(host: str, port: int) -> socket.socket:
    """Return a connection to the first address of a host that accepts one; else OSError."""

    def reach(family: Any, kind: Any, protocol: int, address: Any) -> socket.socket:
        with _closed_on_failure(_LimitedSocket(family, kind, protocol)) as sock:
            sock.connect(address)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            return sock

    return _first(host, port, reach)


def connect_by_socks(proxy: Proxy, host: str, port: int) -> socket.socket:
    """Return a connection through a SOCKS5 proxy, which also resolves the name; else OSError."""
    import socks

    class LimitedSocks(socks.socksocket):
        def recv_into(self, *args: Any) -> int:
            _limits.hold(self)
            return super().recv_into(*args)

    def reach(family: Any, kind: Any, protocol: int, address: Any) -> socket.socket:
        with _closed_on_failure(LimitedSocks(family, kind, protocol)) as sock:
            place, credentials = address[:2], (proxy.username, proxy.password)
            sock.set_proxy(socks.SOCKS5, *place, True, *credentials)  # type: ignore[call-arg]
            _limits.hold(sock)
            sock.connect((host, port))
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            return _LimitedSocket(fileno=sock.detach())

    return _first(proxy.host, proxy.port, reach)


def _first(
    host: str, port: int, reach: Callable[[Any, Any, int, Any], socket.socket]
) -> socket.socket:
    failure = OSError("its name has no address")
    for family, kind, protocol, _, address in _addresses(host, port):
        try:
            return reach(family, kind, protocol, address)
        except OSError as error:
            failure = error
    raise failure


@contextmanager
def _closed_on_failure(sock: S) -> Iterator[S]:
    try:
        yield sock
    except BaseException:
        sock.close()
        raise


def tls_context(authorities: str) -> ssl.SSLContext:
    """Return a TLS context for sockets with limits; like `trust`."""
    context = trust(authorities)
    context.sslsocket_class = _LimitedTLSSocket
    return context


def trust(authorities: str) -> ssl.SSLContext:
    """Return a TLS context with the authorities in a PEM file or a directory.

    OSError when there are none.
    """
    directory = Path(authorities).is_dir()
    cafile, capath = (None, authorities) if directory else (authorities, None)
    why = ""
    try:
        context = ssl.create_default_context(cafile=cafile, capath=capath)
    except OSError as error:
        why = error.strerror or type(error).__name__
    if why:
        # Not within the handler: the other error would become its cause.
        raise OSError(f"the certificate authorities in {authorities} cannot be read: {why}")
    return context


def _addresses(host: str, port: int) -> list[Any]:
    """Resolve a name in a thread, since the system's resolver cannot be interrupted.

    A thread that hangs ends when the resolver gives up; no other thread waits for it.
    """
    with suppress(socket.gaierror):
        numeric = socket.AI_NUMERICHOST
        return socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=numeric)
    results: SimpleQueue[list[Any] | Exception] = SimpleQueue()
    look_up = partial(socket.getaddrinfo, host, port, type=socket.SOCK_STREAM)
    threading.Thread(
        target=lambda: results.put(outcome(look_up)), name="chatapp-tail-resolver", daemon=True
    ).start()
    try:
        result = results.get(timeout=_limits.left())
    except Empty:
        raise socket.gaierror(socket.EAI_AGAIN, "the resolver does not answer") from None
    if isinstance(result, Exception):
        raise result
    return result
