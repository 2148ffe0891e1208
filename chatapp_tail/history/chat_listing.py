"""Lists the chats of a messenger that were updated since a moment, newest first, page by page.

The order of that list is not documented. Chats may be pinned, hidden, out of order or without a
time; pages may be short; the second that `lastTime` names may be included or not; `nextPage` may be
present or not. So the listing ends where nothing new comes, and what cannot be listed is reported.
"""

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import NamedTuple
from urllib.parse import quote

from ..errors import ChatAppTailError
from .answers import PAGE, Chat, MessengerRef, Page, read_chat
from .requests import HistoryRequests, Refusal
from .time_cursor import MOST_PINNED, TimeCursor

MAX_REQUESTS = 2000
"""Requests for the list of one messenger."""

_MAX_PASSES = 20
_MAX_EMPTY_PAGES = 20

OnFailure = Callable[[str, bool], None]
"""(why a part cannot be listed, whether a later run may succeed)."""


class Listed(NamedTuple):
    """The updated chats by name, with their last time where that is readable.

    `whole` unless a chat may have been left out.
    """

    chats: dict[str, int | None]
    whole: bool


def chats_path(ref: MessengerRef) -> str:
    """Return the path of a messenger's list of chats."""
    return f"/v1/licenses/{ref.license}/messengers/{quote(ref.messenger, safe='')}/chats"


class ChatListing:
    """Lists the chats of a messenger that were updated since a moment.

    `since` returns that moment, in the seconds of the messages' times; it may get earlier with each
    response, as the service's clock becomes known.
    """

    def __init__(
        self,
        requests: HistoryRequests,
        ref: MessengerRef,
        since: Callable[[], int],
        on_failure: OnFailure,
    ) -> None:
        self._requests = requests
        self._messenger_ref = ref
        self._since = since
        self._on_failure = on_failure
        self._chats: dict[str, int | None] = {}
        self._listed: set[str] = set()
        self._whole = True
        self._requests_left = MAX_REQUESTS

    def read(self) -> Listed:
        """Return the updated chats, those listed before a failure too.

        A chat that is updated while the pages are read moves from a later page to an earlier one.
        So the list is read again, down to where the pass before began, until nothing new comes.
        """
        try:
            self._read_passes()
        except ChatAppTailError as error:
            self._fail(str(error), not isinstance(error, Refusal))
        return Listed(self._chats, self._whole)

    def _read_passes(self) -> None:
        floor = 0
        for _ in range(_MAX_PASSES):
            before = len(self._chats)
            top = self._read_pass(floor)
            if top is None or len(self._chats) == before:
                return
            floor = top
        self._fail("the list of chats changes faster than it can be read", True)

    def _read_pass(self, floor: int) -> int | None:
        """Read the list down to `floor`; return that of the next pass, None if none is needed."""
        list_pass = _ListPass(lambda: max(floor, self._since()), self._listed)
        query: dict[str, str] | None = {}
        while query is not None:
            if not self._requests_left:
                self._fail(f"the list of chats does not end in {MAX_REQUESTS} requests", True)
                return None
            query = self._next_query(list_pass, query)
        for reason in list_pass.oddities():
            self._fail(reason, False)
        return None if list_pass.at_a_glance else list_pass.top

    def _next_query(self, list_pass: "_ListPass", query: dict[str, str]) -> dict[str, str] | None:
        self._requests_left -= 1
        try:
            page = self._requests.page(
                chats_path(self._messenger_ref), {"limit": str(PAGE), **query}
            )
        except Refusal:
            if "nextPage" not in query:
                raise
            return list_pass.without_next_page()
        chats = [read_chat(item) for item in page.items]
        if not all(chat.name for chat in chats):
            self._fail("the list of chats has one without an id", False)
        chats = [chat for chat in chats if chat.name]
        self._add(chats)
        return list_pass.next_query(page, chats)

    def _add(self, chats: Sequence[Chat]) -> None:
        """Add the updated chats; one without a readable time may be one of them."""
        since = self._since()
        for name, updated in chats:
            if updated is None:
                self._chats.setdefault(name, None)
            elif updated >= since:
                self._chats[name] = max(updated, self._chats.get(name) or 0)

    def _fail(self, reason: str, transient: bool) -> None:
        self._whole = False
        self._on_failure(reason, transient)


class _ListPass:
    """One pass through the list: by `nextPage` while there is one, then by the times of chats.

    `floor` returns the time below which chats do not matter, `listed` are the names of all passes.
    """

    def __init__(self, floor: Callable[[], int], listed: set[str]) -> None:
        self.top: int | None = None
        """A time near the top of the list: chats that are updated from now on will be above it."""
        self.at_a_glance = True
        """Whether the first page had all updated chats, so that none could move between pages."""
        self._floor = floor
        self._listed = listed
        self._seen: set[str] = set()
        """Names of the chats of this pass."""
        self._cursor = TimeCursor()
        """Where to go on once no `nextPage` is used."""
        self._followed: set[str] = set()
        """Values of `nextPage` that were used, so that a cycle ends."""
        self._first: frozenset[str] = frozenset()
        """Names on the first page, to recognise it when it comes again."""
        self._last: list[tuple[int, bool]] = []
        """(time, whether it is new) of the chats of the last page."""
        self._empty = 0
        """Empty pages in a row."""
        self._follows = True
        """Whether `nextPage` is used; false once the service refused it."""
        # What was odd, see `oddities`.
        self._timeless = self._unordered = self._repeats = self._only_empty = False

    def next_query(self, page: Page, chats: Sequence[Chat]) -> dict[str, str] | None:
        """Return the query for the page after this one, None at the end."""
        names = frozenset(chat.name for chat in chats)
        new, first = names - self._listed, names - self._seen
        self._listed |= names
        self._seen |= names
        self._note(chats, new)
        if self._ends_here(chats) or (self._followed and page.ended):
            self._cursor.look(self._last)
            return None
        if self._follows and page.next_page and page.next_page not in self._followed:
            # An empty page may be one whose chats are hidden.
            self._empty = 0 if chats else self._empty + 1
            self._only_empty = self._empty > _MAX_EMPTY_PAGES
            if (first or not chats) and not self._only_empty:
                self._followed.add(page.next_page)
                return {"nextPage": page.next_page}
        if not self._last and new:
            self._timeless = True
        self._note_repetition(names)
        return self._next_by_time()

    def without_next_page(self) -> dict[str, str] | None:
        """Return the next query after `nextPage` was refused."""
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
        return [reason for reason, is_so in reasons.items() if is_so]

    def _next_by_time(self) -> dict[str, str] | None:
        place = self._cursor.advance(self._last, self._floor())
        return None if place is None else {"lastTime": str(place)}

    def _note(self, chats: Sequence[Chat], new: frozenset[str]) -> None:
        floor = self._floor()
        times = [chat.last_time for chat in chats if chat.last_time is not None]
        self._last = [(t, name in new) for name, t in chats if t is not None]
        updated = sorted((t for t in times if t >= floor), reverse=True)
        if self.top is None:
            self._first = frozenset(chat.name for chat in chats)
            self.top = updated[min(len(updated) - 1, len(updated) // 4 + 1)] if updated else floor
            # A few old ones may be pinned.
            self.at_a_glance = (len(times) - len(updated)) * 4 > len(chats)
        elif any(name in new and (t is None or t >= floor) for name, t in chats):
            self.at_a_glance = False
        rising = sum(earlier < later for earlier, later in pairwise(times))
        # A few chats pinned to the top do not make the list unordered.
        self._unordered |= rising * 2 > MOST_PINNED and rising * 4 > len(times)

    def _ends_here(self, chats: Sequence[Chat]) -> bool:
        """Return whether the newest chat of a page is below the floor, and so are the rest."""
        times = [chat.last_time for chat in chats if chat.last_time is not None]
        return bool(times) and max(times) < self._floor() and not self._unordered

    def _note_repetition(self, names: frozenset[str]) -> None:
        """Note when the first page comes again in response to a query for older chats."""
        at = self._cursor.at
        newer = 0 if at is None else sum(place > at for place, _ in self._last)
        self._repeats |= newer > MOST_PINNED and names == self._first
