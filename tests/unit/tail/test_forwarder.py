"""Giving deliveries to a sink: up to a window and a count, and what the checkpoint learns."""

import json
import select
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from pathlib import Path

import pytest

from chatapp_tail.chatapp.records import Record, decode
from chatapp_tail.errors import DestinationFailed, ExitStatus
from chatapp_tail.formats.ndjson import encode
from chatapp_tail.history.checkpoint import Checkpoint
from chatapp_tail.sinks.dead_letters import DeadLetters
from chatapp_tail.sinks.delivery import Delivered, Delivery, Failed, Outcome, Refused
from chatapp_tail.tail import forwarder as module
from chatapp_tail.tail.delivery_report import DeliveryReport
from chatapp_tail.tail.forwarder import DeliveryFormat, Forwarder
from chatapp_tail.tail.output import OutputStalled
from chatapp_tail.threads import Waker
from tests.factories import event


class Scripted:
    """A sink whose outcomes the test decides."""

    name = "http://localhost/"

    def __init__(self) -> None:
        self.given: list[Delivery] = []
        self.links: list[tuple[str, int]] = []
        """Channels that were linked, each with the number of deliveries before."""
        self._outcomes: list[Outcome] = []
        self._news = Waker()

    def fileno(self) -> int:
        return self._news.fileno()

    def give(self, deliveries: Sequence[Delivery]) -> None:
        self.given += deliveries

    def relink(self, channel: str) -> None:
        self.links.append((channel, len(self.given)))

    def take(self) -> list[Outcome]:
        self._news.clear()
        outcomes, self._outcomes = self._outcomes, []
        return outcomes

    def close(self) -> None:
        self._news.close()

    def say(self, *outcomes: Outcome) -> None:
        self._outcomes += outcomes
        self._news.wake()

    def acknowledge(self, *numbers: int) -> None:
        self.say(*(Delivered(self.given[number - 1], "200", 0.1, 1) for number in numbers))


class Forwarding:
    """A forwarder, and what is done whenever it waits."""

    def __init__(
        self, path: Path, checkpoint: Checkpoint | None = None, count: int | None = None
    ) -> None:
        self.sink = Scripted()
        self.dead = path / "dead.ndjson"
        self.on_wait: Callable[[], None] = self.stall
        self.make = DeliveryFormat(body, per_record=True, format_lines=None)
        self.forwarder = Forwarder(
            self.sink,
            self.make,
            None,
            checkpoint,
            DeadLetters(self.dead),
            DeliveryReport(lambda *_: None, "x", kept_in=None),
            count=count,
            wait_for_room=self._wait,
        )

    def stall(self) -> None:
        raise OutputStalled

    def _wait(self) -> bool:
        self.on_wait()
        return self.poll()

    def poll(self) -> bool:
        waits = select.poll()
        self.forwarder.register(waits, for_room=True)
        return sum(self.forwarder.ready(*ready) for ready in waits.poll(0)) > 0

    def write(self, *numbers: int, position: int = 0) -> None:
        for number in numbers:
            frame = decode(event({"id": number, "chat": {"id": "7"}}))
            self.forwarder.write(self.make(frame, frame.records), position or number)


def body(_: object, records: list[Record]) -> bytes:
    return encode(records[0])


@pytest.fixture
def forwarding(tmp_path: Path) -> Iterator[Forwarding]:
    made = Forwarding(tmp_path)
    yield made
    made.forwarder.close()


def test_each_record_is_given_with_its_chat(forwarding: Forwarding) -> None:
    forwarding.write(1, 2)
    first, second = forwarding.sink.given
    assert (first.number, second.number) == (1, 2)
    assert first.key == second.key
    assert first.key.endswith(":7")
    assert json.loads(first.body)["data"]["id"] == 1


def test_items_of_one_frame_are_one_delivery_per_chat() -> None:
    make = DeliveryFormat(
        lambda _, kept: str(len(kept)).encode(), per_record=False, format_lines=None
    )
    chats = [{"id": number, "chat": {"id": chat}} for number, chat in enumerate("aabba")]
    frame = decode(event(*chats))
    deliveries = make(frame, frame.records)
    assert [delivery.body for delivery in deliveries] == [b"2", b"2", b"1"]
    assert [delivery.key[-1] for delivery in deliveries] == ["a", "b", "a"]


def test_a_new_link_is_told_in_its_turn(forwarding: Forwarding) -> None:
    forwarding.write(1, 2)
    forwarding.forwarder.relink("a")
    forwarding.write(3)

    assert forwarding.sink.links == [("a", 2)]


def test_a_full_window_waits_for_room(
    forwarding: Forwarding, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_MOST_UNSETTLED", 2)
    forwarding.write(1)
    with pytest.raises(OutputStalled):
        forwarding.write(2)
    waiting = [2, 1]
    forwarding.on_wait = lambda: forwarding.sink.acknowledge(waiting.pop())
    forwarding.write(3)
    assert (waiting, forwarding.forwarder.unsettled) == ([], 1)
    assert forwarding.forwarder.progress > 0


def test_the_end_waits_for_what_is_under_way(forwarding: Forwarding) -> None:
    forwarding.write(1, 2)
    waiting = [2, 1]
    forwarding.on_wait = lambda: forwarding.sink.acknowledge(waiting.pop())
    forwarding.forwarder.finish()
    assert waiting == []
    assert forwarding.forwarder.unsettled == 0


def test_the_count_is_of_settled_deliveries(tmp_path: Path) -> None:
    made = Forwarding(tmp_path, count=2)
    made.write(1)
    assert not made.forwarder.complete
    made.on_wait = lambda: made.sink.acknowledge(1, 2)
    made.write(2)
    assert made.forwarder.complete
    assert len(made.sink.given) == 2
    made.forwarder.close()


def test_the_checkpoint_learns_of_the_settled_prefix(tmp_path: Path) -> None:
    with closing(Checkpoint("x", tmp_path)) as checkpoint:
        made = Forwarding(tmp_path, checkpoint)
        with checkpoint.journal() as journal:
            journal.append([event({"id": number}) for number in range(3)])
        made.write(1, 2, 3)
        moved: list[str] = []
        made.forwarder.after(lambda: moved.append("watermark"))
        made.sink.acknowledge(2)
        made.poll()
        assert [name[-1] for name in checkpoint.written()] == ["2"]
        made.sink.acknowledge(1)
        made.poll()
        assert {name[-1] for name in checkpoint.written()} == {"1", "2"}
        assert moved == []
        made.sink.acknowledge(3)
        made.poll()
        assert moved == ["watermark"]
        assert checkpoint.journal_size == 0
        made.forwarder.close()


def test_a_count_that_ends_within_an_event_settles_none_before_it(tmp_path: Path) -> None:
    with closing(Checkpoint("x", tmp_path)) as checkpoint:
        made = Forwarding(tmp_path, checkpoint, count=2)
        with checkpoint.journal() as journal:
            journal.append([event({"id": number}) for number in range(2)])
        made.write(1)
        of_two = decode(event({"id": 2}, {"id": 3}))
        waits = iter([lambda: made.sink.acknowledge(2)])
        made.on_wait = lambda: next(waits, made.stall)()
        with pytest.raises(OutputStalled):
            made.forwarder.write(made.make(of_two, of_two.records), 2)
        with checkpoint.journal() as journal:
            assert (journal.position, journal.settled_ahead(1, 2)) == (0, set())
        made.forwarder.close()


def test_what_is_refused_is_a_dead_letter_before_it_is_settled(forwarding: Forwarding) -> None:
    forwarding.write(1)
    forwarding.sink.say(Refused(forwarding.sink.given[0], 422, "answered 422", 1, 0))
    forwarding.poll()
    letter = json.loads(forwarding.dead.read_text(encoding="utf-8"))
    assert (letter["type"], letter["status"], letter["record"]["data"]["id"]) == ("dead", 422, 1)
    assert forwarding.forwarder.unsettled == 0


def test_a_destination_that_is_wrong_for_good_ends_it(forwarding: Forwarding) -> None:
    forwarding.write(1)
    forwarding.sink.say(Failed(ExitStatus.OUTPUT_FAILED, "answered 410"))
    with pytest.raises(DestinationFailed, match="answered 410") as failed:
        forwarding.poll()
    assert failed.value.exit_status is ExitStatus.OUTPUT_FAILED


def test_of_an_event_that_the_count_cuts_nothing_is_settled(tmp_path: Path) -> None:
    """Nor of the event before it, which may be under way still."""
    with closing(Checkpoint("x", tmp_path)) as checkpoint:
        made = Forwarding(tmp_path, checkpoint, count=2)
        with checkpoint.journal() as journal:
            journal.append([event({"id": 1}), event({"id": 2}, {"id": 3})])
        made.write(1)
        frame = decode(event({"id": 2}, {"id": 3}))
        with pytest.raises(OutputStalled):
            made.forwarder.write(made.make(frame, frame.records), 2)
        made.sink.acknowledge(2)
        made.poll()
        with checkpoint.journal() as journal:
            assert (journal.position, journal.settled_ahead(1, 2)) == (0, set())
        made.forwarder.close()
