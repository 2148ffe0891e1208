"""Where a Pusher server listens, and the URL of its WebSocket upgrade."""

from urllib.parse import quote, urlencode

import msgspec

from .. import __version__
from ..net import split_base_url


class Endpoint(msgspec.Struct, frozen=True):
    """Where a Pusher server listens: `ws[s]://host[:port][/prefix]`, parsed and validated."""

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
        """Return the same endpoint over TLS, for a server that closes with 4000."""
        return Endpoint(True, self.host, self.port, self.prefix)

    def url(self, app_key: str) -> str:
        """Return the URL to upgrade, as version 7 of Pusher's protocol defines it."""
        query = urlencode({"protocol": 7, "client": "python-chatapp-tail", "version": __version__})
        return f"{self}/app/{quote(app_key, safe='')}?{query}"
