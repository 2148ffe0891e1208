"""URLs, proxies and the dates of HTTP.

The socket and HTTP use the same proxy: the one given, the environment's, or none, by the rules of
curl. `NO_PROXY` also exempts hosts from a proxy given as an option, and `ALL_PROXY` is used for
schemes without a variable of their own.
"""

import os
import re
import time
from collections.abc import Collection
from datetime import UTC
from email.utils import parsedate_to_datetime
from urllib.parse import SplitResult, unquote, urlsplit

import msgspec

from .redaction import register, register_credentials

SCHEMES = {"http": 8080, "socks5": 1080, "socks5h": 1080}
LOOPBACK = ("127.0.0.1", "::1", "localhost")
_LIKE = {"ws": "http", "wss": "https"}


class Proxy(msgspec.Struct, frozen=True):
    """An HTTP proxy (used with CONNECT) or a SOCKS5 one, which resolves host names."""

    scheme: str
    host: str
    port: int
    username: str | None = None
    password: str | None = None
    url: str = ""

    @classmethod
    def parse(cls, url: str) -> "Proxy":
        """Return the proxy in `url`; ValueError says what is wrong, without the password."""
        whole = url if "://" in url else f"http://{url}"
        parts = split_base_url(whole, SCHEMES, user=True)
        username = None if parts.username is None else unquote(parts.username)
        password = None if parts.password is None else unquote(parts.password)
        if password:
            register_credentials(username or "", password)
            register(parts.password or "")
        # Always socks5h: names that only the proxy can resolve must work.
        scheme = "http" if parts.scheme == "http" else "socks5h"
        port = parts.port or SCHEMES[parts.scheme]
        whole = parts._replace(scheme=scheme).geturl()
        return cls(scheme, parts.hostname or "", port, username, password, whole)

    def __repr__(self) -> str:
        return f"Proxy({self}, {self.username!r})"

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}:{self.port}"


def _environment_names_one() -> bool:
    return any(name.lower().endswith("_proxy") for name in os.environ)


def proxy_for(scheme: str, host: str, given: Proxy | None) -> Proxy | None:
    """Return the proxy for a connection to `host`; ValueError if the environment's is unusable."""
    if given is None and (host in LOOPBACK or not _environment_names_one()):
        return None
    from urllib.request import getproxies, proxy_bypass

    known = getproxies()
    if proxy_bypass(host):
        return None
    if given is not None:
        return given
    url = known.get(_LIKE.get(scheme, scheme)) or known.get("all")
    return Proxy.parse(url) if url else None


def is_loopback(host: str) -> bool:
    """Return whether a host is this machine by name or address, without a lookup."""
    return host in LOOPBACK or re.fullmatch(r"127(\.[0-9]{1,3}){3}", host) is not None


def without_secrets(url: str) -> str:
    """Return a URL for people: without user info and fragment, a query as `?…`."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return "an invalid URL"
    netloc = parts.netloc.rpartition("@")[2]
    return parts._replace(netloc=netloc, query="…" if parts.query else "", fragment="").geturl()


def split_base_url(url: str, schemes: Collection[str], *, user: bool = False) -> SplitResult:
    """Take apart a URL of one of `schemes`: host, port, path, and with `user` credentials.

    ValueError says what is wrong with it, without repeating it: it may hold a password.
    """
    if not url.isprintable() or " " in url:
        raise ValueError("it holds a space or another character that no URL has")
    try:
        parts = urlsplit(url)
    except ValueError:
        # The message of urlsplit repeats the URL.
        raise ValueError("it is no URL") from None
    if parts.scheme not in schemes:
        raise ValueError(f"it must start with {' or '.join(f'{scheme}://' for scheme in schemes)}")
    if not parts.hostname:
        raise ValueError("it has no host")
    if "?" in url or "#" in url or (parts.username is not None and not user):
        raise ValueError("it may hold a host, a port and a path, nothing else")
    try:
        named = parts.port
    except ValueError:
        named = 0
    if named == 0:
        raise ValueError("its port is not a number from 1 to 65535")
    try:
        parts.hostname.encode("idna")
    except UnicodeError:
        raise ValueError("its host is no name that can be looked up") from None
    return parts


def parse_retry_after(text: str) -> float | None:
    """Return the seconds to wait from now, None when the header is missing or invalid."""
    if text.isdecimal() and text.isascii():
        return float(text)
    moment = parse_http_date(text)
    return None if moment is None else max(0.0, moment - time.time())


def parse_http_date(text: str) -> float | None:
    """Return seconds since the epoch for a date of HTTP in any of its forms, None for no date."""
    try:
        moment = parsedate_to_datetime(text)
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=UTC)  # the asctime form, in GMT
        return moment.timestamp()
    except (ValueError, TypeError, OverflowError):
        return None
