"""What is published and not acknowledged: in order, and published again after an error."""

from collections import deque
from collections.abc import Callable, Iterator

from .chain import Chain, Publication, Verdict
from .delivery import Delivery

Given = Delivery | str
"""A delivery of one record, or a channel that was confirmed on a new link."""


class Entry:
    """A delivery in the window.

    `number` is that of its last attempt, 0 before the first. `given` and `began`, of the last
    attempt, are monotonic, `first_attempt` in wall-clock nanoseconds; the caller sets them.
    """

    __slots__ = (
        "alone",
        "answer",
        "attempts",
        "began",
        "delivery",
        "first_attempt",
        "given",
        "number",
        "publication",
    )

    def __init__(self, delivery: Delivery, given: float) -> None:
        self.given = given
        self.delivery = delivery
        self.publication = Publication(delivery.records[0])
        self.alone = False
        self.answer: Answer | None = None
        """None until it is acknowledged or needs no acknowledgement."""
        self.number = 0
        self.attempts = 0
        self.began = 0.0
        self.first_attempt = 0


class Answer:
    """What is known of an entry; `sequence` is 0 for one that is not published."""

    __slots__ = ("duplicate", "reason", "sequence")

    def __init__(self, sequence: int, *, duplicate: bool = False, reason: str = "") -> None:
        self.sequence = sequence
        self.duplicate = duplicate
        self.reason = reason
        """Why it is refused, empty if it is not."""

    @property
    def text(self) -> str:
        """What the stream said, in two words."""
        if not self.sequence:
            return "in the stream already"
        return f"{'duplicate of' if self.duplicate else 'stored as'} {self.sequence}"


_DROPPED = Answer(0, duplicate=True)


class PublishWindow:
    """At most `size` entries without an answer, published in order (go-back-N).

    Answers may come in any order and count from the oldest on. After an error everything without
    an answer is published again, under the same keys.
    """

    def __init__(self, chain: Chain, size: int) -> None:
        self._chain = chain
        self._size = size
        self._waiting: deque[Entry | str] = deque()
        """In order; a channel's name stands for its confirmation on a new link."""
        self._published: deque[Entry] = deque()
        """Before all that waits; the oldest has no answer."""
        self._by_number: dict[int, Entry] = {}
        """Attempts that may be acknowledged."""
        self._number = 0
        self._done: list[Entry] = []

    def give(self, delivery: Delivery, now: float = 0.0) -> None:
        """Queue a delivery of one record."""
        self._waiting.append(Entry(delivery, now))

    def relink(self, channel: str) -> None:
        """Note that what is given from now on of a channel came over a new link."""
        self._waiting.append(channel)

    @property
    def oldest(self) -> Entry | None:
        """The first entry without an acknowledgement, None if nothing is under way."""
        return self._published[0] if self._published else None

    def __bool__(self) -> bool:
        """Whether anything is given and not done."""
        return bool(self._published or self._waiting)

    def peek(self) -> Entry | None:
        """Return the next entry that was never published, if it is next."""
        while self._waiting and isinstance(first := self._waiting[0], str):
            self._waiting.popleft()
            self._chain.relink(first)
        entry = self._waiting[0] if self._waiting else None
        return entry if isinstance(entry, Entry) and not entry.publication.key else None

    def entries(self, may_offer: Callable[[Entry], bool] = lambda _: True) -> Iterator[Entry]:
        """Yield the entries to publish now; each has its number and its key.

        `may_offer` is asked about each that was never published.
        """
        while len(self._by_number) < self._size and (entry := self._next(may_offer)):
            yield entry

    def _next(self, may_offer: Callable[[Entry], bool]) -> Entry | None:
        """Return the next entry to publish, None while that has to wait."""
        while self._waiting:
            self.peek()  # takes what stands before the entry
            if not self._waiting or self._is_alone():
                return None
            entry = self._waiting[0]
            assert isinstance(entry, Entry)
            if not entry.publication.key and not (may_offer(entry) and self._offer(entry)):
                return None
            self._waiting.popleft()
            self._published.append(entry)
            if entry.answer is None:
                return self._numbered(entry)
            self._settle()
        return None

    def _is_alone(self) -> bool:
        last = self._published[-1] if self._published else None
        return last is not None and last.alone and last.answer is None

    def _offer(self, entry: Entry) -> bool:
        """Have the chain give an entry its key; return False while it has to wait."""
        verdict = self._chain.offer(entry.publication)
        if verdict is Verdict.DROP:
            entry.answer = _DROPPED
        entry.alone = verdict is Verdict.PUBLISH_ALONE
        return verdict is not Verdict.WAIT

    def _numbered(self, entry: Entry) -> Entry:
        self._number += 1
        entry.number = self._number
        entry.attempts += 1
        self._by_number[entry.number] = entry
        return entry

    def acknowledge(self, number: int, sequence: int, *, duplicate: bool) -> None:
        """Take the stream's answer to an attempt; that to one before a `rewind` is ignored."""
        if entry := self._by_number.pop(number, None):
            entry.answer = Answer(sequence, duplicate=duplicate)
            self._settle()

    def refuse(self, number: int, reason: str) -> None:
        """Give an entry up."""
        if entry := self._by_number.pop(number, None):
            entry.answer = Answer(0, reason=reason)
            self._settle()

    def rewind(self) -> None:
        """Have everything without an answer published again, in order."""
        self._by_number.clear()
        self._waiting.extendleft(reversed(self._published))
        self._published.clear()

    def done(self) -> list[Entry]:
        """Return the entries that are done since the last call, oldest first."""
        done, self._done = self._done, []
        return done

    def _settle(self) -> None:
        while self._published and (answer := self._published[0].answer):
            entry = self._published[0]
            if answer.reason:
                self._chain.withdraw(entry.publication)
            elif answer.sequence and not self._chain.acknowledge(
                entry.publication, answer.sequence, duplicate=answer.duplicate
            ):
                entry.answer = None
                self.rewind()
                return
            self._done.append(self._published.popleft())
