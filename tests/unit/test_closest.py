"""The word that was meant."""

import pytest

from chatapp_tail.errors import suggest


@pytest.mark.parametrize(
    ("word", "meant"), [("mesage", "message"), ("chattag", "chatTag"), ("zzz", None), ("", None)]
)
def test_the_closest_word(word: str, meant: str | None) -> None:
    assert suggest(word, ("message", "messageStatus", "chatTag")) == meant


def test_nothing_is_close_to_nothing() -> None:
    assert suggest("message", ()) is None
