from chatapp_tail.sandbox.throttle import Throttle


def test_admits_so_many_in_any_second() -> None:
    now = 100.0
    limited = Throttle(2, clock=lambda: now)
    first = limited.admits()
    now = 100.9
    assert [first, limited.admits(), limited.admits()] == [True, True, False]
    now = 101.0
    assert [limited.admits(), limited.admits()] == [True, False]
    now = 101.9
    assert limited.admits()


def test_without_a_limit_it_admits_all() -> None:
    assert all(Throttle(None).admits() for _ in range(1000))
