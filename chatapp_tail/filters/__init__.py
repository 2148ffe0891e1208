"""Filter options → predicates, compiled once before any network.

Filters of different kinds combine with AND, cheap ones first; several of one kind with OR. They
share the parsed item (`formats.fields.parse_item`).
"""

import re
from collections.abc import Callable, Iterable, Sequence

from ..chatapp.records import Record
from ..errors import UsageError
from ..formats.fields import Direction, direction, get_path, parse_item, to_text
from .grep import Grep

KeepEvent = Callable[[str], bool]
"""Event name -> whether to keep the event; called before decoding."""

KeepRecord = Callable[[Record], bool]
"""Record -> whether to keep it; never raises, whatever its item is."""


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
    grep_not: Grep | None = None,
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
    if grep_not and grep_not.patterns:
        keeps.append(without(grep_not))
    if where:
        from .where import by_where

        keeps.append(by_where(where))
    return _all_of(keeps) if keeps else None


def _all_of(keeps: Sequence[KeepRecord]) -> KeepRecord:
    if len(keeps) == 1:
        return keeps[0]
    return lambda record: all(keep(record) for keep in keeps)


def by_direction(wanted: Direction) -> KeepRecord:
    """Keep messages of a direction, and items without one: statuses, tags and unknown ones."""
    return lambda record: direction(parse_item(record.data)) in (wanted, None)


def by_chat(wanted: Iterable[str]) -> KeepRecord:
    """Keep items of chats with one of these ids, hashes, phones, usernames or names.

    Names and usernames (with or without @) match in any case, phones by their digits.
    """
    wanted = tuple(wanted)
    if not all(name.strip() for name in wanted):
        raise UsageError("--chat: it is empty; give an id, phone, username or name")
    exact = frozenset(wanted)
    folded = frozenset(map(_folded, wanted))
    usernames = frozenset(name.removeprefix("@") for name in folded) - {""}
    phones = frozenset(_digits(name) for name in wanted if _PHONE.fullmatch(name)) - {""}

    def keep(record: Record) -> bool:
        chat = get_path(parse_item(record.data), "chat")
        return isinstance(chat, dict) and (
            to_text(chat.get("id")) in exact
            or to_text(chat.get("hash")) in exact
            or _folded(to_text(chat.get("username"))).removeprefix("@") in usernames
            or _folded(to_text(chat.get("name"))) in folded
            or _digits(to_text(chat.get("phone"))) in phones
        )

    return keep


def without(unwanted: Grep) -> KeepRecord:
    """Keep items whose text and caption match none of the patterns, and those without text."""
    return lambda record: not unwanted(record)


_PHONE = re.compile(r"\+?[0-9\s().-]+")


def _folded(name: str) -> str:
    return " ".join(name.split()).casefold()


def _digits(phone: str) -> str:
    return phone if phone.isdecimal() else re.sub("[^0-9]", "", phone)
