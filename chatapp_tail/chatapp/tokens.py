"""The access token: where it comes from, and how it is renewed once the service refuses it.

The vendor's rule: use the access token until it is refused, then refresh, save and repeat. Nothing
is refreshed on a schedule, and a login is never made again by itself (100 a day are allowed).
"""

import re
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Protocol

from ..errors import CredentialsError
from .secret import Secret
from .token_store import Login, TokenPair, TokenStore

TOKEN_VARIABLE = "CHATAPP_TOKEN"
_BCRYPT = re.compile(r"\$2[abxy]\$\d\d\$[./A-Za-z0-9]{53}")
_HEADER_SAFE = re.compile(r"[\x21-\x7e]+")

Refresh = Callable[[Secret], TokenPair]
"""Refresh token -> a new pair, the old one void; CredentialsError when it is refused."""


class TokenSource(Protocol):
    """Gives the access token, and another one when the service no longer accepts it.

    Used by several threads at once. `origin` tells a person where the token comes from.
    """

    origin: str

    def current(self) -> Secret:
        """Return the token to use now."""

    def renew(self, refused: Secret) -> Secret:
        """Return a token other than `refused`; CredentialsError with the next step if none is."""


class GivenToken:
    """CHATAPP_TOKEN: there is no other one when it dies."""

    def __init__(self, token: Secret) -> None:
        self.origin = TOKEN_VARIABLE
        self._token = token

    def current(self) -> Secret:
        """Return the token."""
        return self._token

    def renew(self, refused: Secret) -> Secret:
        """Raise: nothing here can be renewed."""
        raise CredentialsError(
            f"{_advice(refused)}; a chatapp-tail login would have renewed it by itself"
        )


class TokenFile:
    """`--token-file`: read again when its token is refused, since another program may keep it."""

    def __init__(self, path: Path) -> None:
        self.origin = str(path)
        self._path = path
        self._lock = threading.Lock()
        self._token = _checked(_read(path), f"the token file {path}")

    def current(self) -> Secret:
        """Return the token read last."""
        return self._token

    def renew(self, refused: Secret) -> Secret:
        """Return what the file holds now, if that is another token."""
        with self._lock:
            self._token = _checked(_read(self._path), f"the token file {self._path}")
        if self._token == refused:
            raise CredentialsError(f"{self._path} still holds it: {_advice(refused)}")
        return self._token


class StoredLogin:
    """A `chatapp-tail login`: refreshed under the store's lock, once for all processes."""

    def __init__(self, store: TokenStore, profile: str, login: Login, refresh: Refresh) -> None:
        self.origin = f"the login of {login.email}"
        self._store = store
        self._profile = profile
        self._login = login
        self._refresh = refresh
        self._lock = threading.Lock()

    def current(self) -> Secret:
        """Return the access token known last."""
        return self._login.pair.access

    def renew(self, refused: Secret) -> Secret:
        """Return the token another process has stored meanwhile, or refresh the pair."""
        with self._lock, self._store.locked():
            stored = self._store.load(self._profile)
            if stored is None:
                raise CredentialsError("the login was removed meanwhile: run chatapp-tail login")
            if stored.api_url != self._login.api_url:
                raise CredentialsError(
                    f"the login was replaced by one for {stored.api_url}: run chatapp-tail login,"
                    " or keep several apart with --profile"
                )
            if stored.pair.access == refused:
                stored = Login(
                    stored.email, stored.app_id, stored.api_url, self._refresh(stored.pair.refresh)
                )
                self._store.save(self._profile, stored)
            self._login = stored
        return stored.pair.access


def choose_source(
    token_file: Path | None,
    environment: Mapping[str, str],
    *,
    profile: str,
    api_url: str,
    refresh: Refresh,
) -> TokenSource:
    """Return `--token-file`, else CHATAPP_TOKEN, else the stored login; CredentialsError if none.

    A stored token is only ever sent to the API that gave it.
    """
    if token_file is not None:
        return TokenFile(token_file)
    if TOKEN_VARIABLE in environment:
        return GivenToken(_checked(environment[TOKEN_VARIABLE], TOKEN_VARIABLE))
    store = TokenStore()
    login = store.load(profile)
    if login is None:
        raise CredentialsError(
            f"no access token: run chatapp-tail login, set {TOKEN_VARIABLE} or name a file with"
            " --token-file (or try --sandbox, which needs none)"
        )
    if login.api_url != api_url:
        raise CredentialsError(
            f"the stored login is for {login.api_url}, not for {api_url}: run chatapp-tail login,"
            " or keep several apart with --profile"
        )
    return StoredLogin(store, profile, login, refresh)


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise CredentialsError(f"cannot read the token file {path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise CredentialsError(f"the token file {path} is not text") from error


def can_be_sent(token: str) -> bool:
    """Return whether a text can stand in a header, as a token must."""
    return _HEADER_SAFE.fullmatch(token) is not None


def _checked(text: str, where: str) -> Secret:
    token = text.strip()
    if not token:
        raise CredentialsError(f"{where} is empty; it must hold an access token")
    if not can_be_sent(token):
        raise CredentialsError(f"{where} holds spaces, lines or odd characters, not one token")
    return Secret(token)


def _advice(token: Secret) -> str:
    """Return the next step for a user whose token was refused; says so if a shell mangled it."""
    if not _BCRYPT.fullmatch(token.reveal()):
        return (
            "it does not look like a ChatApp token ($2y$10$ and 53 more characters);"
            " if it came from a shell, put it in single quotes"
        )
    return "tokens live for 24 hours: get a new one and set it again"
