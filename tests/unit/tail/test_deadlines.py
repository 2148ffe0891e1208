"""When a tail ends by itself, and how long it waits for what once it is to end."""

from math import inf

import pytest

from chatapp_tail.tail.deadlines import (
    CLOSE_TIMEOUT,
    STALL_TIMEOUT,
    Deadlines,
    Heartbeat,
    Limits,
    Shutdown,
)

# --- limits


def test_without_limits_nothing_ends_it() -> None:
    deadlines = Deadlines(Limits(), 100.0)
    assert deadlines.due(idles=True, for_room=False) == inf
    assert deadlines.due(idles=False, for_room=True) == inf


def test_idleness_counts_from_the_last_line_and_only_while_it_idles() -> None:
    deadlines = Deadlines(Limits(duration=60.0, idle=5.0), 100.0)
    assert deadlines.due(idles=True, for_room=False) == 105.0
    assert deadlines.due(idles=False, for_room=False) == 160.0
    deadlines.note_line(158.0)
    assert deadlines.due(idles=True, for_room=False) == 160.0


# --- the end


def test_before_the_end_is_asked_for_a_reader_may_take_nothing_for_ever() -> None:
    shutdown = Shutdown()
    shutdown.note_blocked(1.0, 0)
    assert not shutdown.requested
    assert shutdown.close_deadline == shutdown.stall_deadline == inf
    assert shutdown.close_timeout_left(1.0) == CLOSE_TIMEOUT


@pytest.mark.defect("A.12")
def test_a_reader_that_lives_is_waited_for() -> None:
    shutdown = Shutdown()
    shutdown.request(0.0)
    now = 0.0
    for written in range(100):
        shutdown.note_blocked(now, written)
        now += STALL_TIMEOUT - 0.1
        assert now < shutdown.stall_deadline
    shutdown.note_blocked(now, 100)
    assert shutdown.stall_deadline == now + STALL_TIMEOUT


@pytest.mark.defect("A.19")
def test_what_was_not_offered_cannot_be_taken() -> None:
    shutdown = Shutdown()
    shutdown.request(0.0)
    assert shutdown.stall_deadline == inf
    shutdown.note_blocked(1000.0, 7)
    shutdown.note_blocked(1005.0, 7)
    assert shutdown.stall_deadline == 1000.0 + STALL_TIMEOUT


def test_a_reader_that_stalled_before_gets_the_same_time() -> None:
    shutdown = Shutdown()
    shutdown.note_blocked(0.0, 7)
    shutdown.request(1000.0)
    assert shutdown.stall_deadline == 1000.0 + STALL_TIMEOUT


def test_asked_again_it_only_gets_less_time() -> None:
    shutdown = Shutdown()
    shutdown.note_blocked(0.0, 7)
    shutdown.request(0.0)
    shutdown.request(5.0, 1.0)
    assert (shutdown.stall_deadline, shutdown.stall_timeout) == (6.0, 1.0)
    shutdown.request(5.5, 10.0)
    shutdown.request(5.5, 1.0)
    assert shutdown.stall_deadline == 6.0
    assert shutdown.close_deadline == CLOSE_TIMEOUT


def test_the_close_timeout_is_over_at_its_deadline_but_for_a_moment() -> None:
    shutdown = Shutdown()
    shutdown.request(10.0)
    assert shutdown.close_timeout_left(10.25) == CLOSE_TIMEOUT - 0.25
    assert 0 < shutdown.close_timeout_left(1000.0) < 0.2


# --- beats


def test_it_beats_at_its_interval() -> None:
    beats: list[float] = []
    heart = Heartbeat(2.0, lambda: beats.append(1))
    assert heart.beat_if_due(10.0) == 12.0
    assert heart.beat_if_due(11.0) == 12.0
    assert heart.beat_if_due(12.5) == 14.5
    assert len(beats) == 2


# --- all of them


def test_the_shutdown_begins_once_at_the_first_limit() -> None:
    deadlines = Deadlines(Limits(duration=60.0, idle=5.0), 100.0)
    assert deadlines.due(idles=True, for_room=False) == 105.0
    assert not deadlines.check(104.0, idles=True, failed=False)
    deadlines.note_line(104.0)
    assert not deadlines.check(108.0, idles=True, failed=False)
    assert deadlines.check(109.0, idles=True, failed=False)
    assert not deadlines.check(110.0, idles=True, failed=False)
    assert not deadlines.interrupted
    assert deadlines.due(idles=True, for_room=False) == 109.0 + CLOSE_TIMEOUT


def test_a_wait_for_room_ends_when_the_reader_stalls_and_is_no_idleness() -> None:
    deadlines = Deadlines(Limits(duration=60.0, idle=5.0), 100.0)
    assert deadlines.due(idles=False, for_room=True) == 160.0
    deadlines.check(160.0, idles=False, failed=False)
    deadlines.shutdown.note_blocked(161.0, 0)
    assert deadlines.due(idles=False, for_room=True) == 161.0 + STALL_TIMEOUT


def test_a_failure_begins_the_shutdown() -> None:
    deadlines = Deadlines(Limits(), 100.0)
    assert deadlines.check(101.0, idles=True, failed=True)
    assert deadlines.shutdown.stall_timeout == STALL_TIMEOUT


def test_a_signal_begins_the_shutdown_at_the_next_check() -> None:
    deadlines = Deadlines(Limits(), 100.0)
    deadlines.interrupt(2.0)
    assert deadlines.interrupted
    assert not deadlines.shutdown.requested
    assert deadlines.check(101.0, idles=True, failed=False)
    assert deadlines.shutdown.stall_timeout == 2.0


def test_a_check_is_due_a_moment_after_the_last() -> None:
    deadlines = Deadlines(Limits(), 100.0)
    assert deadlines.check_due <= 100.0
    deadlines.check(100.0, idles=True, failed=False)
    assert 100.0 < deadlines.check_due < 101.0
