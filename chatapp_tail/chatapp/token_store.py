"""The file in which logins are kept: 0600, replaced atomically, changed under a lock.

Several processes share it. A refresh voids the pair before it, so the process that refreshes holds
the lock from reading to writing.
"""

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from ..errors import ApiError, ChatAppTailError, CredentialsError
from ..files import state_directory, write_atomically, write_beside
from .secret import Secret

_FILE, _VERSION = "tokens.json", 1
_LOCK_TIMEOUT = 45.0
"""Seconds; the process that holds the lock refreshes under it, which takes 30 at most."""
_TRANSIENT_ERRNOS = (errno.ENOSPC, errno.EDQUOT, errno.EMFILE, errno.ENFILE)
"""Errors of the system that may go away while this program runs."""
_LOGIN_SIZE = 4096
"""Bytes; more than a login takes in the file."""


class TokenPair(msgspec.Struct, frozen=True, kw_only=True):
    """The tokens of a login or a refresh; end times in seconds since the epoch."""

    access_token: str
    access_end: int
    refresh_token: str
    refresh_end: int
    user_id: int | None = None

    def __repr__(self) -> str:
        return f"TokenPair(access_end={self.access_end}, refresh_end={self.refresh_end})"

    @property
    def access(self) -> Secret:
        """The access token."""
        return Secret(self.access_token)

    @property
    def refresh(self) -> Secret:
        """The refresh token."""
        return Secret(self.refresh_token)


class Login(msgspec.Struct, frozen=True):
    """One account's login. `api_url` is where its tokens may be sent, and nowhere else.

    `refreshed` is when the pair came from a refresh, in seconds since the epoch; 0 when it came
    from logging in.
    """

    email: str
    app_id: str
    api_url: str
    pair: TokenPair
    refreshed: float = 0.0

    def is_of(self, other: "Login") -> bool:
        """Return whether both are logins of one account at one API."""
        return (self.email, self.app_id, self.api_url) == (
            other.email,
            other.app_id,
            other.api_url,
        )


class _Stored(msgspec.Struct):
    version: int = _VERSION
    profiles: dict[str, Login] = {}


class TokenStore:
    """The logins of this user by profile name, in `directory` (by default XDG's state directory).

    Every method raises CredentialsError when the file cannot be read, written or trusted, and
    ApiError when that may pass: another process keeps the lock, or the disk is full.
    """

    def __init__(self, directory: Path | None = None) -> None:
        self._directory = directory or _directory()
        self.path = self._directory / _FILE

    def load(self, profile: str) -> Login | None:
        """Return the login of `profile`, None when there is none."""
        return self._read().profiles.get(profile)

    def save(self, profile: str, login: Login) -> None:
        """Keep `login`, replacing an earlier one; hold `locked` around reading and saving."""
        stored = self._read()
        stored.profiles[profile] = login
        self._write(stored)

    def check(self) -> None:
        """Raise unless a login could be saved now, before one is spent; takes the room it needs."""
        content = msgspec.json.encode(self._read()) + bytes(_LOGIN_SIZE)
        self._make_directory()
        try:
            write_beside(self.path, content, fsync=True).unlink()
        except OSError as error:
            raise _failed(f"cannot write {self.path}", error) from error

    def remove(self, profile: str) -> bool:
        """Forget `profile`; False when there was nothing to forget."""
        stored = self._read()
        if stored.profiles.pop(profile, None) is None:
            return False
        self._write(stored)
        return True

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other processes from changing the file."""
        from filelock import FileLock, Timeout

        self._make_directory()
        lock = FileLock(self._directory / (_FILE + ".lock"), mode=0o600)
        try:
            lock.acquire(timeout=_LOCK_TIMEOUT)
        except Timeout as error:
            raise ApiError(
                f"another process keeps {self.path} locked for {_LOCK_TIMEOUT:g} s"
            ) from error
        except OSError as error:
            raise _failed(f"cannot lock {self.path}", error) from error
        try:
            yield
        finally:
            lock.release()

    def _read(self) -> _Stored:
        try:
            with self.path.open("rb") as file:
                _refuse_if_open_to_others(self.path, os.fstat(file.fileno()))
                stored = msgspec.json.decode(file.read(), type=_Stored)
        except FileNotFoundError:
            return _Stored()
        except OSError as error:
            raise _failed(f"cannot read {self.path}", error) from error
        except (msgspec.DecodeError, RecursionError) as error:
            raise CredentialsError(
                f"{self.path} is damaged; remove it and run chatapp-tail login"
            ) from error
        if stored.version > _VERSION:
            raise CredentialsError(f"{self.path} is of a newer chatapp-tail; use that one")
        return stored

    def _write(self, stored: _Stored) -> None:
        try:
            content = msgspec.json.encode(stored)
        except UnicodeEncodeError as error:
            raise CredentialsError("a name in the login is no text") from error
        self._make_directory()
        try:
            write_atomically(self.path, content, fsync=True)
        except OSError as error:
            raise _failed(f"cannot write {self.path}", error) from error

    def _make_directory(self) -> None:
        try:
            self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise _failed(f"cannot make the directory {self._directory}", error) from error


def _failed(what: str, error: OSError) -> ChatAppTailError:
    kind = ApiError if error.errno in _TRANSIENT_ERRNOS else CredentialsError
    return kind(f"{what}: {error.strerror}")


def _refuse_if_open_to_others(path: Path, status: os.stat_result) -> None:
    mode = stat.S_IMODE(status.st_mode)
    if mode & 0o077:
        raise CredentialsError(
            f"{path} can be read or changed by others (mode {mode:04o}); chmod 600 it, and if"
            " others may have seen it, run chatapp-tail login again"
        )


def _directory() -> Path:
    directory = state_directory()
    if directory is None:
        raise CredentialsError(
            "there is no home directory to keep a login in: set HOME or XDG_STATE_HOME, or give a"
            " token in CHATAPP_TOKEN"
        )
    return directory
