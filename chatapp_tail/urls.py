"""Checks the URLs a user gives, before any network."""

from collections.abc import Collection
from urllib.parse import SplitResult, urlsplit


def split_base_url(url: str, schemes: Collection[str], *, user: bool = False) -> SplitResult:
    """Take apart a URL of one of `schemes`: host, port, path, and with `user` credentials.

    ValueError says what is wrong with it, without repeating it: it may hold a password.
    """
    if not url.isprintable() or " " in url:
        raise ValueError("it holds a space or another character that no URL has")
    try:
        parts = urlsplit(url)
    except ValueError:
        # Its own words repeat what was given.
        raise ValueError("it is no URL") from None
    if parts.scheme not in schemes:
        raise ValueError(f"it must start with {' or '.join(f'{each}://' for each in schemes)}")
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
