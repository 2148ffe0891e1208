"""What close and error codes mean: which are retried, and which are final."""

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
    """The end of a connection; its socket is closed and its protocol machine discarded.

    Exactly one of `retry` and `stop` is set. `code` is the close code, or that of a `pusher:error`.
    """

    reason: str
    code: int | None = None
    retry: Retry | None = None
    stop: StopCause | None = None
    needs_tls: bool = False


def classify(code: int, reason: str, *, established: bool) -> CloseReason:
    """Return what a close code, or the code of a `pusher:error`, means for the connection.

    Pusher defines 4000-4099 (do not reconnect unchanged), 4100-4199 (over capacity) and 4200-4299
    (reconnect immediately), RFC 6455 1000-1015. On an established connection 4009 is a permission
    that was lost, so it is retried.
    """
    text = f"{reason or _GENERAL.get(code, 'no reason given')} (code {code})"
    if code == _TLS_ONLY:
        return CloseReason(text, code, retry=Retry.BACK_OFF, needs_tls=True)
    if code == UNAUTHORIZED and established:
        return CloseReason(text, code, retry=Retry.BACK_OFF)
    if 4000 <= code < 4100 or code == _EXTENSION_WANTED:
        return CloseReason(text, code, stop=StopCause.SERVER_REFUSED)
    if 4100 <= code < 4200:
        return CloseReason(text, code, retry=Retry.OVER_CAPACITY)
    if 4200 <= code < 4300:
        return CloseReason(text, code, retry=Retry.IMMEDIATE)
    return CloseReason(text, code, retry=Retry.BACK_OFF)
