"""A whole tail in this process, beside the sandbox: what only its parts together can show."""

import json
import os
import threading
import time
from collections.abc import Iterator

import pytest

from chatapp_tail.chatapp.api import Api
from chatapp_tail.chatapp.channels import of_license
from chatapp_tail.chatapp.http import Http
from chatapp_tail.chatapp.secret import Secret
from chatapp_tail.chatapp.tokens import StaticToken
from chatapp_tail.filters import by_event, by_record
from chatapp_tail.formats.ndjson import format_ndjson
from chatapp_tail.history.dedup import Deduplicator
from chatapp_tail.history.gap_filler import GapFiller
from chatapp_tail.history.setup import has_history
from chatapp_tail.items import RENEWED, Gap, Ready, Status
from chatapp_tail.pusher.connection import Connection, Endpoint, Settings, Timing
from chatapp_tail.reporting.summary import Summary
from chatapp_tail.sandbox import Sandbox
from chatapp_tail.sinks.stdout import Stdout
from chatapp_tail.spool import Spool
from chatapp_tail.tail.deadlines import Limits
from chatapp_tail.tail.intake import DirectIntake
from chatapp_tail.tail.line_writer import LineWriter
from chatapp_tail.tail.loop import Tail
from chatapp_tail.tail.pipeline import Pipeline
from chatapp_tail.threads import Waker
from tests.conftest import TIMEOUT_SCALE, wait_until
from tests.unit.reading import Reading

CHANNEL = of_license(1229, "telegram")
TIMING = Timing(recheck_interval=0.3)


class Running:
    """A tail whose subscriptions are rechecked every 0.3 s, and the statuses it reported."""

    def __init__(self, sandbox: Sandbox) -> None:
        self.statuses: list[Status | Gap] = []
        alarm = Waker()
        spool = Spool(2**20, alarm)
        api = Api(Http(sandbox.api_url), StaticToken(Secret(sandbox.token)))
        self._reading = Reading(api)
        backfill = GapFiller(self._reading, has_history, alarm, first_seen={}, timeout=10.0)
        endpoint = Endpoint.parse(sandbox.ws_url)
        settings = Settings((endpoint,), sandbox.app_key, (CHANNEL,), timing=TIMING)
        self._reader, writer = os.pipe()
        pipeline = Pipeline(by_event([], []), by_record(), format_ndjson, Summary(), Deduplicator())
        stdout = Stdout(writer, resumed=False)
        self._tail = Tail(
            Connection(settings, api.authorise, spool.put, watch=backfill.watch),
            DirectIntake(spool),
            alarm,
            pipeline=pipeline,
            listeners=[self.statuses.append],
            meta=None,
            limits=Limits(),
            open_output=lambda wait: LineWriter(
                stdout, pipeline, None, count=None, wait_for_room=wait
            ),
            on_request=lambda: None,
            backfill=backfill,
        )
        os.close(writer)
        os.set_blocking(self._reader, False)
        self._written = b""
        self._thread = threading.Thread(target=self._tail.run)
        self._thread.start()

    def records(self) -> list[dict[str, object]]:
        while True:
            try:
                self._written += os.read(self._reader, 65536)
            except BlockingIOError:
                return [json.loads(line) for line in self._written.splitlines()]

    def gaps(self) -> list[Gap]:
        return [status for status in self.statuses if isinstance(status, Gap)]

    def stop(self) -> None:
        self._tail.interrupt(1.0)
        self._thread.join(10 * TIMEOUT_SCALE)
        assert not self._thread.is_alive()
        self._reading.end()
        os.close(self._reader)


@pytest.fixture
def running() -> Iterator[tuple[Sandbox, Running]]:
    with Sandbox(licenses={1229: ("telegram",)}) as sandbox:
        tail = Running(sandbox)
        wait_until(lambda: any(isinstance(status, Ready) for status in tail.statuses), "ready")
        yield sandbox, tail
        tail.stop()


def say(sandbox: Sandbox, number: int) -> None:
    item = {"id": number, "time": int(time.time()), "chat": {"id": "7"}, "message": {"text": "x"}}
    meta = {"type": "message", "licenseId": 1229, "messengerType": "telegram"}
    sandbox.publish(CHANNEL, "message", json.dumps({"payload": {"data": [item], "meta": meta}}))


def listings(sandbox: Sandbox) -> int:
    return sandbox.api_requests("*/chats")


@pytest.mark.defect("A2.6")
def test_what_a_subscription_cost_that_a_recheck_renewed_comes_from_history(
    running: tuple[Sandbox, Running],
) -> None:
    sandbox, tail = running
    say(sandbox, 1)
    wait_until(lambda: len(tail.records()) == 1, "the first message")
    sandbox.forget_subscriptions()
    say(sandbox, 2)
    sandbox.wait_subscribed(CHANNEL, 10 * TIMEOUT_SCALE)  # a recheck did that
    say(sandbox, 3)
    wait_until(lambda: len(tail.records()) == 3, "what was lost")
    assert [record["source"] for record in tail.records()] == ["live", "live", "backfill"]
    wait_until(lambda: bool(tail.gaps()), "the gap")
    (gap,) = tail.gaps()
    assert (gap.recovered, gap.reason, gap.missing) == (1, RENEWED, None)


def test_a_subscription_that_was_kept_is_checked_without_a_word(
    running: tuple[Sandbox, Running],
) -> None:
    sandbox, tail = running
    say(sandbox, 1)
    wait_until(lambda: listings(sandbox) >= 2, "two checks", timeout=20.0)
    assert (len(tail.records()), tail.gaps()) == (1, [])


def test_a_check_that_fails_is_none_to_speak_of(running: tuple[Sandbox, Running]) -> None:
    sandbox, tail = running
    sandbox.faults.answer_api("*/chats", 403)
    wait_until(lambda: listings(sandbox) >= 2, "two checks", timeout=20.0)
    assert tail.gaps() == []
    sandbox.faults.clear()
