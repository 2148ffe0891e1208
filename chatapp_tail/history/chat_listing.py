"""Which chats of a line moved since a moment: the list of chats, newest first, page by page.

Nothing is known for certain of that list. Chats may be pinned, hidden, out of order or without a
time; pages may be short; the second that `lastTime` names may be left out or not; `nextPage` may be
there or not. So it ends where nothing new comes, and what cannot be listed is said.
"""

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import NamedTuple
from urllib.parse import quote

from ..errors import ChatAppTailError
from .answers import PAGE, Chat, Line, Page, read_chat
from .requests import HistoryRequests, Refusal
from .time_cursor import MOST_PINNED, TimeCursor

MOST_REQUESTS = 2000
"""For one line."""

_MOST_PASSES = 20
_MOST_EMPTY = 20

Failed = Callable[[str, bool], None]
"""Told why some of it cannot be listed, and whether a later run may find that mended."""


class Listed(NamedTuple):
    """What was listed: by name, each chat that moved, with its last time where that is readable.

    `whole` unless something may have been left out.
    """

    chats: dict[str, int | None]
    whole: bool


def path_of(line: Line) -> str:
    """Return the path of a line's list of chats."""
    return f"/v1/licenses/{line.license}/messengers/{quote(line.messenger, safe='')}/chats"


class ChatListing:
    """Lists the chats of a line in which something happened since a moment.

    `since` gives that moment, in the seconds of the messages' times; it may get earlier with each
    answer, as the service's clock gets known.
    """

    def __init__(
        self,
        requests: HistoryRequests,
        line: Line,
        since: Callable[[], int],
        failed: Failed,
    ) -> None:
        self._requests = requests
        self._line = line
        self._since = since
        self._failed = failed
        self._found: dict[str, int | None] = {}
        self._listed: set[str] = set()
        self._whole = True
        self._left = MOST_REQUESTS

    def read(self) -> Listed:
        """Return the chats that moved; those found before a failure too.

        A chat that moves while several pages are read jumps from one to come to one gone by. So the
        list is read once more, down to where it began before, until that brings nothing.
        """
        try:
            self._read_passes()
        except ChatAppTailError as error:
            self._fail(str(error), not isinstance(error, Refusal))
        return Listed(self._found, self._whole)

    def _read_passes(self) -> None:
        floor = 0
        for _ in range(_MOST_PASSES):
            before = len(self._found)
            top = self._read_pass(floor)
            if top is None or len(self._found) == before:
                return
            floor = top
        self._fail("the list of chats changes faster than it can be read", True)

    def _read_pass(self, floor: int) -> int | None:
        """Read the list down to `floor`; return that of the next pass, None if none is needed."""
        one = _Pass(lambda: max(floor, self._since()), self._listed)
        query: dict[str, str] | None = {}
        while query is not None:
            if not self._left:
                self._fail(f"the list of chats does not end in {MOST_REQUESTS} requests", True)
                return None
            query = self._next_query(one, query)
        for why in one.oddities():
            self._fail(why, False)
        return None if one.at_a_glance else one.top

    def _next_query(self, one: "_Pass", query: dict[str, str]) -> dict[str, str] | None:
        self._left -= 1
        try:
            page = self._requests.page(path_of(self._line), {"limit": str(PAGE), **query})
        except Refusal:
            if "nextPage" not in query:
                raise
            return one.without_next_page()
        chats = [read_chat(item) for item in page.items]
        if not all(chat.name for chat in chats):
            self._fail("the list of chats has one without an id", False)
        chats = [chat for chat in chats if chat.name]
        self._add(chats)
        return one.next_query(page, chats)

    def _add(self, chats: Sequence[Chat]) -> None:
        """Add those that moved; what has no time that can be read may have."""
        since = self._since()
        for name, moved in chats:
            if moved is None:
                self._found.setdefault(name, None)
            elif moved >= since:
                self._found[name] = max(moved, self._found.get(name) or 0)

    def _fail(self, why: str, may_pass: bool) -> None:
        self._whole = False
        self._failed(why, may_pass)


class _Pass:
    """Goes through the list once: by `nextPage` while there is one, then by the times of chats."""

    def __init__(self, floor: Callable[[], int], listed: set[str]) -> None:
        self.top: int | None = None
        """A time near the top of the list, which chats that move from now on will pass."""
        self.at_a_glance = True
        """Whether the first page had all that moved, so that nothing could jump meanwhile."""
        self._floor = floor
        self._listed = listed
        self._seen: set[str] = set()
        self._cursor = TimeCursor()
        self._followed: set[str] = set()
        self._first: frozenset[str] = frozenset()
        self._last: list[tuple[int, bool]] = []
        self._empty = 0
        self._follows = True
        self._timeless = self._unordered = self._repeats = self._only_empty = False

    def next_query(self, page: Page, chats: Sequence[Chat]) -> dict[str, str] | None:
        """Return how to ask for what comes after a page, None at the end."""
        names = frozenset(chat.name for chat in chats)
        new, first = names - self._listed, names - self._seen
        self._listed |= names
        self._seen |= names
        self._note(chats, new)
        if self._ends_here(chats) or (self._followed and page.ended):
            self._cursor.look(self._last)
            return None
        if self._follows and page.following and page.following not in self._followed:
            # An empty page may be one whose chats are hidden.
            self._empty = 0 if chats else self._empty + 1
            self._only_empty = self._empty > _MOST_EMPTY
            if (first or not chats) and not self._only_empty:
                self._followed.add(page.following)
                return {"nextPage": page.following}
        if not self._last and new:
            self._timeless = True
        self._note_repetition(names)
        return self._next_by_time()

    def without_next_page(self) -> dict[str, str] | None:
        """Return how to go on when `nextPage` is refused."""
        self._follows = False
        return self._next_by_time()

    def oddities(self) -> list[str]:
        """Return why some chats may not have been listed."""
        reasons = {
            "the list of chats has no times to go on by": self._timeless,
            "the list of chats has no second page": self._repeats,
            f"{PAGE} chats or more moved in one second, too many to list all": self._cursor.hidden,
            "the list of chats is in no order to go on by": self._unordered and not self._followed,
            "the list of chats has nothing but empty pages": self._only_empty,
        }
        return [why for why, is_so in reasons.items() if is_so]

    def _next_by_time(self) -> dict[str, str] | None:
        place = self._cursor.advance(self._last, self._floor())
        return None if place is None else {"lastTime": str(place)}

    def _note(self, chats: Sequence[Chat], new: frozenset[str]) -> None:
        floor = self._floor()
        times = [chat.last_time for chat in chats if chat.last_time is not None]
        self._last = [(t, name in new) for name, t in chats if t is not None]
        moved = sorted((t for t in times if t >= floor), reverse=True)
        if self.top is None:
            self._first = frozenset(chat.name for chat in chats)
            self.top = moved[min(len(moved) - 1, len(moved) // 4 + 1)] if moved else floor
            # A few old ones may be pinned.
            self.at_a_glance = (len(times) - len(moved)) * 4 > len(chats)
        elif any(name in new and (t is None or t >= floor) for name, t in chats):
            self.at_a_glance = False
        rising = sum(one < other for one, other in pairwise(times))
        # A few that are pinned to the top do not make it so.
        self._unordered |= rising * 2 > MOST_PINNED and rising * 4 > len(times)

    def _ends_here(self, chats: Sequence[Chat]) -> bool:
        """Return whether the newest chat of a page is older than wanted, and so are the rest."""
        times = [chat.last_time for chat in chats if chat.last_time is not None]
        return bool(times) and max(times) < self._floor() and not self._unordered

    def _note_repetition(self, names: frozenset[str]) -> None:
        """Note when a page is the first one once more, though it was asked for older chats."""
        at = self._cursor.at
        newer = 0 if at is None else sum(place > at for place, _ in self._last)
        self._repeats |= newer > MOST_PINNED and names == self._first
