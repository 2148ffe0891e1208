import threading

import pytest

from chatapp_tail.sandbox import journal as module
from chatapp_tail.sandbox.journal import Journal, Pinged, Unsubscribed

from .client import TEST_TIMEOUT, WAIT

pytestmark = pytest.mark.timeout(TEST_TIMEOUT)


def test_keeps_entries_in_order_and_counts_them() -> None:
    journal = Journal()
    first, second = Pinged(socket_id="1.1"), Unsubscribed(socket_id="1.1", channel="c")
    journal.add(first)
    journal.add(second)
    assert journal.entries() == (first, second)
    assert journal.of(Unsubscribed) == (second,)
    assert (journal.count(Pinged), journal.count(module.Closed)) == (1, 0)


def test_forgets_old_entries_but_counts_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "KEPT_ENTRIES", 2)
    journal = Journal()
    for number in range(5):
        journal.add(Pinged(socket_id=str(number)))
    assert [entry.socket_id for entry in journal.of(Pinged)] == ["3", "4"]
    assert journal.count(Pinged) == 5


def test_wait_for_is_woken_by_an_entry() -> None:
    journal = Journal()
    adder = threading.Timer(0.05, journal.add, [Pinged(socket_id="1.1")])
    adder.start()
    journal.wait_for(lambda: journal.count(Pinged), WAIT)
    adder.join()
    assert journal.count(Pinged) == 1


def test_wait_for_says_what_it_saw_instead() -> None:
    journal = Journal()
    journal.add(Pinged(socket_id="7.7"))
    with pytest.raises(TimeoutError, match=r"0\.01 s.*Pinged.*7\.7"):
        journal.wait_for(lambda: False, 0.01)


def test_times_never_go_back() -> None:
    assert Pinged(socket_id="1.1").at <= Pinged(socket_id="1.1").at
