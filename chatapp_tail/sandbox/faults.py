"""Everything the sandbox can be told to do wrong. Set it from any thread, at any time."""

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field

from .http_messages import Answer


@dataclass(slots=True)
class Script:
    """An answer to give instead of the true one, `calls` more times or (None) for ever."""

    answer: Answer
    calls: int | None = None

    def take(self) -> Answer | None:
        """Return the answer, or None once it has been given often enough."""
        if self.calls is None:
            return self.answer
        self.calls -= 1
        return self.answer if self.calls >= 0 else None


@dataclass(slots=True)
class Faults:
    """The faults in force. All of them off is a server that behaves.

    `mute`: upgrades are accepted, `connection_established` never comes, nothing is answered.
    `hold_upgrades`: the HTTP upgrade request is never answered.
    `withhold_confirmations`: subscriptions are neither confirmed nor served.
    `withhold_pongs`: `pusher:ping` is not answered.
    `refuse_channels`: channel name to the HTTP status its authorisation is refused with.
    `auth_delay`: seconds before each authorisation is answered.
    `auth_hangs`: authorisations that arrive meanwhile stay unanswered until the server stops.
    """

    mute: bool = False
    hold_upgrades: bool = False
    withhold_confirmations: bool = False
    withhold_pongs: bool = False
    refuse_channels: dict[str, int] = field(default_factory=dict)
    auth_delay: float = 0.0
    auth_hangs: bool = False
    upgrade_script: Script | None = None
    auth_script: Script | None = None
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def refuse_upgrades(
        self, status: int, *, retry_after: int | None = None, calls: int | None = None
    ) -> None:
        """Answer upgrades with an HTTP status; `retry_after` is in seconds."""
        headers = {} if retry_after is None else {"Retry-After": str(retry_after)}
        self.upgrade_script = Script(Answer(status, b"", headers), calls)

    def answer_auth(
        self,
        status: int,
        body: bytes | str = b"",
        headers: Mapping[str, str] | None = None,
        *,
        calls: int | None = None,
    ) -> None:
        """Answer authorisations with exactly this, whatever was asked."""
        content = body.encode() if isinstance(body, str) else body
        self.auth_script = Script(Answer(status, content, headers or {}), calls)

    def clear(self) -> None:
        """Switch every fault off."""
        self.mute = self.hold_upgrades = False
        self.withhold_confirmations = self.withhold_pongs = False
        self.refuse_channels = {}
        self.auth_delay, self.auth_hangs = 0.0, False
        self.upgrade_script = self.auth_script = None

    def take_upgrade_answer(self) -> Answer | None:
        """Return the scripted answer to an upgrade, using it up; None: accept it."""
        return self._take(self.upgrade_script)

    def take_auth_answer(self) -> Answer | None:
        """Return the scripted answer to an authorisation, using it up; None: the true one."""
        return self._take(self.auth_script)

    def _take(self, script: Script | None) -> Answer | None:
        with self._lock:
            return script.take() if script else None
