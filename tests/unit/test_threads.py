"""Calls that may hang: a few at once, in order, and nothing waits for them at the end."""

import sys
import threading
from pathlib import Path
from queue import SimpleQueue

import pytest

from chatapp_tail.threads import DaemonThreadPool, outcome
from tests.conftest import TIMEOUT_SCALE, StartProcess

WAIT = 10.0 * TIMEOUT_SCALE


def threads(name: str) -> list[threading.Thread]:
    return [each for each in threading.enumerate() if each.name == name]


@pytest.mark.parametrize("at_once", [3, 1])
def test_every_call_is_made_and_by_a_single_thread_in_order(at_once: int) -> None:
    done: SimpleQueue[int] = SimpleQueue()
    daemons = DaemonThreadPool("made-up", at_once)
    for number in range(500):
        daemons.submit(lambda number=number: done.put(number))  # type: ignore[misc]
    found = [done.get(timeout=WAIT) for _ in range(500)]
    assert sorted(found) == list(range(500))
    assert at_once > 1 or found == sorted(found)
    assert done.empty()


def test_as_many_at_once_as_there_may_be_and_no_more() -> None:
    begun: SimpleQueue[int] = SimpleQueue()
    go_on = threading.Event()

    def work() -> None:
        begun.put(1)
        assert go_on.wait(WAIT)

    daemons = DaemonThreadPool("made-up-few", 4)
    for _ in range(10):
        daemons.submit(work)
    for _ in range(4):
        begun.get(timeout=WAIT)
    assert len(threads("made-up-few")) == 4
    assert begun.empty()
    go_on.set()
    for _ in range(6):
        begun.get(timeout=WAIT)


def test_threads_end_when_there_is_nothing_to_do_and_begin_again() -> None:
    daemons = DaemonThreadPool("made-up-idle", 2)
    for _ in range(3):
        done = threading.Event()
        daemons.submit(done.set)
        assert done.wait(WAIT)
        for thread in threads("made-up-idle"):
            thread.join(WAIT)
        assert threads("made-up-idle") == []


def test_no_call_is_lost_that_comes_while_a_thread_ends() -> None:
    """Each call comes just when the thread of the one before it finds nothing more to do."""
    daemons = DaemonThreadPool("made-up", 1)
    for _ in range(3000):
        done = threading.Event()
        daemons.submit(done.set)
        assert done.wait(WAIT)


def test_calls_from_several_threads() -> None:
    done: SimpleQueue[int] = SimpleQueue()
    daemons = DaemonThreadPool("made-up", 3)

    def call() -> None:
        for _ in range(300):
            daemons.submit(lambda: done.put(1))

    callers = [threading.Thread(target=call) for _ in range(4)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join(WAIT)
    for _ in range(1200):
        done.get(timeout=WAIT)
    assert done.empty()


HANGS = """
import threading
from chatapp_tail.threads import DaemonThreadPool, outcome
daemons = DaemonThreadPool("made-up", 2)
begun = threading.Semaphore(0)
def hang():
    begun.release()
    threading.Event().wait()
for _ in range(5):
    daemons.submit(hang)
begun.acquire()
print("ended", flush=True)
"""


def test_a_call_that_hangs_keeps_no_process_from_ending(
    start_process: StartProcess, tmp_path: Path
) -> None:
    process = start_process(
        [sys.executable, "-c", HANGS], env={"PYTHONPATH": ":".join(filter(None, sys.path))}
    )
    assert process.wait() == 0
    assert process.stdout.text == "ended\n"


def test_the_outcome_of_a_call_is_its_result_or_its_exception() -> None:
    assert outcome(lambda: 5) == 5
    assert isinstance(outcome(lambda: 1 / 0), ZeroDivisionError)
