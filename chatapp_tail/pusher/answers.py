"""The answers of the auth endpoint, which `chatapp` requests and `subscriptions` acts on."""

import msgspec


class Granted(msgspec.Struct, frozen=True):
    """`auth` is `KEY:SIGNATURE`, good for one socket id and one channel."""

    auth: str

    def __repr__(self) -> str:
        return "Granted()"


class Denied(msgspec.Struct, frozen=True):
    """The account has no access to this channel."""

    reason: str


class TokenRefused(msgspec.Struct, frozen=True):
    """The token itself is refused, and with it every channel."""

    reason: str


class Untrusted(msgspec.Struct, frozen=True):
    """The certificate of the endpoint is not trusted, and none was trusted before."""

    reason: str


class Unavailable(msgspec.Struct, frozen=True):
    """No usable answer; `retry_after` is what the server asked for, in seconds."""

    reason: str
    retry_after: float | None = None


class Bug(msgspec.Struct, frozen=True):
    """The request failed with an unexpected exception, which must not be lost in its thread."""

    traceback: str


AuthAnswer = Granted | Denied | TokenRefused | Untrusted | Unavailable | Bug
