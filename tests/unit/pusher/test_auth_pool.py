"""The pool that asks for signatures: bounded, never in the way, nothing lost."""

import threading
from collections.abc import Callable

import pytest

from chatapp_tail.pusher.answers import AuthAnswer, Bug, Denied, Granted
from chatapp_tail.pusher.auth_pool import AuthorisationPool
from chatapp_tail.pusher.events import AuthRequested
from tests.conftest import TIMEOUT_SCALE

DEADLINE = 10.0 * TIMEOUT_SCALE


class Answers:
    """What the pool answered, awaited by the test."""

    def __init__(self) -> None:
        self.all: list[tuple[AuthRequested, AuthAnswer]] = []
        self._changed = threading.Condition()

    def __call__(self, request: AuthRequested, answer: AuthAnswer) -> None:
        with self._changed:
            self.all.append((request, answer))
            self._changed.notify_all()

    def wait(self, count: int) -> dict[str, AuthAnswer]:
        with self._changed:
            assert self._changed.wait_for(lambda: len(self.all) >= count, DEADLINE)
            return {request.channel: answer for request, answer in self.all}


def requests(count: int) -> list[AuthRequested]:
    return [AuthRequested(f"private-{number}", "1.2") for number in range(count)]


def grant(socket_id: str, channel: str) -> AuthAnswer:
    return Granted(f"key:{socket_id}:{channel}")


def always(_: AuthRequested) -> bool:
    return True


@pytest.mark.parametrize("count", [1, 8, 9, 300])
def test_every_request_is_answered_once_with_its_own_answer(count: int) -> None:
    answers = Answers()
    pool = AuthorisationPool(grant, answers, always)
    for request in requests(count):
        pool.ask(request)
    found = answers.wait(count)
    assert found == {f"private-{n}": Granted(f"key:1.2:private-{n}") for n in range(count)}
    assert len(answers.all) == count


def test_eight_at_once_and_no_more() -> None:
    release, entered = threading.Event(), threading.Semaphore(0)
    inside, most, lock = 0, 0, threading.Lock()

    def slow(socket_id: str, channel: str) -> AuthAnswer:
        nonlocal inside, most
        with lock:
            inside += 1
            most = max(most, inside)
        entered.release()
        release.wait(DEADLINE)
        with lock:
            inside -= 1
        return grant(socket_id, channel)

    answers = Answers()
    pool = AuthorisationPool(slow, answers, always)
    for request in requests(50):
        pool.ask(request)  # returns although nobody answers
    for _ in range(8):
        assert entered.acquire(timeout=DEADLINE)
    assert answers.all == []
    release.set()
    answers.wait(50)
    assert most == 8


def test_a_request_nobody_waits_for_is_not_made() -> None:
    asked: list[str] = []

    def note(socket_id: str, channel: str) -> AuthAnswer:
        asked.append(socket_id)
        return grant(socket_id, channel)

    answers = Answers()
    pool = AuthorisationPool(note, answers, lambda request: request.socket_id == "new")
    pool.ask(AuthRequested("private-a", "old"))
    pool.ask(AuthRequested("private-a", "new"))
    answers.wait(1)
    assert asked == ["new"]
    assert [request.socket_id for request, _ in answers.all] == ["new"]


def test_an_exception_is_an_answer_and_the_pool_goes_on() -> None:
    def broken(_: str, channel: str) -> AuthAnswer:
        if channel.endswith("0"):
            raise LookupError("made-up fault")
        return Denied("no")

    answers = Answers()
    pool = AuthorisationPool(broken, answers, always)
    for request in requests(40):
        pool.ask(request)
    found = answers.wait(40)
    bug = found["private-10"]
    assert isinstance(bug, Bug)
    assert "LookupError: made-up fault" in bug.traceback
    assert found["private-11"] == Denied("no")


def _threads() -> list[threading.Thread]:
    return [each for each in threading.enumerate() if each.name == "chatapp-tail-auth"]


def test_threads_are_daemons_and_end_when_there_is_nothing_to_do() -> None:
    daemons: list[bool] = []

    def note(socket_id: str, channel: str) -> AuthAnswer:
        daemons.append(threading.current_thread().daemon)
        return grant(socket_id, channel)

    answers = Answers()
    pool = AuthorisationPool(note, answers, always)
    for request in requests(30):
        pool.ask(request)
    answers.wait(30)
    for thread in _threads():
        thread.join(DEADLINE)
    assert _threads() == []
    assert all(daemons)
    pool.ask(AuthRequested("private-later", "1.2"))
    assert answers.wait(31)["private-later"] == Granted("key:1.2:private-later")


def test_asking_from_many_threads_loses_nothing() -> None:
    answers = Answers()
    pool = AuthorisationPool(grant, answers, always)
    start = threading.Barrier(10)

    def ask(number: int) -> Callable[[], None]:
        def run() -> None:
            start.wait(DEADLINE)
            for each in range(50):
                pool.ask(AuthRequested(f"private-{number}-{each}", "1.2"))

        return run

    threads = [threading.Thread(target=ask(number)) for number in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(DEADLINE)
    assert len(answers.wait(500)) == 500
