"""Access to the API with the credentials that the user has given or stored."""

import os
import stat
from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

from ..chatapp.api import Api
from ..chatapp.http import Http, named_authorities
from ..chatapp.tokens import TokenSource, choose_source
from ..errors import UsageError
from ..net import LOOPBACK, Proxy, proxy_for
from ..pusher.connection import Endpoint
from .process import print_error


class ApiAccess(NamedTuple):
    """The API, and the HTTP below it."""

    http: Http
    api: Api
    origin: str
    """Where the token comes from, for people."""


def connect_api(
    api_url: str,
    *,
    ca_file: str | None,
    proxy: Proxy | None,
    token_file: Path | None,
    profile: str,
    source: TokenSource | None = None,
    endpoints: Sequence[Endpoint] = (),
    warn: Callable[[str], None] = print_error,
) -> ApiAccess:
    """Return the API for an account; CredentialsError when there are no credentials.

    Nothing is sent yet. `source` replaces the credentials of the user. `warn` gets what is unsafe
    about the credentials and about `endpoints`; later, from any thread, failures to save a renewed
    login.
    """
    http = open_http(api_url, ca_file=ca_file, proxy=proxy, warn=warn)
    for endpoint in endpoints:
        if not endpoint.tls and not _is_loopback(endpoint.host):
            warn(f"{endpoint} is not encrypted: events can be read and changed on the way")
    if source is None:
        source = choose_source(token_file, os.environ, profile=profile, http=http, warn=warn)
        if token_file is not None:
            warn_if_open_to_others(token_file, warn)
    return ApiAccess(http, Api(http, source), source.origin)


def open_http(
    api_url: str,
    *,
    ca_file: str | None,
    proxy: Proxy | None,
    warn: Callable[[str], None] = print_error,
) -> Http:
    """Return HTTP to the API; UsageError for an unusable proxy or CA file of the environment."""
    parts = urlsplit(api_url)
    host = parts.hostname or ""
    check_proxy(parts.scheme, host, proxy)
    if parts.scheme == "https" and ca_file is None:
        _check_authorities()
    if parts.scheme == "http" and not _is_loopback(host):
        warn(f"{api_url} is not encrypted: the access token can be read on the way")
    return Http(api_url, ca_file=ca_file, proxy=proxy)


def warn_if_open_to_others(path: Path, warn: Callable[[str], None] = print_error) -> None:
    """Warn of a file with a secret that users other than its owner can read or write."""
    try:
        status = path.stat()
    except OSError:
        return  # reading it reports the error
    if stat.S_ISREG(status.st_mode) and status.st_mode & 0o077:
        mode = stat.S_IMODE(status.st_mode)
        warn(f"{path} can be read or changed by others (mode {mode:04o}); chmod 600 it")


def _check_authorities() -> None:
    for variable, path in named_authorities():
        try:
            os.stat(path)  # noqa: PTH116 - a file or a directory
        except OSError as error:
            raise UsageError(
                f"{variable} names certificate authorities in {path}, which cannot be read:"
                f" {error.strerror}; unset it, or use --ca-file"
            ) from error
        return


def _is_loopback(host: str) -> bool:
    return host in LOOPBACK or host.startswith("127.")


def check_proxy(scheme: str, host: str, given: Proxy | None) -> None:
    """Raise UsageError when the proxy for a host cannot be used."""
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
            f"the proxy {proxy} needs the package PySocks; pip install PySocks"
        ) from error
