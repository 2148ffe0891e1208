"""Messages and statuses numbered from 1, over several lines, published by an embedded sandbox."""

import json
import random
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Self

from chatapp_tail.sandbox import Sandbox, messenger_channel


class Background(ABC):
    """`_run` is to return soon after `_stopping` is set."""

    def __init__(self) -> None:
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run)

    @abstractmethod
    def _run(self) -> None: ...

    def stop(self) -> None:
        """Stop after what is under way. May be repeated."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join()

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


class Line(NamedTuple):
    """One messenger of one licence."""

    license: int
    messenger: str

    @property
    def channel(self) -> str:
        return messenger_channel(self.license, self.messenger)


def accounts_of(lines: Sequence[Line]) -> dict[int, tuple[str, ...]]:
    """Return the licences of an account that has the lines."""
    found: dict[int, tuple[str, ...]] = {}
    for line in lines:
        found[line.license] = (*found.get(line.license, ()), line.messenger)
    return found


@dataclass(frozen=True, slots=True)
class Message:
    """What was published; `time` in whole seconds since the epoch, as ChatApp has it."""

    number: int
    chat: str
    time: int


class Messages:
    """Publishes messages; `log` has them in the order of their numbers."""

    def __init__(self, sandbox: Sandbox, lines: Sequence[Line], chats: int) -> None:
        self.log: list[Message] = []
        self._sandbox = sandbox
        self._lines = lines
        self._chats = chats

    def publish(self, chat: int, sizes: Sequence[int]) -> None:
        """Publish one event of a chat's line, with a message for each size of text.

        The first message is of this chat, the others of the next ones of the same line.
        """
        line = self._lines[chat % len(self._lines)]
        now = int(time.time())
        found = [
            Message(len(self.log) + 1 + i, self._chat(chat + i * len(self._lines)), now)
            for i in range(len(sizes))
        ]
        items = [_item(message, size) for message, size in zip(found, sizes, strict=True)]
        meta = {"type": "message", "licenseId": line.license, "messengerType": line.messenger}
        event = {"queue": "messages", "payload": {"data": items, "meta": meta}}
        self._sandbox.publish(line.channel, "message", json.dumps(event))
        self.log += found

    def _chat(self, number: int) -> str:
        return f"chat{number % self._chats}"


def _item(message: Message, size: int) -> dict[str, Any]:
    return {
        "id": message.number,
        "fromMe": False,
        "time": message.time,
        "type": "text",
        "chat": {"id": message.chat, "type": "private", "name": "A Soak"},
        "message": {"text": "x" * size},
    }


class SteadyPublisher(Background):
    """A thread that publishes about `rate` messages a second, as long as the block lasts."""

    _MEAN_OF_A_FRAME = 1.6

    def __init__(self, messages: Messages, chats: int, *, rate: float, seed: int) -> None:
        super().__init__()
        self._messages = messages
        self._chats = chats
        self._frames_per_second = rate / self._MEAN_OF_A_FRAME
        self._rng = random.Random(seed)

    def _run(self) -> None:
        due = time.monotonic()
        while not self._stopping.wait(max(0.0, due - time.monotonic())):
            self._messages.publish(self._rng.randrange(self._chats), self._sizes())
            due += self._rng.expovariate(self._frames_per_second)

    def _sizes(self) -> list[int]:
        """Return mostly one short text, sometimes several, and some longer than PIPE_BUF."""
        kind = self._rng.random()
        if kind < 0.2:
            return [self._rng.randint(0, 300) for _ in range(self._rng.randint(2, 6))]
        if kind < 0.24:
            return [self._rng.randint(4_000, 20_000)]
        return [self._rng.randint(0, 300)]


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
