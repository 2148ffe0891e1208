"""Publishes to JetStream over one connection after another; runs in the thread of `NatsSink`.

Each publication has a reply subject of its own below one inbox, so that one subscription takes all
acknowledgements while thousands are under way. Each connection has a client of its own: the buffer
of one that reconnects by itself would send what is behind a lost message before that message.
"""

import asyncio
import logging
import os
import ssl
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from math import inf
from typing import Any

import msgspec
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import AuthorizationError
from nats.errors import Error as NatsError
from nats.js.errors import APIError

from ..chatapp.records import Source
from ..errors import ExitStatus
from ..files import write_atomically
from ..pusher.backoff import random_fraction
from ..threads import DaemonThreadPool, outcome
from .chain import Chain
from .delivery import Advice, Delivered, Failed, Outcome, Refused, Trouble
from .http_answers import describe_error
from .nats_stream import Stream, WrongStream, open_stream
from .nats_url import NatsSettings, subject_of
from .publish_window import Entry, Given, PublishWindow

_MOST_UNDER_WAY = 4096
_ACK_TIMEOUT = 3.0
_CONNECT_TIMEOUT = 5.0
_BASE, _CAP = 0.1, 10.0
"""Seconds of the first pause after trouble, and of the longest."""
_TICK = 0.25
_PING_INTERVAL = 10
_HEADERS = 300
"""Bytes of headers besides the key, at most."""
_LONGEST_SUBJECT = 1000
_CLOSE_TIMEOUT = 0.3
_TOO_LARGE_FOR_STREAM = 10054
_GRACE = 0.5
"""Seconds between a message's coming from history and the reading of the ids in the stream."""


class _ApiError(msgspec.Struct):
    code: int = 0
    err_code: int = 0
    description: str = ""


class _Acknowledgement(msgspec.Struct):
    seq: int = 0
    duplicate: bool = False
    error: _ApiError | None = None


_decode = msgspec.json.Decoder(_Acknowledgement).decode


Progress = Callable[[], tuple[int, bool]]
"""Returns how many calls of `take` there were, and whether all outcomes are settled."""


class _Interrupted(Exception):
    """This connection or the stream is of no use for now."""


def run(
    settings: NatsSettings,
    take_given: Callable[[], list[Given]],
    report: Callable[[Sequence[Outcome]], None],
    progress: Progress,
    connect: Callable[[Callable[[], object], Callable[[], object]], None],
) -> None:
    """Publish until stopped; `connect` receives the functions to wake and to stop it."""

    async def main() -> None:
        loop = asyncio.get_running_loop()
        loop.set_default_executor(_DaemonExecutor())
        publisher = Publisher(settings, take_given, report, progress)
        task = asyncio.current_task()
        assert task
        connect(
            lambda: loop.call_soon_threadsafe(publisher.wake),
            lambda: loop.call_soon_threadsafe(task.cancel),
        )
        try:
            await publisher.run()
        finally:
            connect(lambda: None, lambda: None)

    for name in ("nats", "asyncio"):  # without a handler they would write to stderr
        logging.getLogger(name).addHandler(logging.NullHandler())
    with suppress(asyncio.CancelledError):
        asyncio.run(main())


class _DaemonExecutor(ThreadPoolExecutor):
    """Looks up host names in threads that do not keep the process from ending."""

    def __init__(self) -> None:
        super().__init__(1)
        self._pool = DaemonThreadPool("chatapp-tail-names", 4)

    def submit(self, call: Callable[..., Any], /, *args: Any, **named: Any) -> "Future[Any]":
        future: Future[Any] = Future()

        def work() -> None:
            result = outcome(lambda: call(*args, **named))
            if isinstance(result, Exception):
                future.set_exception(result)
            else:
                future.set_result(result)

        self._pool.submit(work)
        return future


class Publisher:
    """Takes what was given and publishes it; `report` gets what becomes of it."""

    def __init__(
        self,
        settings: NatsSettings,
        take_given: Callable[[], list[Given]],
        report: Callable[[Sequence[Outcome]], None],
        progress: Progress,
    ) -> None:
        self._settings = settings
        self._take_given = take_given
        self._report = report
        self._wake = asyncio.Event()
        self._floors = _Floors(settings, progress)
        self._chain = Chain(self._floors.read())
        self._window = PublishWindow(self._chain, _MOST_UNDER_WAY)
        self._reached = False
        """Whether the stream was ever reached."""
        self._failures = 0
        """Connections in a row that acknowledged nothing."""
        self._reason = ""
        """Why the present connection is of no use, empty while it is."""
        self._error = ""
        """The last error that the client told."""
        self._read_at: dict[str, float] = {}
        """When the ids in the stream were read last, by channel."""
        self._timer: asyncio.TimerHandle | None = None
        """Wakes the loop when they are to be read again."""

    def wake(self) -> None:
        """Look at what was given."""
        self._wake.set()

    async def run(self) -> None:
        """Publish until cancelled."""
        ticking = asyncio.create_task(self._tick())
        try:
            while True:
                try:
                    await self._publish_over_a_connection()
                except WrongStream as error:
                    if self._reached:  # it may be made again
                        await self._pause(str(error))
                        continue
                    self._report([Failed(ExitStatus.USAGE, f"{self._settings.url.name}: {error}")])
                    await asyncio.Event().wait()
                except (_Interrupted, NatsError, OSError, TimeoutError) as error:
                    await self._pause(self._describe(error))
        finally:
            ticking.cancel()
            self._settle()
            self._floors.end(self._chain.floors())

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(_TICK)
            self._wake.set()
            self._settle()
            if self._floors.tick(self._chain.floors()):
                self._report([])

    async def _pause(self, reason: str) -> None:
        """Report trouble and wait, between nothing and twice as long as the last time."""
        pause = (0.5 + random_fraction() / 2) * min(_BASE * 2.0 ** min(self._failures, 10), _CAP)
        self._failures += 1
        self._report([Trouble(reason, pause)])
        await asyncio.sleep(pause)

    def _describe(self, error: Exception) -> str:
        if isinstance(error, _Interrupted):
            return str(error)
        if self._error:
            return self._error
        return _describe(error)

    # A connection.

    async def _publish_over_a_connection(self) -> None:
        self._reason = self._error = ""
        client = Client()
        try:
            await self._connect(client)
            stream = await open_stream(client, self._settings)
            self._begin(client, stream)
            inbox = f"{client.new_inbox()}."
            self._inbox_length = len(inbox)
            await client.subscribe(
                f"{inbox}*",
                cb=self._take_acknowledgement,
                pending_msgs_limit=0,
                pending_bytes_limit=0,
            )
            await self._publish(client, stream, inbox)
        finally:
            self._window.rewind()
            with suppress(Exception):
                await asyncio.wait_for(client.close(), _CLOSE_TIMEOUT)

    async def _connect(self, client: Client) -> None:
        settings, url = self._settings, self._settings.url
        credentials: dict[str, Any] = {}
        if url.password is not None:
            credentials = {"user": url.user, "password": url.password}
        elif url.user is not None:
            credentials = {"token": url.user}
        if settings.creds:
            credentials["user_credentials"] = str(settings.creds)
        if url.servers[0].startswith("tls://") or settings.ca_file:
            credentials["tls"] = ssl.create_default_context(cafile=settings.ca_file)
        connecting = client.connect(
            servers=list(url.servers),
            name="chatapp-tail",
            allow_reconnect=False,
            max_reconnect_attempts=1,
            reconnect_time_wait=0,
            connect_timeout=int(_CONNECT_TIMEOUT),
            ping_interval=_PING_INTERVAL,
            error_cb=self._note_error,
            closed_cb=self._note_closed,
            **credentials,
        )
        await asyncio.wait_for(connecting, _CONNECT_TIMEOUT * (1 + len(url.servers)))

    async def _note_error(self, error: Exception) -> None:
        self._error = _describe(error)

    async def _note_closed(self) -> None:
        self._interrupt(self._error or "the connection was lost")

    def _interrupt(self, reason: str) -> None:
        self._reason = self._reason or reason
        self._wake.set()

    def _begin(self, client: Client, stream: Stream) -> None:
        """Note where the stream ends; advise on it the first time."""
        self._chain.note_end(stream.last_sequence)
        if not self._reached:
            self._reached = True
            self._chain.start = stream.last_sequence
            self._report([Advice(text) for text in stream.advice(client.max_payload)])

    # Publications.

    async def _publish(self, client: Client, stream: Stream, inbox: str) -> None:
        """Publish and take acknowledgements until the connection is of no use."""
        fixed = {"Nats-Expected-Stream": stream.name, "Content-Type": "application/json"}
        while True:
            self._wake.clear()
            self._take()
            await self._send(client, stream, inbox, fixed)
            self._settle()
            if self._reason:
                raise _Interrupted(self._reason)
            oldest = self._window.oldest
            if oldest and time.monotonic() - oldest.began > _ACK_TIMEOUT:
                raise _Interrupted(self._error or f"no acknowledgement within {_ACK_TIMEOUT:g} s")
            await self._wake.wait()

    def _take(self) -> None:
        now = time.monotonic()
        for given in self._take_given():
            if isinstance(given, str):
                self._window.relink(given)
            else:
                self._window.give(given, now)

    async def _send(
        self, client: Client, stream: Stream, inbox: str, fixed: dict[str, str]
    ) -> None:
        """Publish what the window allows."""
        prefix = self._settings.url.prefix
        await self._read_ids(stream)
        for entry in self._window.entries(self._knows_ids):
            delivery = entry.delivery
            subject = subject_of(prefix, delivery.records[0])
            key = entry.publication.key
            now = time.monotonic()
            entry.began = now
            entry.first_attempt = entry.first_attempt or time.time_ns()
            if reason := _unpublishable(subject, key, delivery.body, client.max_payload):
                self._window.refuse(entry.number, reason)
                continue
            headers = {"Nats-Msg-Id": key, **fixed}
            reply = f"{inbox}{entry.number}"
            await client.publish(subject, delivery.body, reply=reply, headers=headers)
            if self._reason:
                return
        waiting = self._window.peek()
        if waiting and not self._knows_ids(waiting):
            self._wake_at(waiting.given + _GRACE)

    def _wake_at(self, due: float) -> None:
        if self._timer:
            self._timer.cancel()
        delay = max(0.0, due - time.monotonic())
        self._timer = asyncio.get_running_loop().call_later(delay, self._wake.set)

    def _knows_ids(self, entry: Entry) -> bool:
        """Return whether an entry may be offered: not from history, or the stream was read."""
        if entry.publication.source is not Source.BACKFILL:
            return True
        return self._read_at.get(entry.publication.channel, -inf) >= entry.given + _GRACE

    async def _read_ids(self, stream: Stream) -> None:
        """Read which messages the stream has, if the next one is from history.

        History may be ahead of what another host is publishing, so this waits a moment.
        """
        entry, now = self._window.peek(), time.monotonic()
        if entry is None or self._knows_ids(entry) or now < entry.given + _GRACE:
            return
        channel, record = entry.publication.channel, entry.delivery.records[0]
        subject = subject_of(self._settings.url.prefix, record)
        ids, until = await stream.read_ids(subject, self._chain.unread(channel), record.received)
        self._chain.note_stored(channel, ids, until)
        self._read_at[channel] = now

    async def _take_acknowledgement(self, message: Msg) -> None:
        number = int(message.subject[self._inbox_length :])
        if not message.data:
            status = (message.headers or {}).get("Status", "")
            self._interrupt(
                "no stream takes this, or JetStream does not answer (503)"
                if status == "503"
                else f"the server answered with status {status}"
            )
            return
        try:
            acknowledgement = _decode(message.data)
        except msgspec.MsgspecError:
            self._interrupt("its acknowledgement cannot be read")
            return
        if error := acknowledgement.error:
            self._take_error(number, error)
            return
        self._failures = 0
        self._window.acknowledge(number, acknowledgement.seq, duplicate=acknowledgement.duplicate)
        self._wake.set()

    def _take_error(self, number: int, error: _ApiError) -> None:
        reason = f"{error.description} ({error.code}/{error.err_code})"
        if error.err_code == _TOO_LARGE_FOR_STREAM:
            self._window.refuse(number, reason)
            self._wake.set()
        else:
            self._interrupt(reason)

    def _settle(self) -> None:
        if done := self._window.done():
            now = time.monotonic()
            self._report([_outcome(entry, now) for entry in done])


def _outcome(entry: Entry, now: float) -> Outcome:
    answer = entry.answer
    assert answer
    if answer.reason:
        return Refused(entry.delivery, None, answer.reason, entry.attempts, entry.first_attempt)
    seconds = now - entry.began if entry.began else 0.0
    return Delivered(entry.delivery, answer.text, seconds, entry.attempts)


def _unpublishable(subject: str, key: str, body: bytes, max_payload: int) -> str:
    """Return why the server would close the connection because of a message, empty otherwise."""
    if len(body) + len(key) + _HEADERS > max_payload:
        return f"the record has {len(body):,} bytes; the server takes {max_payload:,}"
    if len(subject) > _LONGEST_SUBJECT:
        return f"the name of the event makes a subject of {len(subject):,} characters"
    return ""


def _describe(error: Exception) -> str:
    if isinstance(error, AuthorizationError) or "authorization violation" in str(error).lower():
        return "the server refuses the credentials"
    if isinstance(error, APIError):
        return f"{error.description} ({error.code}/{error.err_code})"
    if isinstance(error, TimeoutError):
        return "no answer"
    if type(error) is OSError and error.errno is None:
        return "none of its addresses can be reached"  # several reasons, which asyncio joins
    if isinstance(error, ConnectionError) and error.errno:
        return os.strerror(error.errno).lower()  # asyncio's own text has the address instead
    if isinstance(error, OSError):
        return describe_error(error, _CONNECT_TIMEOUT)
    return str(error).removeprefix("nats: ") or type(error).__name__


class _Floors:
    """The file with the last sequence of each channel.

    A sequence counts for the next run once its delivery is settled: what is not will be delivered
    again, and must not be taken for a repeat. `progress` tells what is, see `NatsSink`.
    """

    def __init__(self, settings: NatsSettings, progress: Progress) -> None:
        self._path = settings.state
        self._progress = progress
        self._noted: dict[str, int] = {}
        self._due = 0
        """The call of `take` with which what is noted is settled; 0 when it is written."""

    def read(self) -> dict[str, int]:
        """Return what an earlier run left; nothing if it cannot be read."""
        with suppress(OSError, msgspec.MsgspecError):
            if self._path:
                return msgspec.json.decode(self._path.read_bytes(), type=dict[str, int])
        return {}

    def tick(self, floors: dict[str, int]) -> bool:
        """Note the present sequences, or write those noted; return whether they wait for `take`.

        All outcomes of what is acknowledged are reported.
        """
        takes, _ = self._progress()
        if self._due and takes >= self._due:
            self._write(self._noted)
            self._due = 0
        if not self._due and floors != self._noted:
            self._noted, self._due = floors, takes + 2
        return self._due > 0

    def end(self, floors: dict[str, int]) -> None:
        """Write the last sequences, if all is settled."""
        if self._progress()[1]:
            self._write(floors)

    def _write(self, floors: dict[str, int]) -> None:
        if not self._path:
            return
        with suppress(OSError):  # a full disk costs exactness, not events
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            write_atomically(self._path, msgspec.json.encode(floors), fsync=False)
