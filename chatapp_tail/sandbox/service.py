"""What the functions of the HTTP API have to work with."""

import threading
from collections.abc import Callable
from dataclasses import dataclass

from .account import Account
from .faults import Faults
from .journal import Journal


@dataclass(frozen=True, slots=True)
class Service:
    """The running sandbox, as the HTTP API sees it.

    `is_connected` says whether a socket id is that of an open socket; `stopping` is set when
    the server is about to end.
    """

    account: Account
    faults: Faults
    journal: Journal
    is_connected: Callable[[str], bool]
    stopping: threading.Event
