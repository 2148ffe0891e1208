"""Access to the API with whatever credentials the user has given or stored."""

import os
from importlib import import_module
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

from ..chatapp.api import Api, refresh_tokens
from ..chatapp.http import Http
from ..chatapp.secret import Secret
from ..chatapp.token_store import TokenPair
from ..chatapp.tokens import TokenSource, choose_source
from ..errors import UsageError
from ..proxies import Proxy, proxy_for


class Access(NamedTuple):
    """`origin` tells a person where the token comes from."""

    http: Http
    api: Api
    origin: str


def open_access(
    api_url: str,
    *,
    ca_file: str | None,
    proxy: Proxy | None,
    token_file: Path | None,
    profile: str,
    source: TokenSource | None = None,
) -> Access:
    """Return the API for an account; CredentialsError when there are no credentials.

    No network yet. `source` stands in for what the user has.
    """
    http = open_http(api_url, ca_file=ca_file, proxy=proxy)

    def refresh(token: Secret) -> TokenPair:
        return refresh_tokens(http, token)

    chosen = source or choose_source(
        token_file, os.environ, profile=profile, api_url=api_url, refresh=refresh
    )
    return Access(http, Api(http, chosen), chosen.origin)


def open_http(api_url: str, *, ca_file: str | None, proxy: Proxy | None) -> Http:
    """Return HTTP to the API; UsageError when the environment names an unusable proxy."""
    parts = urlsplit(api_url)
    check_proxy(parts.scheme, parts.hostname or "", proxy)
    return Http(api_url, ca_file=ca_file, proxy=proxy)


def check_proxy(scheme: str, host: str, given: Proxy | None) -> None:
    """Raise UsageError when the proxy for a host cannot be used, before anything needs it."""
    try:
        proxy = proxy_for(scheme, host, given)
    except ValueError as error:
        raise UsageError(f"the proxy that the environment names cannot be used: {error}") from error
    if proxy is None or proxy.scheme == "http":
        return
    try:
        import_module("socks")
    except ImportError as error:
        raise UsageError(
            f"the proxy {proxy} needs the package PySocks; pip install 'chatapp-tail[socks]'"
        ) from error
