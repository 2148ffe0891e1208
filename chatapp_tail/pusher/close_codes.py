"""What close and error codes mean: the one place that tells retry from fatal."""

import msgspec

from ..items import StopCause
from .backoff import Retry
from .frames import ABNORMAL, NO_STATUS

_GENERAL = {
    1000: "normal closure",
    1001: "going away",
    1002: "protocol error",
    1003: "unsupported data",
    1005: "no code given",
    1006: "closed without a close frame",
    1007: "invalid payload",
    1008: "policy violation",
    1009: "message too big",
    1010: "extension wanted",
    1011: "server error",
    1012: "service restart",
    1013: "try again later",
    1014: "bad gateway",
}
_EXTENSION_WANTED = 1010
_TLS_ONLY, UNAUTHORIZED = 4000, 4009
UNINFORMATIVE_CODES = (NO_STATUS, ABNORMAL, 1000)


class CloseReason(msgspec.Struct, frozen=True):
    """The connection is over; the shell closes the socket and asks nothing more of the machine.

    Exactly one of `retry` and `stop` is set. `code` is the close or in-band code that decided.
    """

    reason: str
    code: int | None = None
    retry: Retry | None = None
    stop: StopCause | None = None
    needs_tls: bool = False


def classify(code: int, reason: str, *, established: bool) -> CloseReason:
    """Return what a close or in-band error code means for the connection.

    Pusher's ranges 4000-4099 (will not work unchanged),
    4100-4199 (over capacity), 4200-4299 (reconnect at once) and RFC 6455's 1000-1015.
    An established link was already accepted, so 4009 there is a lost permission to be asked again.
    """
    said = f"{reason or _GENERAL.get(code, 'no reason given')} (code {code})"
    if code == _TLS_ONLY:
        return CloseReason(said, code, retry=Retry.BACK_OFF, needs_tls=True)
    if code == UNAUTHORIZED and established:
        return CloseReason(said, code, retry=Retry.BACK_OFF)
    if 4000 <= code < 4100 or code == _EXTENSION_WANTED:
        return CloseReason(said, code, stop=StopCause.SERVER_REFUSED)
    if 4100 <= code < 4200:
        return CloseReason(said, code, retry=Retry.OVER_CAPACITY)
    if 4200 <= code < 4300:
        return CloseReason(said, code, retry=Retry.IMMEDIATE)
    return CloseReason(said, code, retry=Retry.BACK_OFF)
