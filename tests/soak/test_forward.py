"""Forwarding in its short form; `python -m tests.soak.forward` is the long one."""

import pytest

from .forward import Plan, soak, table, violations
from .forward_load import MESSAGE, STATUS, TAG, Published, Thing
from .forward_proof import Ending, ForwardProof, SaidGap, prove_forward
from .forward_receiver import Request

KILLS = 6
SEED = 1
OUTAGE = 12.0


@pytest.mark.timeout(150)
def test_forwarding_loses_nothing_whatever_is_killed() -> None:
    result = soak(Plan(SEED, kills=KILLS))
    print(table(result))
    assert not violations(result), result.stderr[-20_000:]
    assert result.proof.delivered > result.proof.published.total() / 2
    assert result.endings["cut"], "no socket was cut"
    assert result.history[500], "no call for history failed"


@pytest.mark.timeout(150)
def test_what_comes_while_the_destination_is_dead_is_delivered_later() -> None:
    result = soak(Plan(SEED, outage=OUTAGE, restarts=2))
    print(table(result))
    assert not violations(result), result.stderr[-20_000:]


def published(seq: int, kind: str = STATUS, at: float = 100.0, linked: bool = True) -> Published:
    return Published(Thing(seq, kind, "chat1", "c"), at, at, linked)


def proved(
    *entries: Published,
    requests: tuple[Request, ...] = (),
    dead: tuple[tuple[float, int], ...] = (),
    endings: tuple[Ending, ...] = (),
    gaps: tuple[SaidGap, ...] = (),
) -> ForwardProof:
    return prove_forward(entries, requests, dead, endings, gaps)


def test_a_missing_message_is_found_even_in_a_gap() -> None:
    entries = [published(1, MESSAGE), published(2, MESSAGE, linked=False)]
    proof = proved(*entries, gaps=(SaidGap("c", 90.0, 110.0),))
    assert proof.messages_missing == entries
    assert not proved(*entries, dead=((101.0, 1), (101.0, 2))).messages_missing


def test_a_status_may_be_missing_only_at_an_ending_and_in_a_gap() -> None:
    gaps, endings = (SaidGap("c", 90.0, 110.0),), (Ending("kill", 100.5),)
    assert proved(published(1), gaps=gaps).unexplained
    proof = proved(published(1), published(2, linked=False), gaps=gaps, endings=endings)
    assert (proof.unexplained, proof.unsaid, proof.lost_under_way["kill"]) == ([], [], 1)
    assert proved(published(1), endings=endings).unsaid
    assert proved(published(1), endings=endings, gaps=(SaidGap("d", 90.0, 110.0),)).unsaid


def test_a_double_needs_a_cause() -> None:
    acknowledged, again = Request(101.0, [1], 101.0), Request(105.0, [1], 105.0)
    (double,) = proved(published(1), requests=(acknowledged, again)).doubles
    assert double.cause == "none"
    (double,) = proved(published(1), requests=(Request(101.0, [1]), again)).doubles
    assert double.cause == "answer lost"
    proof = proved(published(1), requests=(acknowledged, again), endings=(Ending("kill", 103.0),))
    (double,) = proof.doubles
    assert (double.cause, double.acknowledged) == ("kill", 2.0)
    repeated = [published(1, TAG), published(1, TAG)]
    assert not proved(*repeated, requests=(acknowledged, again)).doubles


def test_order_is_of_first_deliveries_and_within_a_chat() -> None:
    entries = [published(1, MESSAGE), published(2, STATUS), published(3, MESSAGE)]
    requests = [Request(101.0, [2]), Request(102.0, [1]), Request(103.0, [3]), Request(104.0, [1])]
    assert not proved(*entries, requests=tuple(requests)).late
    (late,) = proved(*entries, requests=tuple(requests[2:])).late
    assert (late.thing.seq, late.behind) == (1, 3)
