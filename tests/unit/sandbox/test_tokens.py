import time
from typing import Any

import pytest
import requests

from chatapp_tail.sandbox import Sandbox, TokenChecked, TokenMade

from .client import TELEGRAM, TEST_TIMEOUT, WAIT, ask_api, ask_auth, client

pytestmark = pytest.mark.timeout(TEST_TIMEOUT)

INVALID = {
    "success": False,
    "error": {"code": "ApiInvalidTokenError", "message": "Invalid Token"},
}


def credentials(sandbox: Sandbox) -> dict[str, str]:
    return {"email": sandbox.email, "password": sandbox.password, "appId": sandbox.app_id}


def log_in(sandbox: Sandbox, **changes: str) -> requests.Response:
    body = credentials(sandbox) | changes
    return requests.post(f"{sandbox.api_url}/v1/tokens", json=body, timeout=WAIT)


def pair(answer: requests.Response) -> dict[str, Any]:
    assert answer.status_code == 200, answer.text
    assert answer.json()["success"] is True
    data = answer.json()["data"]
    assert isinstance(data, dict)
    return data


def refresh(sandbox: Sandbox, refresh_token: str) -> requests.Response:
    headers = {"Refresh": refresh_token}
    return requests.post(f"{sandbox.api_url}/v1/tokens/refresh", headers=headers, timeout=WAIT)


def check(sandbox: Sandbox, token: str) -> requests.Response:
    return ask_api(sandbox, "/v1/tokens/check", token=token)


def test_the_credentials_are_made_up(sandbox: Sandbox) -> None:
    assert sandbox.email.endswith("@example.invalid")
    assert sandbox.password
    assert sandbox.app_id.startswith("app_")
    assert sandbox.password not in repr(sandbox.account)


def test_a_login_gets_a_pair(sandbox: Sandbox) -> None:
    before = int(time.time())
    data = pair(log_in(sandbox))
    after = int(time.time())
    assert set(data) == {
        *("cabinetUserId", "accessToken", "accessTokenEndTime"),
        *("refreshToken", "refreshTokenEndTime"),
    }
    assert data["cabinetUserId"] == sandbox.account.user_id
    assert before <= data["accessTokenEndTime"] - 24 * 3600 <= after
    assert before <= data["refreshTokenEndTime"] - 14 * 24 * 3600 <= after
    (entry,) = sandbox.journal.of(TokenMade)
    assert (entry.email, entry.app_id) == (sandbox.email, sandbox.app_id)


def test_the_access_token_opens_licences_and_channels(sandbox: Sandbox) -> None:
    sandbox.void_token()
    token = pair(log_in(sandbox))["accessToken"]
    assert ask_api(sandbox, "/v1/licenses", token=token).status_code == 200
    with client(sandbox) as opened:
        assert ask_auth(sandbox, opened.socket_id, TELEGRAM, token=token).status_code == 200
        assert ask_auth(sandbox, opened.socket_id, TELEGRAM).status_code == 401


@pytest.mark.parametrize("field", ["email", "password", "appId"])
def test_wrong_credentials(sandbox: Sandbox, field: str) -> None:
    answer = log_in(sandbox, **{field: "wrong"})
    assert answer.status_code == 401
    assert answer.json()["success"] is False
    assert answer.json()["error"]["code"] == "ApiInvalidCredentialsError"
    assert sandbox.tokens_made == 0


@pytest.mark.parametrize("field", ["email", "password", "appId"])
def test_missing_credentials(sandbox: Sandbox, field: str) -> None:
    assert log_in(sandbox, **{field: ""}).status_code == 422


def test_a_refresh_gets_a_new_pair_and_voids_the_old_one(sandbox: Sandbox) -> None:
    old = pair(log_in(sandbox))
    new = pair(refresh(sandbox, old["refreshToken"]))
    assert set(new) == set(old)
    assert new["accessToken"] != old["accessToken"]
    assert check(sandbox, new["accessToken"]).json() == {"success": True}
    assert check(sandbox, old["accessToken"]).status_code == 401
    again = refresh(sandbox, old["refreshToken"])
    assert (again.status_code, again.json()) == (401, INVALID)
    assert (sandbox.tokens_made, sandbox.tokens_refreshed) == (1, 1)


def test_checks_say_whether_a_token_is_good(sandbox: Sandbox) -> None:
    assert check(sandbox, sandbox.token).json() == {"success": True}
    refused = check(sandbox, "wrong")
    assert (refused.status_code, refused.json()) == (401, INVALID)
    assert [entry.valid for entry in sandbox.journal.of(TokenChecked)] == [True, False]
    assert sandbox.tokens_checked == 2


def test_a_refused_token_may_come_with_status_200(sandbox: Sandbox) -> None:
    sandbox.faults.invalid_token_status = 200
    answers = [
        check(sandbox, "wrong"),
        ask_api(sandbox, "/v1/licenses", token="wrong"),
        refresh(sandbox, "wrong"),
        ask_auth(sandbox, "1.1", TELEGRAM, token="wrong"),
    ]
    assert [(answer.status_code, answer.json()) for answer in answers] == [(200, INVALID)] * 4


def test_more_logins_than_a_day_may_have() -> None:
    with Sandbox(tokens_per_day=2) as sandbox:
        statuses = [log_in(sandbox).status_code for _ in range(3)]
        assert log_in(sandbox, password="wrong").status_code == 401
    assert statuses == [200, 200, 429]
    assert sandbox.tokens_made == 2


def test_tokens_end_after_the_lifetimes_given() -> None:
    with Sandbox(access_lifetime=0, refresh_lifetime=0) as sandbox:
        data = pair(log_in(sandbox))
        assert data["accessTokenEndTime"] <= time.time()
        assert check(sandbox, data["accessToken"]).status_code == 401
        assert refresh(sandbox, data["refreshToken"]).status_code == 401


def test_tokens_can_be_ended_at_once(sandbox: Sandbox) -> None:
    data = pair(log_in(sandbox))
    sandbox.expire_access_tokens()
    assert check(sandbox, data["accessToken"]).status_code == 401
    assert check(sandbox, sandbox.token).status_code == 200
    data = pair(refresh(sandbox, data["refreshToken"]))
    sandbox.expire_refresh_tokens()
    assert check(sandbox, data["accessToken"]).status_code == 200
    assert refresh(sandbox, data["refreshToken"]).status_code == 401


def test_tokens_outlast_a_restart() -> None:
    sandbox = Sandbox()
    with sandbox:
        token = pair(log_in(sandbox))["accessToken"]
    with sandbox:
        assert check(sandbox, token).status_code == 200


def test_a_refresh_whose_answer_is_lost_has_voided_the_pair(sandbox: Sandbox) -> None:
    data = pair(log_in(sandbox))
    sandbox.faults.answer_api("/v1/tokens/refresh", 0, calls=1, processed=True)
    with pytest.raises(requests.ConnectionError):
        refresh(sandbox, data["refreshToken"])
    assert refresh(sandbox, data["refreshToken"]).status_code == 401
    assert check(sandbox, data["accessToken"]).status_code == 401
