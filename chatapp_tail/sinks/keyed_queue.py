"""Deliveries that wait for a lane: those of one key one after the other, else the oldest first."""

from collections import deque
from heapq import heappop, heappush

from .delivery import Delivery


class KeyedQueue:
    """Of each key at most one delivery is ready or under way; the others stand behind it."""

    def __init__(self) -> None:
        self._followers: dict[str, deque[Delivery]] = {}
        """Key that is ready or under way -> its other deliveries."""
        self._ready: list[tuple[int, Delivery]] = []
        """A heap, by number."""

    def __len__(self) -> int:
        """How many deliveries are ready."""
        return len(self._ready)

    def add(self, delivery: Delivery) -> None:
        """Queue a delivery; numbers rise."""
        followers = self._followers.get(delivery.key)
        if followers is None:
            self._followers[delivery.key] = deque()
            heappush(self._ready, (delivery.number, delivery))
        else:
            followers.append(delivery)

    def next(self) -> Delivery | None:
        """Return the oldest delivery that is ready, which is under way from now on."""
        return heappop(self._ready)[1] if self._ready else None

    def settle(self, delivery: Delivery) -> None:
        """Note that a delivery is no longer under way; the next of its key is ready."""
        followers = self._followers[delivery.key]
        if followers:
            following = followers.popleft()
            heappush(self._ready, (following.number, following))
        else:
            del self._followers[delivery.key]
