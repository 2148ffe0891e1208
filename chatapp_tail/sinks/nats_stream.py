"""The stream that takes the subjects: found, made or asked for, and read back."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from nats.aio.client import Client
from nats.js.api import (
    AckPolicy,
    ConsumerConfig,
    DeliverPolicy,
    DiscardPolicy,
    StorageType,
    StreamConfig,
    StreamInfo,
)
from nats.js.client import JetStreamContext
from nats.js.errors import NotFoundError

from .chain import id_of
from .nats_url import NatsSettings

_TIMEOUT = 5.0
_WINDOW = 24 * 3600.0
_SHORTEST_WINDOW = 3600.0
_SMALLEST_PAYLOAD = 1024 * 1024
_MARGIN = timedelta(minutes=10)
"""How much earlier than a message of history the stream is read, if not from a known sequence."""


class WrongStream(Exception):
    """There is no stream for the subjects, or several."""


class Stream:
    """The stream that has been found on a connection."""

    def __init__(self, context: JetStreamContext, info: StreamInfo) -> None:
        self.name = info.config.name or ""
        self.last_sequence = info.state.last_seq
        self._context = context
        self._config = info.config

    def advice(self, max_payload: int) -> Iterator[str]:
        """Yield what a person should know of the stream and the server."""
        window = self._config.duplicate_window
        if window < _SHORTEST_WINDOW:
            yield (
                f"the stream {self.name} knows duplicates for {window:g} s only, so that what waits"
                f" longer comes twice; nats stream edit {self.name} --dupe-window 24h mends it"
            )
        if self._config.discard == DiscardPolicy.NEW:
            yield (
                f"the stream {self.name} refuses new messages when it is full (discard new); events"
                " then wait here"
            )
        if max_payload < _SMALLEST_PAYLOAD:
            yield (
                f"the server takes messages of {max_payload:,} bytes at most; larger records become"
                " dead letters"
            )

    async def read_ids(
        self, subject: str, after: int | None, received: int
    ) -> tuple[list[str], int]:
        """Return the ids of the messages behind the sequence `after`, and the last sequence.

        Without a sequence, from some time before `received` (wall-clock nanoseconds) on.
        """
        info = await self._context.stream_info(self.name)
        last = info.state.last_seq
        if after is not None and after >= last:
            return [], last
        config = ConsumerConfig(headers_only=True, ack_policy=AckPolicy.NONE)
        if after is None:
            config.deliver_policy = DeliverPolicy.BY_START_TIME
            config.opt_start_time = datetime.fromtimestamp(received / 1e9, UTC) - _MARGIN
        else:
            config.deliver_policy = DeliverPolicy.BY_START_SEQUENCE
            config.opt_start_seq = after + 1
        subscription = await self._context.subscribe(
            subject, stream=self.name, ordered_consumer=True, config=config
        )
        try:
            ids: list[str] = []
            consumer = await subscription.consumer_info()
            delivered = consumer.delivered.consumer_seq if consumer.delivered else 0
            left = (consumer.num_pending or 0) + delivered
            while left:
                message = await subscription.next_msg(_TIMEOUT)
                ids.append(id_of((message.headers or {}).get("Nats-Msg-Id", "")))
                left = message.metadata.num_pending
            return ids, last
        finally:
            await subscription.unsubscribe()


async def open_stream(client: Client, settings: NatsSettings) -> Stream:
    """Find the stream of the prefix, or make it where that is wanted; WrongStream without one."""
    context = client.jetstream(timeout=_TIMEOUT)
    prefix = settings.url.prefix
    subjects = f"{prefix}.>"
    try:
        name = await context.find_stream_name_by_subject(subjects)
    except NotFoundError:
        if not settings.create_stream:
            raise WrongStream(_explain_missing(prefix)) from None
        name = _name_of(prefix)
        await context.add_stream(
            StreamConfig(
                name=name,
                subjects=[subjects],
                storage=StorageType.FILE,
                duplicate_window=_WINDOW,
            )
        )
    return Stream(context, await context.stream_info(name))


def _name_of(prefix: str) -> str:
    return prefix.upper().replace(".", "-")


def _explain_missing(prefix: str) -> str:
    command = (
        f"nats stream add {_name_of(prefix)} --subjects '{prefix}.>' --storage file"
        " --dupe-window 24h --defaults"
    )
    return f"no stream takes {prefix}.>; --create-stream makes one, or: {command}"
