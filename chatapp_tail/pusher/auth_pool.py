"""Requests channel signatures in background threads, a few at a time.

The reader of the socket never waits for an answer.
"""

import traceback
from collections.abc import Callable
from functools import partial

from ..threads import DaemonThreadPool
from .answers import AuthAnswer, Bug
from .events import AuthRequested

Authorise = Callable[[str, str], AuthAnswer]
"""(socket id, channel) -> answer; it may take long, and raises only because of a bug."""

_MAX_WORKERS = 8


class AuthorisationPool:
    """Up to eight concurrent requests; answers go to `answered` from the pool's threads."""

    def __init__(
        self,
        authorise: Authorise,
        answered: Callable[[AuthRequested, AuthAnswer], None],
        still_wanted: Callable[[AuthRequested], bool],
    ) -> None:
        self._authorise = authorise
        self._answered = answered
        self._still_wanted = still_wanted
        self._workers = DaemonThreadPool("chatapp-tail-auth", _MAX_WORKERS)

    def ask(self, request: AuthRequested) -> None:
        """Queue a request; a thread is started when fewer than eight are busy."""
        self._workers.submit(partial(self._answer, request))

    def _answer(self, request: AuthRequested) -> None:
        # Requests of a connection that is lost are still queued, and their answers of no use.
        if not self._still_wanted(request):
            return
        answer: AuthAnswer
        try:
            answer = self._authorise(request.socket_id, request.channel)
        except Exception:
            answer = Bug(traceback.format_exc())
        self._answered(request, answer)
