"""Which proxy a connection goes through: the one given, or the environment's, or none.

One answer for the socket and for HTTP alike, by the rules curl and most tools follow: `NO_PROXY`
also excepts hosts from a proxy given by hand, and `ALL_PROXY` stands in for the others.
"""

import os
from urllib.parse import unquote

import msgspec

from .redaction import register, register_credentials
from .urls import split_base_url

SCHEMES = {"http": 8080, "socks5": 1080, "socks5h": 1080}
LOOPBACK = ("127.0.0.1", "::1", "localhost")
_LIKE = {"ws": "http", "wss": "https"}


class Proxy(msgspec.Struct, frozen=True):
    """An HTTP proxy (used with CONNECT) or a SOCKS5 one; the host name is resolved by it."""

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
        # socks5h everywhere: a name that only the proxy's side knows must work.
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
