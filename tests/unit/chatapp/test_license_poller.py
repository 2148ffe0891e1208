"""A line that is added while `--all` runs is tailed, from when it was added."""

import json
import threading
import time
from collections.abc import Iterator, Sequence

import pytest

from chatapp_tail.chatapp.api import Api
from chatapp_tail.chatapp.channels import of_license
from chatapp_tail.chatapp.http import Http
from chatapp_tail.chatapp.license_poller import LicensePoller
from chatapp_tail.chatapp.secret import Secret
from chatapp_tail.chatapp.selection import Selection
from chatapp_tail.chatapp.tokens import StaticToken
from chatapp_tail.history.gap_filler import GapFiller
from chatapp_tail.history.setup import has_history
from chatapp_tail.items import ADDED, ChannelEvent, ConnectionWarning, Gap, Item, Ready
from chatapp_tail.pusher.connection import Connection, Endpoint, Settings
from chatapp_tail.sandbox import Sandbox
from chatapp_tail.threads import Waker
from tests.conftest import TIMEOUT_SCALE, wait_until
from tests.unit.reading import Reading

OLD, NEW = of_license(1, "telegram"), of_license(2, "telegram")
WAIT = 10.0 * TIMEOUT_SCALE


class Running:
    """A connection to the sandbox with its watch, and what it has handed on."""

    def __init__(self, sandbox: Sandbox) -> None:
        self.items: list[Item] = []
        self._changed = threading.Condition()
        api = Api(Http(sandbox.api_url), StaticToken(Secret(sandbox.token)))
        self.alarm = Waker()
        self.reading = Reading(api)
        self.backfill = GapFiller(
            self.reading, has_history, self.alarm, first_seen={}, timeout=WAIT
        )
        settings = Settings((Endpoint.parse(sandbox.ws_url),), sandbox.app_key, (OLD,))
        self.connection = Connection(settings, api.authorise, self._take, watch=self.backfill.watch)
        self.watch = LicensePoller(api, Selection(everything=True), self.connection, self._take)

    def _take(self, batch: Sequence[Item]) -> None:
        with self._changed:
            self.items.extend(batch)
            self._changed.notify_all()

    def gaps(self) -> list[Gap]:
        return [item for item in self.items if isinstance(item, Gap)]

    def wait_for(self, kind: type[Item]) -> None:
        with self._changed:
            done = self._changed.wait_for(lambda: any(type(i) is kind for i in self.items), WAIT)
            assert done, f"no {kind} in {self.items}"

    def recovered(self, gap: Gap) -> list[ChannelEvent]:
        """What history gives for a gap."""
        assert self.backfill.mark_reached(gap)
        found: list[ChannelEvent] = []
        deadline = time.monotonic() + WAIT
        while not isinstance(news := self.backfill.take(), Gap):
            assert time.monotonic() < deadline
            found += news or []
        assert news.missing is None
        return found


@pytest.fixture
def running() -> Iterator[tuple[Sandbox, Running]]:
    with Sandbox(licenses={1: ("telegram",)}) as sandbox:
        tail = Running(sandbox)
        tail.connection.start()
        tail.wait_for(Ready)
        yield sandbox, tail
        tail.connection.stop()
        assert tail.connection.join(5 * TIMEOUT_SCALE)
        tail.reading.end()
        tail.alarm.close()


def say(sandbox: Sandbox, number: int) -> None:
    item = {"id": number, "time": int(time.time()), "chat": {"id": "7"}, "message": {"text": "x"}}
    meta = {"type": "message", "licenseId": 2, "messengerType": "telegram"}
    sandbox.publish(NEW, "message", json.dumps({"payload": {"data": [item], "meta": meta}}))


@pytest.mark.defect("A.16", "A2.10")
def test_what_was_said_before_a_line_was_found_comes_from_history(
    running: tuple[Sandbox, Running],
) -> None:
    sandbox, tail = running
    sandbox.add_license(2, ["telegram"])
    say(sandbox, 696)
    tail.watch._poll()
    tail.wait_for(Gap)
    (gap,) = tail.gaps()
    assert (gap.channel, gap.reason) == (NEW, ADDED)
    assert [b'"id":696' in (event.data or b"").replace(b" ", b"") for event in tail.recovered(gap)]


def test_a_line_that_is_tailed_already_has_no_gap(running: tuple[Sandbox, Running]) -> None:
    sandbox, tail = running
    for _ in range(3):
        tail.watch._poll()
    sandbox.add_license(2, ["telegram"])
    tail.watch._poll()
    tail.wait_for(Gap)
    assert [gap.channel for gap in tail.gaps()] == [NEW]


def test_a_look_that_failed_is_said_and_does_not_count(running: tuple[Sandbox, Running]) -> None:
    sandbox, tail = running
    looked = tail.watch._last_poll
    sandbox.void_token()
    tail.watch._poll()
    tail.wait_for(ConnectionWarning)
    assert tail.watch._last_poll == looked


@pytest.mark.defect("A.16", "A2.10")
def test_a_line_found_while_the_link_is_down_is_joined_with_the_next(
    running: tuple[Sandbox, Running],
) -> None:
    sandbox, tail = running
    sandbox.faults.refuse_upgrades(503)
    sandbox.abort_sockets()
    wait_until(lambda: sandbox.subscribers(OLD) == 0, "the link is gone")
    sandbox.add_license(2, ["telegram"])
    tail.watch._poll()
    sandbox.faults.clear()
    wait_until(lambda: len(tail.gaps()) == 2, "both gaps")
    assert {gap.channel: gap.reason == ADDED for gap in tail.gaps()} == {OLD: False, NEW: True}
