"""The request of a delivery: its head, and the signatures of Standard Webhooks.

https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
"""

import binascii
import hmac
import re
from base64 import b64decode, b64encode
from collections.abc import Iterable, Sequence
from hashlib import sha256
from urllib.parse import quote, unquote, urlsplit

from .. import __version__
from ..errors import UsageError
from ..net import Proxy
from ..redaction import register, register_credentials
from .delivery import Delivery

_SAFE_IN_TARGET = "/%:@!$&'()*+,;=~?[]"
_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_OUR_OWN = (
    *("connection", "content-length", "expect", "te", "trailer", "transfer-encoding", "upgrade"),
    *("webhook-id", "webhook-timestamp", "webhook-signature"),
)
"""Headers that frame or sign the request; another value would break it."""
_SECRET_NAME = re.compile(r"auth|cookie|key|password|secret|signature|token", re.IGNORECASE)
_SECRET_PREFIX = "whsec_"
_LONGEST_ID = 256
"""Characters; servers limit the length of a head."""


def parse_header(text: str) -> tuple[str, str]:
    """Return name and value of `NAME: VALUE`; UsageError without repeating the value."""
    name, colon, value = text.partition(":")
    value = value.strip(" \t")
    if not colon or not _NAME.fullmatch(name):
        raise UsageError("a header is written 'NAME: VALUE', with a name of letters and hyphens")
    if not value.replace("\t", " ").isprintable():
        raise UsageError(f"the header {name} holds a line end or another control character")
    if name.lower() in _OUR_OWN:
        raise UsageError(f"the header {name} is set by chatapp-tail itself")
    if _SECRET_NAME.search(name):
        register(value)
        register(value.rpartition(" ")[2])
    return name, value


def parse_secrets(text: str) -> list[bytes]:
    """Return the secrets in a file, `whsec_BASE64` on each line, empty lines and `#` left out.

    UsageError names the line, without repeating it, or says that there is none.
    """
    secrets = [
        _parse_secret(line.strip(), number)
        for number, line in enumerate(text.splitlines(), 1)
        if line.strip() and not line.lstrip().startswith("#")
    ]
    if not secrets:
        raise UsageError("the file of secrets holds none; a secret is written whsec_BASE64")
    return secrets


def _parse_secret(line: str, number: int) -> bytes:
    register(line)
    encoded = line.removeprefix(_SECRET_PREFIX)
    register(encoded)
    try:
        secret = b64decode(encoded + "=" * (-len(encoded) % 4), validate=True)
    except (binascii.Error, ValueError):
        secret = b""
    if not secret or not line.startswith(_SECRET_PREFIX):
        # Not within the handler: the other error would repeat part of the secret.
        raise UsageError(f"line {number} of the file of secrets is no secret like whsec_BASE64")
    return secret


def webhook_id(delivery: Delivery) -> str:
    """Return the idempotency key of a delivery, `ID:HASH` or `ID+N:HASH`.

    ID is the id of the first record, all but `[A-Za-z0-9:_-]` percent-encoded as UTF-8; N is the
    number of further records; HASH is 12 hexadecimal digits of the body's SHA-256. The hash tells
    an edit from the message, whose id is the same: receivers drop what has a known webhook-id. All
    attempts of a delivery have the same one.
    """
    first, *others = delivery.records
    # `quote` keeps `.` and `~`, and the signed text is ID.TIMESTAMP.BODY.
    name = quote(first.id, safe=":", errors="replace").replace(".", "%2E").replace("~", "%7E")
    more = f"+{len(others)}" if others else ""
    return f"{name[:_LONGEST_ID]}{more}:{sha256(delivery.body).hexdigest()[:12]}"


def sign(secrets: Sequence[bytes], identifier: str, timestamp: str, body: bytes) -> str:
    """Return the value of `webhook-signature`: one signature per secret."""
    signed = f"{identifier}.{timestamp}.".encode() + body
    digests = (hmac.digest(secret, signed, "sha256") for secret in secrets)
    return " ".join(f"v1,{b64encode(digest).decode()}" for digest in digests)


class RequestWriter:
    """Writes the head of each request to `url`, with the user's `headers` and `secrets`.

    `proxy` is an HTTP proxy that takes the whole URL in the request line (RFC 9112 section 3.2.2).
    """

    def __init__(
        self,
        url: str,
        headers: Iterable[tuple[str, str]],
        secrets: Sequence[bytes],
        proxy: Proxy | None = None,
        method: str = "POST",
    ) -> None:
        self._secrets = secrets
        parts = urlsplit(url)
        register(parts.query)
        host = _host_of(parts.hostname or "", parts.port)
        target = quote(parts.path or "/", safe=_SAFE_IN_TARGET)
        target += f"?{quote(parts.query, safe=_SAFE_IN_TARGET)}" if parts.query else ""
        fields = _default_fields(host)
        if parts.username is not None:
            user, password = unquote(parts.username), unquote(parts.password or "")
            fields["authorization"] = [("Authorization", _basic(user, password))]
        if proxy:
            target = f"http://{host}{target}"
            if proxy.username is not None:
                value = _basic(proxy.username, proxy.password or "")
                fields["proxy-authorization"] = [("Proxy-Authorization", value)]
        fields |= _by_name(headers)
        lines = [f"{name}: {value}" for field in fields.values() for name, value in field]
        self._start = "\r\n".join([f"{method} {target} HTTP/1.1", *lines, ""])

    def without_body(self) -> bytes:
        """Return a request that delivers nothing."""
        return f"{self._start}\r\n".encode()

    def head(self, identifier: str, body: bytes, now: int) -> bytes:
        """Return the head of an attempt at `now`, in seconds since the epoch."""
        timestamp = str(now)
        head = (
            f"{self._start}Content-Length: {len(body)}\r\n"
            f"webhook-id: {identifier}\r\nwebhook-timestamp: {timestamp}\r\n"
        )
        if self._secrets:
            head += f"webhook-signature: {sign(self._secrets, identifier, timestamp, body)}\r\n"
        return f"{head}\r\n".encode()


def _default_fields(host: str) -> dict[str, list[tuple[str, str]]]:
    return {
        "host": [("Host", host)],
        "user-agent": [("User-Agent", f"chatapp-tail/{__version__}")],
        "content-type": [("Content-Type", "application/json")],
    }


def _by_name(headers: Iterable[tuple[str, str]]) -> dict[str, list[tuple[str, str]]]:
    """Return headers by name in lower case; one name may occur several times."""
    fields: dict[str, list[tuple[str, str]]] = {}
    for name, value in headers:
        fields.setdefault(name.lower(), []).append((name, value))
    return fields


def _host_of(host: str, port: int | None) -> str:
    name = f"[{host}]" if ":" in host else host.encode("idna").decode()
    return f"{name}:{port}" if port else name


def _basic(user: str, password: str) -> str:
    register_credentials(user, password)
    return f"Basic {b64encode(f'{user}:{password}'.encode()).decode()}"
