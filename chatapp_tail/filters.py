"""Filter options → predicates, compiled once before any network."""

from collections.abc import Callable, Iterable

KeepEvent = Callable[[str], bool]
"""Event name -> whether to go on with it; asked before anything is decoded."""


def by_event(wanted: Iterable[str], unwanted: Iterable[str]) -> KeepEvent:
    """Keep events named in `wanted` (all, if none is) unless they are named in `unwanted`."""
    wanted, unwanted = frozenset(wanted), frozenset(unwanted)
    if wanted:
        names = wanted - unwanted
        return names.__contains__
    return lambda event: event not in unwanted
