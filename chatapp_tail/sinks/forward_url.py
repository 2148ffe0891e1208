"""Reads the value of `--forward-to`."""

import re
from urllib.parse import urlsplit

from ..net import LOOPBACK
from .nats_url import NATS_SCHEMES, parse_nats_url

_SCHEMES = ("http", "https")
_PORT_FIRST = re.compile(r":?([0-9]{1,5})(/.*)?")


def parse_forward_url(text: str) -> str:
    """Return the URL with its scheme, of HTTP or NATS.

    `3000/x` and `localhost:3000/x` mean http on loopback.

    ValueError says what is wrong, without repeating the URL: it may hold a password.
    """
    url = _with_scheme(text.strip())
    if url.startswith(tuple(f"{scheme}://" for scheme in NATS_SCHEMES)):
        parse_nats_url(url)
        return url
    if not url.isprintable() or " " in url:
        raise ValueError("it holds a space or another character that no URL has")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise ValueError("it is no URL, or its port is not a number from 1 to 65535") from None
    if parts.scheme not in _SCHEMES:
        raise ValueError("it must start with http://, https://, nats:// or tls://")
    if not parts.hostname or port == 0:
        raise ValueError("it has no host, or a port that is not a number from 1 to 65535")
    if "#" in url:
        raise ValueError("a fragment (#...) is never sent; leave it out")
    return url


def _with_scheme(text: str) -> str:
    if match := _PORT_FIRST.fullmatch(text):
        return f"http://localhost:{match[1]}{match[2] or '/'}"
    if "://" not in text and re.split("[:/]", text, maxsplit=1)[0] in LOOPBACK:
        return f"http://{text}"
    return text
