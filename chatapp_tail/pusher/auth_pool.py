"""Asks for channel signatures in the background, a few at a time.

The reader of the socket never waits for an answer.
"""

import traceback
from collections.abc import Callable
from functools import partial

from ..threads import Daemons
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
        self._daemons = Daemons("chatapp-tail-auth", _AT_ONCE)

    def ask(self, request: AuthWanted) -> None:
        """Queue a request; a thread is started when fewer than eight are busy."""
        self._daemons.call(partial(self._answer, request))

    def _answer(self, request: AuthWanted) -> None:
        # A lost link leaves requests behind that nobody waits for any more.
        if not self._still_wanted(request):
            return
        answer: AuthAnswer
        try:
            answer = self._authorise(request.socket_id, request.channel)
        except Exception:
            answer = Bug(traceback.format_exc())
        self._answered(request, answer)
