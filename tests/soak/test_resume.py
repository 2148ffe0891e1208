"""The kills in their short form; `python -m tests.soak.resume` is the long one."""

from pathlib import Path

import pytest

from chatapp_tail.sandbox import Sandbox
from tests.conftest import TIMEOUT_SCALE

from .numbered import Messages, accounts_of
from .resume import LINES, STDOUTS, Plan, Tails, soak, table, violations
from .shared_output import PipeOutput

KILLS = 6
CHATS = 8
"""Fewer than in the long form, so that history is read sooner."""
SEED = 4


@pytest.mark.timeout(150)
@pytest.mark.parametrize("stdout", STDOUTS)
def test_a_resumed_output_is_whole_whatever_is_killed(stdout: str) -> None:
    result = soak(Plan(stdout, KILLS, SEED, CHATS))
    print(table(result))
    assert not violations(result), result.stderr
    assert result.answers[500], "no call for history failed"
    assert result.cuts, "no socket was cut"
    assert any(run.in_history for run in result.runs), "history was never read amid a kill"


def test_a_kill_amid_what_since_asks_for_loses_none_of_it(tmp_path: Path) -> None:
    before, chats, soon = 200, 10, 15.0 * TIMEOUT_SCALE
    with Sandbox(licenses=accounts_of(LINES)) as sandbox, PipeOutput() as output:
        messages = Messages(sandbox, LINES, chats)
        for number in range(before):
            messages.publish(number % chats, [100])
        sandbox.faults.delay_api("*/messages", 0.5)
        with Tails(sandbox, output, messages, tmp_path) as tails:
            tails.start("killed", "--since", "1h")
            sandbox.wait_for(lambda sandbox: sandbox.api_requests("*/messages") > chats / 2, soon)
            tails.end(kill=True)
            sandbox.faults.clear()
            tails.start("last", "--since", "1h")
            assert output.wait_whole(before, soon), tails.stderr
            tails.end(kill=False)
