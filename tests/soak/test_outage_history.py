"""Five seconds of outage; `python -m tests.soak.resume --outage 60` is a longer one."""

import pytest

from .outage_history import LOST, lose, table_of_outage, violations_of_outage

SECONDS = 5.0
CHANNELS = 3
"""Each asks for a signature when the link comes back, at once."""


@pytest.mark.parametrize(
    ("stopped", "latency", "per_second"),
    [(False, 0.0, None), (True, 0.0, None), (False, 0.0, 10 + CHANNELS), (False, 0.15, None)],
    ids=["sockets refused", "server stopped", "ten a second and the signatures", "slow API"],
)
def test_all_that_was_published_in_an_outage_comes_back_in_order(
    *, stopped: bool, latency: float, per_second: int | None
) -> None:
    outage = lose(SECONDS, stopped=stopped, latency=latency, per_second=per_second)
    print(table_of_outage(outage))
    assert not violations_of_outage(outage)
    assert outage.sources.count("backfill") >= LOST
