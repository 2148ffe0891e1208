"""The proof itself: it must see every kind of broken promise."""

from dataclasses import replace

from .journal import Receipt, ReportedGap
from .proof import most_in_window, prove
from .publisher import Published

PUBLISHED = [Published("a", number, 100 * number, 100 * number + 10, True) for number in range(5)]
RECEIVED = [Receipt("a", event.number, event.after + 5, True) for event in PUBLISHED]


def gap(since: int, until: int, channel: str = "a") -> ReportedGap:
    return ReportedGap(channel, since * 1000, until * 1000, "cut")


def in_microseconds(events: list[Published]) -> list[Published]:
    """Far enough apart for the precision of a record."""
    return [replace(e, before=e.before * 1000, after=e.after * 1000) for e in events]


def test_all_is_well() -> None:
    proof = prove(PUBLISHED, RECEIVED, [])
    assert (proof.published, proof.received, proof.unsure) == (5, 5, 0)
    assert not proof.inside + proof.outside
    assert not proof.duplicated + proof.out_of_order + proof.damaged + proof.never_published


def test_a_missing_event_is_covered_by_a_gap_that_touches_its_publication() -> None:
    published = in_microseconds(PUBLISHED)
    received = RECEIVED[:2] + RECEIVED[3:]
    for since, until in [(190, 300), (205, 300), (150, 200), (201, 202)]:
        proof = prove(published, received, [gap(since, until)])
        assert (proof.inside, proof.outside) == ([published[2]], [])
    for since, until, channel in [(211, 300, "a"), (100, 198, "a"), (190, 300, "b")]:
        proof = prove(published, received, [gap(since, until, channel)])
        assert (proof.inside, proof.outside) == ([], [published[2]])


def test_what_was_not_surely_published_is_not_missing_and_has_no_order() -> None:
    published = [*PUBLISHED[:2], replace(PUBLISHED[2], sure=False), *PUBLISHED[3:]]
    assert not prove(published, RECEIVED[:2] + RECEIVED[3:], []).outside
    late = [*RECEIVED[:2], *RECEIVED[3:], RECEIVED[2]]
    assert not prove(published, late, []).out_of_order


def test_doubles_disorder_damage_and_strangers_are_seen() -> None:
    received = [RECEIVED[0], RECEIVED[2], RECEIVED[1], RECEIVED[1], RECEIVED[3]]
    received += [replace(RECEIVED[4], intact=False), Receipt("b", 0, 0, True)]
    proof = prove(PUBLISHED, received, [])
    assert proof.duplicated == [RECEIVED[1]]
    assert proof.out_of_order == [RECEIVED[1], RECEIVED[1]]
    assert proof.damaged == [received[5]]
    assert proof.never_published == [received[6]]


def test_dials_are_counted_in_any_window() -> None:
    assert most_in_window([], 10) == 0
    assert most_in_window([0, 9, 10, 18, 19, 20], 10) == 3
