"""What a person hears of deliveries: each thing once, and when it changes."""

import pytest

from chatapp_tail.errors import ExitStatus
from chatapp_tail.reporting.notices import Level
from chatapp_tail.sinks.delivery import (
    Delivered,
    Delivery,
    Failed,
    Outcome,
    Refused,
    Retried,
    Trouble,
)
from chatapp_tail.tail.delivery_report import DeliveryReport
from tests.factories import record

DELIVERY = Delivery(
    1, "chat", [record(id="message:1229:telegram:7:696", data=b'{"chat":{"id":7}}')], b"{}"
)
DELIVERED = Delivered(DELIVERY, "200", 0.012, 1)
DOWN = Trouble("connection refused", 2.0)
REFUSED = Refused(DELIVERY, 422, "answered 422", 1, 0)
NAME = "http://localhost:3000/webhook"


class Said:
    def __init__(self, kept_in: str | None = None) -> None:
        self.all: list[tuple[Level, str]] = []
        self.report = DeliveryReport(
            lambda level, text: self.all.append((level, text)),
            NAME,
            kept_in=kept_in,
            details=True,
        )

    def note(self, *outcomes: Outcome, waiting: int = 14) -> list[tuple[Level, str]]:
        """Return what is said of outcomes, behind which so many deliveries wait."""
        before = len(self.all)
        for outcome in outcomes:
            self.report.given += waiting - self.report.waiting
            self.report.given += isinstance(outcome, Delivered | Refused)
            self.report.note(outcome)
        return self.all[before:]


@pytest.fixture
def said() -> Said:
    return Said()


def test_where_events_go(said: Said) -> None:
    said.report.begin()
    assert said.all == [(Level.INFO, f"forwarding to {NAME}")]


def test_one_line_per_delivery(said: Said) -> None:
    line = "→ message 1229/telegram:696  200 in 12 ms"
    assert said.note(DELIVERED) == [(Level.DEBUG, line)]
    (again,) = said.note(Delivered(DELIVERY, "200", 1.24, 3))
    assert again[1].endswith("200 in 1.2 s (attempt 3)")


def test_trouble_is_said_once_and_when_it_changes(said: Said) -> None:
    down = f"{NAME}: connection refused; 14 events waiting; trying again in 2.0 s"
    assert said.note(DOWN) == [(Level.WARNING, down)]
    assert said.note(DOWN, DOWN) == [(Level.DEBUG, down)] * 2
    ((level, other),) = said.note(Trouble("answered 503", 4.0), waiting=1)
    assert (level, other) == (
        Level.WARNING,
        f"{NAME}: answered 503; 1 event waiting; trying again in 4.0 s",
    )
    well, _ = said.note(DELIVERED)
    assert well == (Level.WARNING, f"{NAME}: takes events again")
    assert said.note(DOWN) == [(Level.WARNING, down)]


def test_what_is_refused_is_said_with_its_place() -> None:
    said = Said(kept_in="/dead.ndjson")
    dead = f"{NAME}: dead letter: message 1229/telegram:696: answered 422; kept in /dead.ndjson"
    assert said.note(REFUSED) == [(Level.WARNING, dead)]
    ((_, lost),) = Said().note(REFUSED)
    assert lost.endswith("not kept, since there is no --dead-letters")


def test_a_flood_of_dead_letters_is_counted() -> None:
    said = Said(kept_in="/dead.ndjson")
    said.note(REFUSED)
    assert said.note(REFUSED, REFUSED) == []
    said.report.end()
    more = f"{NAME}: 2 dead letters more: answered 422; kept in /dead.ndjson"
    assert said.all[1:] == [(Level.WARNING, more)]
    said.report.end()
    assert len(said.all) == 2, "each is said once"


def test_counts(said: Said) -> None:
    failed = Failed(ExitStatus.OUTPUT_FAILED, "answered 410")
    said.note(DELIVERED, Retried(DELIVERY, "timeout", 1.0), DELIVERED, REFUSED, failed, waiting=2)
    assert said.report.figures() == {
        "destination": NAME,
        "delivered": 2,
        "retried": 1,
        "dead": 1,
        "waiting": 2,
    }
    assert said.report.sentence() == "2 delivered, 1 retried, 1 dead letter, 2 waiting"
