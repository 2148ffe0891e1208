"""Doctor's checks within the process, where they can be less patient than for a person."""

from collections.abc import Iterator

import pytest

from chatapp_tail.chatapp.api import Api
from chatapp_tail.chatapp.http import Http
from chatapp_tail.chatapp.secret import Secret
from chatapp_tail.chatapp.selection import Selection
from chatapp_tail.chatapp.tokens import StaticToken
from chatapp_tail.cli.check_result import CheckFailed
from chatapp_tail.cli.checks import DoctorChecks
from chatapp_tail.cli.connection_probe import ConnectionProbe
from chatapp_tail.errors import ExitStatus
from chatapp_tail.pusher.answers import AuthAnswer
from chatapp_tail.pusher.connection import Endpoint, Settings
from chatapp_tail.sandbox import Sandbox
from tests.conftest import TIMEOUT_SCALE


@pytest.fixture
def examined(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> Iterator[DoctorChecks]:
    monkeypatch.setattr(ConnectionProbe, "TIMEOUT", 1.5 * TIMEOUT_SCALE)
    http = Http(sandbox.api_url)
    api = Api(http, StaticToken(Secret(sandbox.token)))
    settings = Settings((Endpoint.parse(sandbox.ws_url),), sandbox.app_key, ())
    checks = DoctorChecks(settings, Selection(everything=True), api, http)
    yield checks
    if checks.probe:
        checks.probe.close()


def first_failure(checks: DoctorChecks) -> tuple[str, CheckFailed]:
    for name, check in checks.in_order():
        try:
            check()
        except CheckFailed as failed:
            return name, failed
    raise AssertionError("nothing failed")


@pytest.mark.parametrize(
    ("fault", "check"),
    [("mute", "app key"), ("withhold_confirmations", "subscription"), ("withhold_pongs", "ping")],
)
def test_server_that_is_silent(
    fault: str, check: str, examined: DoctorChecks, sandbox: Sandbox
) -> None:
    setattr(sandbox.faults, fault, True)
    name, failed = first_failure(examined)
    assert (name, failed.status) == (check, ExitStatus.UNREACHABLE)
    assert "-vv" not in failed.advice, "doctor has no such option"


def test_auth_that_fails(examined: DoctorChecks, sandbox: Sandbox) -> None:
    sandbox.faults.answer_auth(503)
    name, failed = first_failure(examined)
    assert (name, failed.status) == ("channel authorised", ExitStatus.UNREACHABLE)
    assert "503" in failed.detail, "what happened is known, and better than how long it took"


@pytest.mark.defect("U8")
def test_a_bug_ends_with_its_own_status(examined: DoctorChecks) -> None:
    def fail(socket_id: str, channel: str) -> AuthAnswer:
        raise ZeroDivisionError

    examined.api.authorise = fail  # type: ignore[method-assign]
    name, failed = first_failure(examined)
    assert (name, failed.status) == ("channel authorised", ExitStatus.BUG)
    assert "report" in failed.advice
