"""What the functions of the HTTP API have to work with."""

import threading
from collections.abc import Callable
from dataclasses import dataclass

from .account import Account
from .faults import Faults
from .history import History
from .journal import Journal
from .throttle import Throttle
from .token_issuer import TokenIssuer


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """The running sandbox, as the HTTP API sees it.

    `is_connected` says whether a socket id is that of an open socket; `stopping` is set when
    the server is about to end.
    """

    account: Account
    faults: Faults
    journal: Journal
    tokens: TokenIssuer
    history: History
    throttle: Throttle
    is_connected: Callable[[str], bool]
    stopping: threading.Event
