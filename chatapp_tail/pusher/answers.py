"""What the auth endpoint can answer; the shell asks, the machine decides what follows."""

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Granted:
    """`auth` is `KEY:SIGNATURE`, good for one socket id and one channel."""

    auth: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Denied:
    """This channel is not for this account."""

    reason: str


@dataclass(frozen=True, slots=True)
class TokenRefused:
    """The token itself is not accepted: no channel will be."""

    reason: str


@dataclass(frozen=True, slots=True)
class Unavailable:
    """No usable answer this time; `retry_after` is what the server asked for, in seconds."""

    reason: str
    retry_after: float | None = None


@dataclass(frozen=True, slots=True)
class Bug:
    """Asking failed with an exception nobody foresaw; it must not be lost in a thread."""

    traceback: str


AuthAnswer = Granted | Denied | TokenRefused | Unavailable | Bug
