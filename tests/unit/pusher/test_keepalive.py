"""Keepalive: when pings, pongs and reports of idleness are due, with time as an argument."""

from math import inf

import pytest

from chatapp_tail.pusher.events import Idle
from chatapp_tail.pusher.keepalive import Keepalive
from chatapp_tail.pusher.timing import Timing

TIMING = Timing(ping_interval=15.0, pong_timeout=10.0, quiet_interval=60.0)


def started(activity_timeout: object = None) -> Keepalive:
    keepalive = Keepalive(TIMING, 100.0)
    keepalive.start(100.0, activity_timeout)
    return keepalive


def test_nothing_is_due_before_the_start() -> None:
    keepalive = Keepalive(TIMING, 100.0)
    assert keepalive.deadline() == inf


@pytest.mark.parametrize(
    ("activity_timeout", "interval"),
    [(None, 15.0), (30, 15.0), (7.5, 7.5), (0.01, 1.0), (0, 15.0), (-1, 15.0), (True, 15.0)],
)
def test_the_shorter_interval_counts(activity_timeout: object, interval: float) -> None:
    keepalive = started(activity_timeout)
    assert keepalive.ping_due == keepalive.deadline() == 100.0 + interval


def test_a_ping_without_an_answer_ends_the_connection() -> None:
    keepalive = started()
    keepalive.ping_sent(115.0)
    assert keepalive.pong_due == keepalive.deadline() == 125.0


def test_a_second_ping_does_not_extend_the_wait_for_the_first() -> None:
    keepalive = started()
    keepalive.ping_sent(115.0)
    keepalive.ping_sent(120.0)
    assert keepalive.pong_due == 125.0


def test_any_frame_answers_a_ping() -> None:
    keepalive = started()
    keepalive.ping_sent(115.0)
    keepalive.receive_frame(116.0)
    assert keepalive.pong_due == inf
    assert keepalive.deadline() == 130.0


def test_idleness_is_reported_once_per_interval() -> None:
    keepalive = started()
    keepalive.receive_frame(150.0)
    assert keepalive.idle_due == 160.0
    assert keepalive.idle(160.0) == Idle(60.0, 10.0, None)
    assert keepalive.idle_due == 220.0
    keepalive.receive_pong(200.0)
    assert keepalive.idle(220.0) == Idle(120.0, 70.0, 20.0)


def test_a_channel_event_postpones_the_report() -> None:
    keepalive = started()
    keepalive.last_event = 130.0
    assert keepalive.idle(160.0) is None
    assert keepalive.idle_due == 190.0
    assert keepalive.idle(190.0) == Idle(60.0, 90.0, None)
