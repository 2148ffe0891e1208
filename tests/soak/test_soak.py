"""The fault run in its short form; `python -m tests.soak` is the long one."""

import pytest

from .journal import SHORT
from .run import Plan, losses_in_silence, notices, soak, table, violations

SECONDS = 60.0
SEED = 88
"""Begins with a stall that has to be noticed, then what loses events beside a careless gap."""
KINDS = ("cut", "delay-cut", "freeze-cut", "half-close-server", "kill", "pause", "stall", "torn")
"""One of each sort: the back-off leaves a minute no time for more."""


@pytest.mark.timeout(240)
def test_every_promise_is_kept_while_everything_breaks(node: str) -> None:
    result = soak(Plan(SECONDS, SEED, SHORT, KINDS, stable_pauses=False))
    print(table(result))
    assert not violations(result), losses_in_silence(result)
    assert len(result.faults) >= 5
    assert notices(result)
    assert result.proof.published > 1000
    assert result.gaps
