"""What `doctor` checks of a Pusher server before it connects: DNS, TCP, TLS."""

import socket
import ssl
import time
from collections.abc import Iterator

from ..errors import ExitStatus
from ..net import Proxy, proxy_for
from ..pusher.connection import Endpoint
from .check_result import Check, CheckFailed

_DAY = 86400.0
_TIMEOUT = 10.0
_PROBE_TIMEOUT = 3.0


def endpoint_checks(
    endpoint: Endpoint, ca_file: str | None, given: Proxy | None
) -> Iterator[tuple[str, Check]]:
    """Yield the checks; behind a proxy only a connection can tell more."""
    proxy = proxy_for(endpoint.scheme, endpoint.host, given)
    yield "proxy", lambda: str(proxy or "none")
    if proxy is None:
        yield "DNS", lambda: _dns(endpoint)
        yield "TCP", lambda: _tcp(endpoint)
        if endpoint.tls:
            yield "TLS", lambda: _tls(endpoint, ca_file)


def _addresses(endpoint: Endpoint) -> list[tuple[socket.AddressFamily, tuple[str, int]]]:
    infos = socket.getaddrinfo(endpoint.host, endpoint.port, type=socket.SOCK_STREAM)
    return [(info[0], info[4]) for info in infos]  # type: ignore[misc]


def _dns(endpoint: Endpoint) -> str:
    try:
        addresses = _addresses(endpoint)
    except (OSError, UnicodeError) as error:
        raise CheckFailed(
            f"{endpoint.host}: {getattr(error, 'strerror', None) or error}",
            "check the name in --ws-url, and the resolver",
            ExitStatus.UNREACHABLE,
        ) from error
    return ", ".join(dict.fromkeys(address[0] for _, address in addresses))


def _tcp(endpoint: Endpoint) -> str:
    """Try all addresses, as a tail does; one that answers is enough."""
    place = f"{endpoint.host}:{endpoint.port}"
    failures: dict[str, str] = {}
    for family, address in _addresses(endpoint):
        try:
            with socket.socket(family, socket.SOCK_STREAM) as sock:
                sock.settimeout(_TIMEOUT)
                sock.connect(address)
        except OSError as error:
            failures[address[0]] = error.strerror or str(error)
        else:
            return f"{place} is open" + (f", but not at {_listed(failures)}" if failures else "")
    raise CheckFailed(
        f"{place}: {_listed(failures) if len(failures) > 1 else ''.join(failures.values())}",
        "check the port in --ws-url, and firewalls; many block outgoing ports other than 443",
        ExitStatus.UNREACHABLE,
    )


def _listed(failures: dict[str, str]) -> str:
    return ", ".join(f"{address} ({why})" for address, why in failures.items())


def _tls(endpoint: Endpoint, ca_file: str | None) -> str:
    context = ssl.create_default_context(cafile=ca_file)
    try:
        with (
            socket.create_connection((endpoint.host, endpoint.port), timeout=_TIMEOUT) as plain,
            context.wrap_socket(plain, server_hostname=endpoint.host) as sock,
        ):
            certificate, version = sock.getpeercert() or {}, sock.version()
    except ssl.SSLCertVerificationError as error:
        raise Untrusted(error.verify_message) from error
    except OSError as error:
        raise CheckFailed(
            f"{endpoint.host}:{endpoint.port}: {error.strerror or error}",
            "check --ws-url: a server without TLS needs ws://, and a proxy may be intercepting",
            ExitStatus.UNREACHABLE,
        ) from error
    until = ssl.cert_time_to_seconds(str(certificate.get("notAfter", "Jan 1 00:00:00 1970 GMT")))
    return f"{version}, certificate good for {(until - time.time()) / _DAY:.0f} days"


class Untrusted(CheckFailed):
    """The certificate is not trusted; a tail ends at once, whatever other servers there are."""

    def __init__(self, why: str) -> None:
        advice = "check --ca-file; a proxy or antivirus may be intercepting TLS"
        super().__init__(f"the certificate is not trusted: {why}", advice, ExitStatus.UNREACHABLE)


def speaks_tls(endpoint: Endpoint) -> bool:
    """Return whether a server that is to be reached without TLS answers with it."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE  # nothing is sent to it
    place = (endpoint.host, endpoint.port)
    try:
        with (
            socket.create_connection(place, timeout=_PROBE_TIMEOUT) as plain,
            context.wrap_socket(plain, server_hostname=endpoint.host),
        ):
            return True
    except OSError:
        return False
