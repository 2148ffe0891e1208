"""Which spans of time no confirmed channel covered."""

from chatapp_tail.pusher.coverage import Coverage
from chatapp_tail.pusher.items import Gap


def test_the_first_confirmation_closes_nothing() -> None:
    assert Coverage().regained("a", 5) is None


def test_a_loss_and_a_confirmation_make_a_gap() -> None:
    coverage = Coverage()
    coverage.lost(["a"], 10, "no answer")
    assert coverage.regained("a", 25) == Gap("a", 10, 25, "no answer")


def test_a_gap_is_said_once() -> None:
    coverage = Coverage()
    coverage.lost(["a"], 10, "no answer")
    coverage.regained("a", 25)
    assert coverage.regained("a", 30) is None


def test_a_second_loss_before_the_confirmation_leaves_the_older_hole_open() -> None:
    coverage = Coverage()
    coverage.lost(["a"], 10, "first")
    coverage.lost(["a"], 20, "second")
    assert coverage.regained("a", 30) == Gap("a", 10, 30, "first")


def test_channels_have_holes_of_their_own() -> None:
    coverage = Coverage()
    coverage.lost(["a", "b"], 10, "first")
    assert coverage.regained("b", 15) == Gap("b", 10, 15, "first")
    coverage.lost(["b"], 20, "second")
    assert coverage.regained("c", 21) is None
    assert coverage.regained("b", 25) == Gap("b", 20, 25, "second")
    assert coverage.regained("a", 30) == Gap("a", 10, 30, "first")
