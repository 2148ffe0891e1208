"""Everything the sandbox can be told to do wrong. Set it from any thread, at any time."""

import math
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from fnmatch import fnmatchcase

from .http_messages import NO_ANSWER, Answer


@dataclass(slots=True)
class PathFault:
    """Something to do to requests whose path, still percent-encoded, matches a shell pattern.

    It strikes `calls` more times or (None) for ever, and only each `one_in`th matching request.
    `answer` is given instead of the true one, after `delay` seconds; with `processed` the
    request has its effect all the same. With `drip` the true answer is sent, byte by byte, each
    after so many seconds.
    """

    path: str
    answer: Answer = NO_ANSWER
    delay: float = 0.0
    drip: float = 0.0
    processed: bool = False
    calls: int | None = None
    one_in: int = 1
    seen: int = 0

    def strikes(self, path: str) -> bool:
        """Say whether a request to this path is hit, counting it."""
        if self.calls == 0 or not fnmatchcase(path, self.path):
            return False
        self.seen += 1
        if self.seen % self.one_in:
            return False
        if self.calls is not None:
            self.calls -= 1
        return True


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
    `invalid_token_status`: the HTTP status that goes with ApiInvalidTokenError; 200 and 403
    are what a client may meet as well.
    `include_last_time`: history from `lastTime` on holds the messages of that second too.
    `page_cap`: pages of chats and messages hold at most so many, whatever `limit` says.
    `hide_chat_times`: the `lastTime` of listed chats is null.
    `upgrade_script` and `auth_script`: what upgrades and authorisations are answered with,
    whatever their path; set by `refuse_upgrades` and `answer_auth`.

    `api_answers`, `api_delays` and `api_drips` are filled by `answer_api`, `delay_api`, `hang_api`
    and `drip_api`, whose `path` is a shell pattern: `/v1/licenses`, `/v1/tokens*`, `*/messages`.
    Of several that match a request, the first one that still has calls left strikes. `_lock` is
    held while a fault counts its calls.
    """

    mute: bool = False
    hold_upgrades: bool = False
    withhold_confirmations: bool = False
    withhold_pongs: bool = False
    refuse_channels: dict[str, int] = field(default_factory=dict)
    auth_delay: float = 0.0
    auth_hangs: bool = False
    upgrade_script: PathFault | None = None
    auth_script: PathFault | None = None
    invalid_token_status: int = 401
    include_last_time: bool = False
    page_cap: int | None = None
    hide_chat_times: bool = False
    api_answers: list[PathFault] = field(default_factory=list)
    api_delays: list[PathFault] = field(default_factory=list)
    api_drips: list[PathFault] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def refuse_upgrades(
        self, status: int, *, retry_after: int | None = None, calls: int | None = None
    ) -> None:
        """Answer upgrades with an HTTP status; `retry_after` is in seconds."""
        headers = {} if retry_after is None else {"Retry-After": str(retry_after)}
        self.upgrade_script = PathFault("*", Answer(status, b"", headers), calls=calls)

    def answer_auth(
        self,
        status: int,
        body: bytes | str = b"",
        headers: Mapping[str, str] | None = None,
        *,
        calls: int | None = None,
    ) -> None:
        """Answer authorisations with exactly this, whatever was asked."""
        self.auth_script = PathFault("*", _answer(status, body, headers), calls=calls)

    def answer_api(
        self,
        path: str,
        status: int,
        body: bytes | str = b"",
        headers: Mapping[str, str] | None = None,
        *,
        calls: int | None = None,
        one_in: int = 1,
        processed: bool = False,
    ) -> None:
        """Answer requests to such a path with exactly this: an error, HTML, a redirect.

        The status 0 closes the connection without an answer; with `processed` that is an
        answer lost on its way, when the tokens, say, are refreshed already.
        """
        answer = _answer(status, body, headers)
        fault = PathFault(path, answer, processed=processed, calls=calls, one_in=one_in)
        self.api_answers.append(fault)

    def delay_api(
        self, path: str, seconds: float, *, calls: int | None = None, one_in: int = 1
    ) -> None:
        """Let requests to such a path wait before they have any effect."""
        self.api_delays.append(PathFault(path, delay=seconds, calls=calls, one_in=one_in))

    def hang_api(self, path: str, *, calls: int | None = None, one_in: int = 1) -> None:
        """Never answer requests to such a path; they have no effect."""
        self.delay_api(path, math.inf, calls=calls, one_in=one_in)

    def drip_api(
        self, path: str, seconds: float, *, calls: int | None = None, one_in: int = 1
    ) -> None:
        """Send the answers to requests to such a path byte by byte, each after some seconds."""
        self.api_drips.append(PathFault(path, drip=seconds, calls=calls, one_in=one_in))

    def clear(self) -> None:
        """Switch every fault off."""
        off = Faults()
        for fault in fields(self):
            if fault.name != "_lock":
                setattr(self, fault.name, getattr(off, fault.name))

    def take_upgrade_answer(self) -> Answer | None:
        """Return the scripted answer to an upgrade, using it up; None: accept it."""
        return self._take(self.upgrade_script)

    def take_auth_answer(self) -> Answer | None:
        """Return the scripted answer to an authorisation, using it up; None: the true one."""
        return self._take(self.auth_script)

    def take_api_answer(self, path: str) -> PathFault | None:
        """Return what to answer a request with, using it up; None: the true answer."""
        with self._lock:
            return next((fault for fault in self.api_answers if fault.strikes(path)), None)

    def take_api_delay(self, path: str) -> float:
        """Return the seconds a request has to wait, perhaps without end, using them up."""
        with self._lock:
            return next((fault.delay for fault in self.api_delays if fault.strikes(path)), 0.0)

    def take_api_drip(self, path: str) -> float:
        """Return the seconds between two bytes of an answer, using them up; 0: all at once."""
        with self._lock:
            return next((fault.drip for fault in self.api_drips if fault.strikes(path)), 0.0)

    def _take(self, script: PathFault | None) -> Answer | None:
        with self._lock:
            return script.answer if script and script.strikes("") else None


def _answer(status: int, body: bytes | str, headers: Mapping[str, str] | None) -> Answer:
    return Answer(status, body.encode() if isinstance(body, str) else body, headers or {})
