"""Asks for channel signatures in the background, a few at a time.

The reader of the socket never waits for an answer. Threads are daemons on purpose: an auth server
that never answers must not keep the process from ending.
"""

import threading
import traceback
from collections.abc import Callable
from queue import Empty, SimpleQueue

from .answers import AuthAnswer, Bug
from .protocol import AuthWanted

Authorise = Callable[[str, str], AuthAnswer]
"""(socket id, channel) -> answer; it may take long, and never raises but for a bug."""

_AT_ONCE = 8


class AuthorisationPool:
    """Up to eight requests under way; answers go to `answered` from the pool's threads."""

    def __init__(
        self,
        authorise: Authorise,
        answered: Callable[[AuthWanted, AuthAnswer], None],
        still_wanted: Callable[[AuthWanted], bool],
    ) -> None:
        self._authorise = authorise
        self._answered = answered
        self._still_wanted = still_wanted
        self._requests: SimpleQueue[AuthWanted] = SimpleQueue()
        self._lock = threading.Lock()
        self._running = 0

    def ask(self, request: AuthWanted) -> None:
        """Queue a request; a thread is started when fewer than eight are busy."""
        self._requests.put(request)
        with self._lock:
            if self._running == _AT_ONCE:
                return
            self._running += 1
        threading.Thread(target=self._work, name="chatapp-tail-auth", daemon=True).start()

    def _work(self) -> None:
        while (request := self._next()) is not None:
            # A lost link leaves requests behind that nobody waits for any more.
            if not self._still_wanted(request):
                continue
            try:
                answer = self._authorise(request.socket_id, request.channel)
            except Exception:
                self._answered(request, Bug(traceback.format_exc()))
                continue
            self._answered(request, answer)

    def _next(self) -> AuthWanted | None:
        with self._lock:
            try:
                return self._requests.get_nowait()
            except Empty:
                self._running -= 1
                return None
