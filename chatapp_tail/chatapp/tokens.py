"""The access token: where it comes from, and how it is kept out of sight."""

import re
from collections.abc import Mapping
from pathlib import Path

from ..errors import CredentialsError

TOKEN_VARIABLE = "CHATAPP_TOKEN"
_BCRYPT = re.compile(r"\$2[abxy]\$\d\d\$[./A-Za-z0-9]{53}")
_HEADER_SAFE = re.compile(r"[\x21-\x7e]+")


class Secret:
    """A text that never prints; `reveal` is called where it is sent, nowhere else."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        """Return the text itself."""
        return self._text

    def __repr__(self) -> str:
        return "[secret]"


def load_token(token_file: Path | None, environment: Mapping[str, str]) -> Secret:
    """Return the token of `--token-file`, else of CHATAPP_TOKEN; CredentialsError when none is."""
    if token_file is not None:
        return _checked(_read(token_file), f"the token file {token_file}")
    if TOKEN_VARIABLE in environment:
        return _checked(environment[TOKEN_VARIABLE], TOKEN_VARIABLE)
    raise CredentialsError(
        f"no access token: set {TOKEN_VARIABLE} or name a file with --token-file"
        " (or try --sandbox, which needs none)"
    )


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise CredentialsError(f"cannot read the token file {path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise CredentialsError(f"the token file {path} is not text") from error


def _checked(text: str, where: str) -> Secret:
    token = text.strip()
    if not token:
        raise CredentialsError(f"{where} is empty; it must hold an access token")
    if not _HEADER_SAFE.fullmatch(token):
        raise CredentialsError(f"{where} holds spaces, lines or odd characters, not one token")
    return Secret(token)


def advice_when_refused(token: Secret) -> str:
    """Return the next step for a user whose token was refused; says so if a shell mangled it."""
    if not _BCRYPT.fullmatch(token.reveal()):
        return (
            "it does not look like a ChatApp token ($2y$10$ and 53 more characters);"
            " if it came from a shell, put it in single quotes"
        )
    return "tokens live for 24 hours: get a new one and set it again"
