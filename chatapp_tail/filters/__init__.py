"""Filter options → predicates, compiled once before any network.

Kinds of filters combine with AND, cheap ones first; several of one kind with OR. They share one
parse of the item (`formats.fields.read`).
"""

import re
from collections.abc import Callable, Iterable, Sequence

from ..chatapp.records import Record
from ..errors import UsageError
from ..formats.fields import Direction, at, direction, read, string
from .grep import Grep

KeepEvent = Callable[[str], bool]
"""Event name -> whether to go on with it; asked before anything is decoded."""

KeepRecord = Callable[[Record], bool]
"""Record -> whether to go on with it; never fails, whatever its item is."""


def by_event(wanted: Iterable[str], unwanted: Iterable[str]) -> KeepEvent:
    """Keep events named in `wanted` (all, if none is) unless they are named in `unwanted`."""
    wanted, unwanted = frozenset(wanted), frozenset(unwanted)
    if wanted:
        names = wanted - unwanted
        if not names:
            raise UsageError("--event and --exclude-event together leave no event to show")
        return names.__contains__
    return lambda event: event not in unwanted


def by_record(
    *,
    incoming: bool = False,
    outgoing: bool = False,
    chats: Iterable[str] = (),
    grep: Grep | None = None,
    where: Iterable[str] = (),
) -> KeepRecord | None:
    """Return one predicate for all filters on records, None if there is none; or UsageError."""
    chats, where = tuple(chats), tuple(where)
    keeps: list[KeepRecord] = []
    if incoming != outgoing:
        keeps.append(by_direction(Direction.INCOMING if incoming else Direction.OUTGOING))
    if chats:
        keeps.append(by_chat(chats))
    if grep and grep.patterns:
        keeps.append(grep)
    if where:
        from .where import by_where

        keeps.append(by_where(where))
    return _all_of(keeps) if keeps else None


def _all_of(keeps: Sequence[KeepRecord]) -> KeepRecord:
    if len(keeps) == 1:
        return keeps[0]
    return lambda record: all(keep(record) for keep in keeps)


def by_direction(wanted: Direction) -> KeepRecord:
    """Keep what went that way, and what has no direction: statuses, tags and the unknown."""
    return lambda record: direction(read(record.data)) in (wanted, None)


def by_chat(wanted: Iterable[str]) -> KeepRecord:
    """Keep items of chats with one of these ids, hashes, phones, usernames or names.

    Names and usernames (with or without @) match in any case, phones by their digits.
    """
    wanted = tuple(wanted)
    if not all(each.strip() for each in wanted):
        raise UsageError("--chat: it is empty; give an id, phone, username or name")
    exact = frozenset(wanted)
    folded = frozenset(map(_folded, wanted))
    usernames = frozenset(each.removeprefix("@") for each in folded) - {""}
    phones = frozenset(_digits(each) for each in wanted if _PHONE.fullmatch(each)) - {""}

    def keep(record: Record) -> bool:
        chat = at(read(record.data), "chat")
        return isinstance(chat, dict) and (
            string(chat.get("id")) in exact
            or string(chat.get("hash")) in exact
            or _folded(string(chat.get("username"))).removeprefix("@") in usernames
            or _folded(string(chat.get("name"))) in folded
            or _digits(string(chat.get("phone"))) in phones
        )

    return keep


_PHONE = re.compile(r"\+?[0-9\s().-]+")


def _folded(name: str) -> str:
    return " ".join(name.split()).casefold()


def _digits(phone: str) -> str:
    return phone if phone.isdecimal() else re.sub("[^0-9]", "", phone)
