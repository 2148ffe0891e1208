"""Numbered statuses, which history does not have, beside the numbered messages."""

import json
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass

from chatapp_tail.sandbox import Sandbox

from .background import Background
from .numbered import Line


@dataclass(frozen=True, slots=True)
class Status:
    """What was published, and between which moments (wall-clock seconds of the service)."""

    number: int
    channel: str
    before: float
    after: float


class Statuses:
    """Publishes statuses; `log` has them in the order of their numbers."""

    def __init__(self, sandbox: Sandbox, lines: Sequence[Line], chats: int) -> None:
        self.log: list[Status] = []
        self._sandbox = sandbox
        self._lines = lines
        self._chats = chats

    def publish(self, chat: int) -> None:
        """Publish one status of a chat's line."""
        line, number = self._lines[chat % len(self._lines)], len(self.log) + 1
        item = {"id": number, "type": "delivered", "chat": {"id": f"chat{chat % self._chats}"}}
        meta = {"type": "messageStatus", "licenseId": line.license, "messengerType": line.messenger}
        event = {"queue": "statuses", "payload": {"data": [item], "meta": meta}}
        before = time.time()
        self._sandbox.publish(line.channel, "messageStatus", json.dumps(event))
        self.log.append(Status(number, line.channel, before, time.time()))


class StatusPublisher(Background):
    """A thread that publishes about `rate` statuses a second, as long as the block lasts."""

    def __init__(self, statuses: Statuses, chats: int, *, rate: float, seed: int) -> None:
        super().__init__()
        self._statuses = statuses
        self._chats = chats
        self._rate = rate
        self._rng = random.Random(seed)

    def _run(self) -> None:
        while not self._stopping.wait(self._rng.expovariate(self._rate)):
            self._statuses.publish(self._rng.randrange(self._chats))
