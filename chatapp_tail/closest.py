"""Finds the word that was meant where a misspelt one stands."""

from collections.abc import Iterable


def closest(word: str, known: Iterable[str]) -> str | None:
    """Return the known word that is closest, None when none is close."""
    from difflib import get_close_matches  # 1 ms, for who misspells

    return next(iter(get_close_matches(word, list(known), 1)), None)
