"""Reads `nats://host:4222,host2:4222/PREFIX`, and makes the subjects below the prefix."""

import re
from functools import lru_cache
from pathlib import Path
from urllib.parse import SplitResult, unquote, urlsplit

import msgspec

from ..chatapp.records import Record
from ..redaction import register

NATS_SCHEMES = ("nats", "tls")
_PORT = 4222
_PREFIX = re.compile(r"[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*")
_ESCAPED = re.compile(r"[^!-~]|[.*>%]")


class NatsUrl(msgspec.Struct, frozen=True):
    """Servers of one cluster, and the prefix of the subjects.

    `servers` are URLs without credentials. A user without a password is a token.
    """

    servers: tuple[str, ...]
    prefix: str
    user: str | None = None
    password: str | None = None

    @property
    def name(self) -> str:
        """The URL for people, without credentials."""
        scheme, _, first = self.servers[0].partition("://")
        others = [server.partition("://")[2] for server in self.servers[1:]]
        return f"{scheme}://{','.join([first, *others])}/{self.prefix}"

    def __repr__(self) -> str:
        return f"NatsUrl({self.name})"


class NatsSettings(msgspec.Struct, frozen=True):
    """Where and how to publish."""

    url: NatsUrl
    creds: Path | None = None
    """File with a user's JWT and seed, as nsc writes it."""
    ca_file: str | None = None
    create_stream: bool = False
    state: Path | None = None
    """File that tells the next run where this one ended; None without `--resume`."""


def parse_nats_url(text: str) -> NatsUrl:
    """Return what a URL names; ValueError says what is wrong, without repeating the URL."""
    if not text.isprintable() or " " in text:
        raise ValueError("it holds a space or another character that no URL has")
    scheme, separator, rest = text.partition("://")
    if scheme not in NATS_SCHEMES or not separator:
        raise ValueError("it must start with nats:// or tls://")
    if "?" in rest or "#" in rest:
        raise ValueError("it may hold hosts, ports and a prefix, nothing else")
    authority, _, prefix = rest.rpartition("/") if "/" in rest else (rest, "", "")
    prefix = prefix or ""
    if not prefix:
        raise ValueError("it names no subject prefix; write nats://HOST/PREFIX")
    if not _PREFIX.fullmatch(prefix):
        raise ValueError("its prefix must be words of A-Z a-z 0-9 _ - with dots between them")
    if "/" in authority:
        raise ValueError("it has more than a prefix behind its hosts")
    parts = [_server(scheme, host) for host in _hosts(authority)]
    user, password = _credentials(parts)
    return NatsUrl(tuple(_without_user(part) for part in parts), prefix, user, password)


def _hosts(authority: str) -> list[str]:
    """Return the hosts; a comma in a password is not one between hosts."""
    credentials, separator, hosts = authority.rpartition("@")
    first, *others = hosts.split(",")
    if "@" in credentials:
        # Every host may have the credentials, which are then the same.
        return authority.split(",")
    return [f"{credentials}{separator}{first}", *others]


def _server(scheme: str, host: str) -> SplitResult:
    try:
        parts = urlsplit(f"{scheme}://{host}")
        port = parts.port
    except ValueError:
        raise ValueError("one of its ports is not a number from 1 to 65535") from None
    if not parts.hostname:
        raise ValueError("it has no host, or an empty one")
    if port == 0:
        raise ValueError("one of its ports is not a number from 1 to 65535")
    return parts


def _credentials(parts: list[SplitResult]) -> tuple[str | None, str | None]:
    given = {(part.username, part.password) for part in parts if part.username is not None}
    if len(given) > 1:
        raise ValueError("its hosts have different credentials; one user is for all of them")
    user, password = given.pop() if given else (None, None)
    for secret in (password, user if password is None else None):
        if secret:
            register(secret)
            register(unquote(secret))
    return unquote(user) if user else None, unquote(password) if password else None


def _without_user(parts: SplitResult) -> str:
    host = parts.hostname or ""
    host = f"[{host}]" if ":" in host else host
    return f"{parts.scheme}://{host}:{parts.port or _PORT}"


def subject_of(prefix: str, record: Record) -> str:
    """Return `PREFIX.<license>.<messenger>.<event>`; what is unknown is `-`."""
    return _subject(prefix, record.license, record.messenger, record.event)


@lru_cache(maxsize=4096)
def _subject(prefix: str, license_id: int | None, messenger: str | None, event: str) -> str:
    number = "-" if license_id is None else str(license_id)
    return f"{prefix}.{number}.{_token(messenger)}.{_token(event)}"


def _token(text: str | None) -> str:
    """Return a text as one token of a subject; what would separate or match is `%XX`."""
    return _ESCAPED.sub(_percent, text) if text else "-"


def _percent(match: re.Match[str]) -> str:
    return "".join(f"%{byte:02X}" for byte in match[0].encode("utf-8", "replace"))
