"""Order within a key, and no waiting for other keys."""

import random

from chatapp_tail.sinks.delivery import Delivery
from chatapp_tail.sinks.keyed_queue import KeyedQueue


def delivery(number: int, key: str) -> Delivery:
    return Delivery(number, key, [], b"")


def test_one_of_each_key_at_a_time_the_oldest_first() -> None:
    queue = KeyedQueue()
    first, second, other = delivery(1, "a"), delivery(2, "a"), delivery(3, "b")
    for added in (first, second, other):
        queue.add(added)
    assert len(queue) == 2
    assert (queue.next(), queue.next(), queue.next()) == (first, other, None)
    queue.settle(first)
    assert queue.next() is second
    queue.settle(other)
    assert queue.next() is None
    queue.settle(second)
    queue.add(first)
    assert queue.next() is first


def test_in_any_interleaving_each_key_keeps_its_order() -> None:
    drawn = random.Random(1)
    for _ in range(100):
        queue, done = KeyedQueue(), []
        waiting = [delivery(number, drawn.choice("abc")) for number in range(40)]
        under_way: list[Delivery] = []
        while waiting or under_way or len(queue):
            match drawn.randrange(3):
                case 0 if waiting:
                    queue.add(waiting.pop(0))
                case 1 if taken := queue.next():
                    assert taken.key not in [other.key for other in under_way]
                    under_way.append(taken)
                case 2 if under_way:
                    settled = under_way.pop(drawn.randrange(len(under_way)))
                    queue.settle(settled)
                    done.append(settled)
        for key in "abc":
            numbers = [settled.number for settled in done if settled.key == key]
            assert numbers == sorted(numbers)
        assert len(done) == 40
