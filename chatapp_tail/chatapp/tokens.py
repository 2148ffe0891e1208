"""The access token: its sources, and how it is refreshed once the service refuses it.

The vendor's rule: use the access token until it is refused, then refresh, save and repeat. Tokens
are not refreshed on a schedule, and the program never logs in by itself (100 per day are allowed).
"""

import re
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Protocol

import msgspec
from msgspec.structs import replace

from ..errors import ApiError, ChatAppTailError, CredentialsError
from .http import CHECK_URL, Http, Response
from .secret import Secret
from .token_store import Login, TokenPair, TokenStore

TOKEN_VARIABLE = "CHATAPP_TOKEN"
_BCRYPT = re.compile(r"\$2[abxy]\$\d\d\$[./A-Za-z0-9]{53}")
_REWRITE_TIMEOUT, _REREAD_INTERVAL = 3.0, 0.1
_MIN_REFRESH_INTERVAL = 300.0
_SAVE_INTERVAL = 5.0
_HEADER_SAFE = re.compile(r"[\x21-\x7e]+")
_NOT_CHATAPP = (404, 405)
"""Statuses for an unknown path; they say nothing about a token."""


class _Pair(msgspec.Struct, rename="camel"):
    """Of any type, but for the tokens: a refresh voids the old pair, so a new one must be kept."""

    access_token: str
    refresh_token: str
    access_token_end_time: object = None
    refresh_token_end_time: object = None
    cabinet_user_id: object = None


class _PairBody(msgspec.Struct):
    data: _Pair


def make_tokens(http: Http, email: str, password: Secret, app_id: str) -> TokenPair:
    """Log in; CredentialsError when refused. 100 a day are allowed, so never call it unasked."""
    credentials = {"email": email, "password": password.reveal(), "appId": app_id}
    reply = http.send("POST", "/v1/tokens", headers={}, json=credentials)
    if reply.ok:
        return _pair(reply)
    if reply.retryable:
        wait = f"; it asks to wait {reply.retry_after:g} s" if reply.retry_after else ""
        raise ApiError(f"{reply.summary}{wait}; try again later (100 logins a day are allowed)")
    if not _is_refusal(reply):
        raise ApiError(f"{reply.summary}; {CHECK_URL}")
    raise CredentialsError(f"{reply.summary}; check email, password and appId")


def refresh_tokens(http: Http, refresh: Secret) -> TokenPair:
    """Exchange a refresh token for a new pair, which voids the old one.

    CredentialsError only when ChatApp itself refuses it; ApiError for whatever may pass.
    """
    reply = http.send("POST", "/v1/tokens/refresh", headers={"Refresh": refresh.reveal()})
    if reply.ok:
        return _pair(reply)
    if reply.retryable or not _is_refusal(reply):
        raise ApiError(reply.summary)
    raise CredentialsError(f"{reply.summary}; run chatapp-tail login")


def _is_refusal(reply: Response) -> bool:
    """Return whether ChatApp itself refuses credentials: a gateway answers with other bodies."""
    return reply.refuses and reply.status not in _NOT_CHATAPP and not 300 <= reply.status < 400


def _pair(reply: Response) -> TokenPair:
    body = reply.decode(_PairBody)
    if body is None:
        raise ApiError(f"{reply.summary} without a token pair ({CHECK_URL})")
    pair = body.data
    if not (is_header_safe(pair.access_token) and is_header_safe(pair.refresh_token)):
        raise ApiError(f"{reply.summary} with tokens that no request can carry")
    return TokenPair(
        access_token=pair.access_token,
        access_end=_seconds(pair.access_token_end_time),
        refresh_token=pair.refresh_token,
        refresh_end=_seconds(pair.refresh_token_end_time),
        user_id=pair.cabinet_user_id if isinstance(pair.cabinet_user_id, int) else None,
    )


def _seconds(moment: object) -> int:
    """Return a moment as whole seconds, 0 when it cannot be read."""
    try:
        return int(float(moment)) if isinstance(moment, int | float | str) else 0
    except (ValueError, OverflowError):
        return 0


class TokenSource(Protocol):
    """Provides the access token, and another one when the service no longer accepts it.

    Used by several threads. `origin` names the source of the token for people.
    """

    origin: str

    def current(self) -> Secret:
        """Return the token to use now."""

    def refresh(self, refused: Secret) -> Secret:
        """Return a token other than `refused`; CredentialsError with the next step if none is."""


class StaticToken:
    """CHATAPP_TOKEN: it cannot be refreshed."""

    def __init__(self, token: Secret) -> None:
        self.origin = TOKEN_VARIABLE
        self._token = token

    def current(self) -> Secret:
        """Return the token."""
        return self._token

    def refresh(self, refused: Secret) -> Secret:
        """Raise CredentialsError: this token cannot be refreshed."""
        raise CredentialsError(
            f"{_advice(refused)}; a chatapp-tail login would have renewed it by itself"
        )


class TokenFile:
    """`--token-file`: read again when its token is refused, since another program may update it."""

    def __init__(self, path: Path) -> None:
        self.origin = str(path)
        self._path = path
        self._lock = threading.Lock()
        self._token = _token_in(path)

    def current(self) -> Secret:
        """Return the token read last."""
        return self._token

    def refresh(self, refused: Secret) -> Secret:
        """Return the token in the file, if it is another one by now.

        A file that is empty or changes while it is read is being rewritten, so it is read again
        for a few seconds.
        """
        with self._lock:
            self._token = self._read_settled()
        if self._token == refused:
            raise CredentialsError(f"{self._path} still holds it: {_advice(refused)}")
        return self._token

    def _read_settled(self) -> Secret:
        deadline = time.monotonic() + _REWRITE_TIMEOUT
        before: Secret | None = None
        while True:
            try:
                token = _token_in(self._path)
            except CredentialsError:
                if time.monotonic() > deadline:
                    raise
            else:
                if token in (before, self._token) or time.monotonic() > deadline:
                    return token
                before = token
            time.sleep(_REREAD_INTERVAL)


class StoredLogin:
    """A `chatapp-tail login`: refreshed under the store's lock, once for all processes.

    A refresh voids the pair before it. So a pair is refreshed only if the new one can be saved, and
    not within minutes of the last refresh. If saving fails nevertheless, `warn` is called; the new
    pair is used from memory and saved later.
    """

    def __init__(
        self,
        store: TokenStore,
        profile: str,
        login: Login,
        http: Http,
        warn: Callable[[str], None] = lambda _: None,
    ) -> None:
        self.origin = f"the login of {login.email}"
        self._store = store
        self._profile = profile
        self._login = login
        self._http = http
        self._warn = warn
        self._lock = threading.Lock()
        self._unsaved: Login | None = None
        """The login in the file while a newer one could not be saved."""

    def current(self) -> Secret:
        """Return the access token known last."""
        return self._login.pair.access

    def refresh(self, refused: Secret) -> Secret:
        """Return the token that another process has stored meanwhile, or refresh the pair."""
        with self._lock, self._store.locked():
            login = self._stored()
            if login == self._unsaved:
                login = self._login
            else:
                self._unsaved = None
            self._login = self._refreshed(login) if login.pair.access == refused else login
            return self._login.pair.access

    def _stored(self) -> Login:
        stored = self._store.load(self._profile)
        if stored is None:
            raise CredentialsError("the login was removed meanwhile: run chatapp-tail login")
        if not stored.is_of(self._login):
            raise CredentialsError(
                f"the login was replaced by one of {stored.email} (appId {stored.app_id}) for"
                f" {stored.api_url}: run chatapp-tail login, or keep several apart with --profile"
            )
        return stored

    def _refreshed(self, login: Login) -> Login:
        """Exchange the pair of a login; the new one is kept even if it cannot be saved."""
        now = time.time()
        age, is_over = now - login.refreshed, 0 < login.pair.access_end <= now
        if 0 <= age < _MIN_REFRESH_INTERVAL and not is_over:
            raise ApiError(
                f"the login was refreshed {age:.0f} s ago and is refused again; it is not refreshed"
                f" more than once in {_MIN_REFRESH_INTERVAL / 60:g} minutes"
            )
        self._store.check()
        pair = refresh_tokens(self._http, login.pair.refresh)
        new = replace(login, pair=pair, refreshed=time.time())
        try:
            self._store.save(self._profile, new)
        except ChatAppTailError as error:
            self._save_later(login, error)
        else:
            self._unsaved = None
        return new

    def _save_later(self, login: Login, error: ChatAppTailError) -> None:
        if self._unsaved is None:
            self._unsaved = login
            self._warn(
                f"the renewed login is used, but could not be saved: {error}; trying again until"
                " it can, or the login is lost when this process ends"
            )
            name = "chatapp-tail-login"
            threading.Thread(target=self._save_until_done, name=name, daemon=True).start()

    def _save_until_done(self) -> None:
        while not self._try_save():
            time.sleep(_SAVE_INTERVAL)

    def _try_save(self) -> bool:
        """Save the pair in memory; return whether nothing is left to save."""
        with self._lock:
            if self._unsaved is None:
                return True
            try:
                with self._store.locked():
                    # A login made meanwhile is not overwritten.
                    if self._store.load(self._profile) == self._unsaved:
                        self._store.save(self._profile, self._login)
            except ChatAppTailError:
                return False
            self._unsaved = None
            return True


def choose_source(
    token_file: Path | None,
    environment: Mapping[str, str],
    *,
    profile: str,
    http: Http,
    warn: Callable[[str], None],
) -> TokenSource:
    """Return `--token-file`, else CHATAPP_TOKEN, else the stored login; CredentialsError if none.

    A stored token is only ever sent to the API that gave it. `warn` is as for `StoredLogin`.
    """
    if token_file is not None:
        return TokenFile(token_file)
    if TOKEN_VARIABLE in environment:
        return StaticToken(_validated(environment[TOKEN_VARIABLE], TOKEN_VARIABLE))
    store = TokenStore()
    login = store.load(profile)
    if login is None:
        raise CredentialsError(
            f"no access token: run chatapp-tail login, set {TOKEN_VARIABLE} or name a file with"
            " --token-file (or try --sandbox, which needs none)"
        )
    if login.api_url != http.url:
        raise CredentialsError(
            f"the stored login is for {login.api_url}, not for {http.url}: run chatapp-tail login,"
            " or keep several apart with --profile"
        )
    return StoredLogin(store, profile, login, http, warn)


def _token_in(path: Path) -> Secret:
    return _validated(_read(path), f"the token file {path}")


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise CredentialsError(f"cannot read the token file {path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise CredentialsError(f"the token file {path} is not text") from error


def is_header_safe(token: str) -> bool:
    """Return whether a token can be sent in a header."""
    return _HEADER_SAFE.fullmatch(token) is not None


def _validated(text: str, where: str) -> Secret:
    token = text.strip()
    if not token:
        raise CredentialsError(f"{where} is empty; it must hold an access token")
    if not is_header_safe(token):
        raise CredentialsError(f"{where} holds spaces, lines or odd characters, not one token")
    return Secret(token)


def _advice(token: Secret) -> str:
    """Return the next step for a user whose token was refused, or that a shell mangled it."""
    if not _BCRYPT.fullmatch(token.reveal()):
        return (
            "it does not look like a ChatApp token ($2y$10$ and 53 more characters);"
            " if it came from a shell, put it in single quotes"
        )
    return "tokens live for 24 hours: get a new one and set it again"
