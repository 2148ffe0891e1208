"""The soak of two hosts, in its short form, and its comparison."""

from collections import Counter

import pytest

from tests.nats_servers import BINARIES

from .two_hosts import Plan, compare, soak, table


@pytest.mark.timeout(180)
@pytest.mark.skipif(not BINARIES, reason="nats-server is not installed")
def test_a_short_run_has_every_event_once() -> None:
    result = soak(Plan(kills=3, seed=1, server_kills=1))

    assert result.published > 300
    assert result.is_whole, table(result)


def test_what_is_missing_doubled_or_out_of_order_is_found() -> None:
    published = [("message", f"c {number}") for number in range(5)]
    published += [("chatTag", "c 1")] * 2
    found = [published[1], published[0], published[2], published[2], published[4], published[5]]

    result = compare(published, found)

    assert result.missing == Counter([("message", "c 3"), ("chatTag", "c 1")])
    assert result.doubled == Counter([("message", "c 2")])
    assert result.out_of_order == [("message", "c 0")]
    assert not result.is_whole
