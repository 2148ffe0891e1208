"""What the auth endpoint can answer; the shell asks, the machine decides what follows."""

import msgspec


class Granted(msgspec.Struct, frozen=True):
    """`auth` is `KEY:SIGNATURE`, good for one socket id and one channel."""

    auth: str

    def __repr__(self) -> str:
        return "Granted()"


class Denied(msgspec.Struct, frozen=True):
    """This channel is not for this account."""

    reason: str


class TokenRefused(msgspec.Struct, frozen=True):
    """The token itself is not accepted: no channel will be."""

    reason: str


class Untrusted(msgspec.Struct, frozen=True):
    """What answers has a certificate that is not trusted, and none that was has answered before."""

    reason: str


class Unavailable(msgspec.Struct, frozen=True):
    """No usable answer this time; `retry_after` is what the server asked for, in seconds."""

    reason: str
    retry_after: float | None = None


class Bug(msgspec.Struct, frozen=True):
    """Asking failed with an exception nobody foresaw; it must not be lost in a thread."""

    traceback: str


AuthAnswer = Granted | Denied | TokenRefused | Untrusted | Unavailable | Bug
