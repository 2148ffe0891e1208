"""Access to the API with whatever credentials the user has given or stored."""

import os
from pathlib import Path
from typing import NamedTuple

from ..chatapp.api import Api, refresh_tokens
from ..chatapp.http import Http
from ..chatapp.secret import Secret
from ..chatapp.token_store import TokenPair
from ..chatapp.tokens import TokenSource, choose_source
from ..proxies import Proxy


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
    http = Http(api_url, ca_file=ca_file, proxy=proxy)

    def refresh(token: Secret) -> TokenPair:
        return refresh_tokens(http, token)

    chosen = source or choose_source(
        token_file, os.environ, profile=profile, api_url=api_url, refresh=refresh
    )
    return Access(http, Api(http, chosen), chosen.origin)
