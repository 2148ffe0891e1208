"""What a run did, in figures and in one sentence."""

from types import SimpleNamespace

import pytest
from msgspec.structs import replace

from chatapp_tail import items
from chatapp_tail.items import ASKED, Gap, Status, StopCause
from chatapp_tail.reporting.summary import Summary, format_duration

TELEGRAM = "private-v1.licenses.1229.messengers.telegram"
COMPANY = "private-v1.companies.2224"
AT = 1_763_800_000_000_000_000
READY = items.Ready(AT, [TELEGRAM], [])
LOST = items.Lost(AT, "going away", 1001, 75.0)
GAP = Gap(TELEGRAM, AT, AT + 1, "lost")
MIB = 1024 * 1024


class Clock:
    """Monotonic seconds that pass when they are told to."""

    now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    stepped = SimpleNamespace(monotonic=made.monotonic)
    monkeypatch.setattr("chatapp_tail.reporting.summary.time", stepped)
    return made


def summary_of(*statuses: Status | Gap, filtered: int = 0, **shown: int) -> Summary:
    summary = Summary()
    for event, count in shown.items():
        summary.tallies[event, TELEGRAM].records += count
    summary.filtered += filtered
    for status in statuses:
        summary.note(status)
    return summary


def test_a_run_in_which_nothing_happened() -> None:
    assert list(Summary().figures(0).items()) == [
        ("seconds", 0.0),
        ("records", 0),
        ("events", {}),
        ("channels", {}),
        ("filtered", 0),
        ("reconnects", 0),
        ("gaps", 0),
        ("recovered", 0),
        ("spool_peak", 0),
    ]


def test_seconds_are_those_of_the_run(clock: Clock) -> None:
    summary = Summary()
    clock.now += 12.3456
    assert summary.figures(0)["seconds"] == 12.346
    assert summary.sentence(0).startswith("12 s: ")


@pytest.mark.defect("A.29b")
def test_what_is_counted_apart_is_bounded() -> None:
    summary = Summary()
    for number in range(5000):
        summary.tallies[f"event-{number}", TELEGRAM].records += 1
    summary.tallies["event-7", TELEGRAM].records += 10
    figures = summary.figures(0)
    events, channels = figures["events"], figures["channels"]
    assert isinstance(events, dict)
    assert isinstance(channels, dict)
    assert len(summary.tallies) == len(events) == 1001
    assert (events["event-7"], events["others"]) == (11, 4000)
    assert channels == {"others": 4000, TELEGRAM: 1010}
    assert figures["records"] == 5010


def test_records_are_counted_by_event_and_by_channel_the_most_first() -> None:
    summary = Summary()
    summary.tallies["chatTag", COMPANY].records += 1
    summary.tallies["message", COMPANY].records += 2
    summary.tallies["message", TELEGRAM].records += 4
    summary.tallies["made-up", None].records += 1
    figures = summary.figures(5)
    assert figures["records"] == 8
    events, channels = figures["events"], figures["channels"]
    assert isinstance(events, dict)
    assert isinstance(channels, dict)
    assert list(events.items()) == [("message", 6), ("chatTag", 1), ("made-up", 1)]
    assert list(channels.items()) == [(TELEGRAM, 4), (COMPANY, 3), ("none", 1)]
    assert figures["spool_peak"] == 5


@pytest.mark.parametrize(
    ("statuses", "reconnects"),
    [
        ([], 0),
        ([READY], 0),
        ([READY, READY], 0),
        ([READY, LOST], 0),
        ([READY, LOST, READY], 1),
        ([READY, LOST, READY, READY], 1),
        ([READY, LOST, LOST, LOST, READY], 1),
        ([READY, LOST, READY, LOST, READY], 2),
        ([READY, LOST, items.Stopped(AT, StopCause.ASKED, "")], 0),
        ([READY, LOST, items.Connecting(AT, "ws://h"), items.Connected(AT, "1.2")], 0),
    ],
)
def test_a_reconnect_is_a_loss_that_was_made_good(
    statuses: list[Status | Gap], reconnects: int
) -> None:
    assert summary_of(*statuses).figures(0)["reconnects"] == reconnects


@pytest.mark.parametrize("gaps", [0, 1, 3])
def test_gaps(gaps: int) -> None:
    assert summary_of(*[GAP] * gaps, READY).figures(0)["gaps"] == gaps


def test_figures_are_of_the_moment_and_change_nothing() -> None:
    summary = summary_of(READY, LOST, READY, GAP, filtered=2, message=1)
    assert summary.figures(1) == summary.figures(1)
    summary.tallies["message", TELEGRAM].records += 1
    assert summary.figures(1)["records"] == 2


@pytest.mark.parametrize(
    ("shown", "sentence"),
    [
        ({}, "0 records"),
        ({"message": 1}, "1 record (message 1)"),
        ({"message": 2}, "2 records (message 2)"),
        ({"chatTag": 1, "message": 2}, "3 records (message 2, chatTag 1)"),
        (
            {f"e{n}": 9 - n for n in range(8)},
            "44 records (e0 9, e1 8, e2 7, e3 6, e4 5, e5 4, e6 3, e7 2)",
        ),
        (
            {f"e{n}": 10 - n for n in range(9)},
            "54 records (e0 10, e1 9, e2 8, e3 7, e4 6, e5 5, e6 4, e7 3, ...)",
        ),
    ],
)
def test_records_in_the_sentence(shown: dict[str, int], sentence: str) -> None:
    assert summary_of(**shown).sentence(0) == f"0.0 s: {sentence}"


@pytest.mark.parametrize(
    ("statuses", "filtered", "spool_peak", "sentence"),
    [
        ([], 0, 0, ""),
        ([], 3, 0, "; 3 filtered out"),
        ([READY, LOST, READY], 0, 0, "; 1 reconnect"),
        ([LOST, READY, LOST, READY], 0, 0, "; 2 reconnects"),
        ([GAP], 0, 0, "; 1 gap"),
        ([replace(GAP, recovered=1)], 0, 0, "; 1 gap; 1 message recovered from history"),
        ([replace(GAP, recovered=2, reason=ASKED)], 0, 0, "; 2 messages recovered from history"),
        ([GAP, GAP], 0, 0, "; 2 gaps"),
        ([], 0, MIB - 1, ""),
        ([], 0, MIB, "; 1 MiB waited at the most"),
        ([], 0, 300 * MIB, "; 300 MiB waited at the most"),
        (
            [LOST, READY, GAP],
            1,
            2 * MIB,
            "; 1 filtered out; 1 reconnect; 1 gap; 2 MiB waited at the most",
        ),
    ],
)
def test_only_what_happened_is_in_the_sentence(
    statuses: list[Status | Gap], filtered: int, spool_peak: int, sentence: str
) -> None:
    summary = summary_of(*statuses, filtered=filtered, message=1)
    assert summary.sentence(spool_peak) == f"0.0 s: 1 record (message 1){sentence}"


def test_channels_are_named_as_people_type_them_when_there_are_several() -> None:
    summary = Summary()
    summary.tallies["message", TELEGRAM].records += 3
    assert "channel" not in summary.sentence(0)
    summary.tallies["message", COMPANY].records += 4
    summary.tallies["message", None].records += 1
    channels = "3 channels (company/2224 4, 1229/telegram 3, none 1)"
    assert summary.sentence(0) == f"0.0 s: 8 records (message 8); {channels}"


SPANS = [
    (0.0, "0.0 s"),
    (0.44, "0.4 s"),
    (9.94, "9.9 s"),
    (10.0, "10 s"),
    (12.0, "12 s"),
    (59.4, "59 s"),
    (60.0, "1m 00s"),
    (192.0, "3m 12s"),
    (3599.4, "59m 59s"),
    (3599.6, "1h 00m"),
    (7500.0, "2h 05m"),
    (90_000.0, "25h 00m"),
]


@pytest.mark.parametrize(("seconds", "text"), SPANS)
def test_spans(seconds: float, text: str) -> None:
    assert format_duration(seconds) == text
