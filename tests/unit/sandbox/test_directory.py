import re
from typing import Any

import pytest

from chatapp_tail.sandbox import Sandbox, messenger_channel

from .client import TEST_TIMEOUT, ask_api, ask_auth, client

pytestmark = pytest.mark.timeout(TEST_TIMEOUT)


def licenses(sandbox: Sandbox) -> dict[int, dict[str, Any]]:
    answer = ask_api(sandbox, "/v1/licenses").json()
    assert answer["success"] is True
    assert isinstance(answer["data"], list)
    return {item["licenseId"]: item for item in answer["data"]}


def test_one_licence_to_the_letter(sandbox: Sandbox) -> None:
    assert licenses(sandbox)[1229] == {
        "licenseId": 1229,
        "licenseTo": 4_102_444_800,
        "licenseName": "Demo Shop",
        "active": True,
        "status": {"id": 4, "code": "paid"},
        "companies": [2224],
        "messenger": [
            {"type": "telegram", "name": "Telegram", "info": {"phone": "7000000229"}},
            {"type": "grWhatsApp", "name": "[WEB] WhatsApp", "info": {"phone": "7000000229"}},
        ],
        "access": [{"userId": "685", "email": "demo@example.invalid"}],
    }


def test_all_licences_with_their_messengers(sandbox: Sandbox) -> None:
    listed = {
        number: tuple(messenger["type"] for messenger in item["messenger"])
        for number, item in licenses(sandbox).items()
    }
    assert listed == sandbox.licenses


def test_some_have_no_name_some_no_phone_and_one_has_ended(sandbox: Sandbox) -> None:
    listed = licenses(sandbox)
    assert listed[1230]["licenseName"] is None
    assert [m["info"]["phone"] for m in listed[1315]["messenger"]] == [None] * 3
    assert [number for number, item in listed.items() if not item["active"]] == [1402]
    assert listed[1402]["licenseTo"] < 1_800_000_000
    assert listed[1402]["status"]["code"] == "expired"
    phones = [m["info"]["phone"] for item in listed.values() for m in item["messenger"]]
    assert all(re.fullmatch(r"7000000\d{3}", phone) for phone in phones if phone)


def test_licences_come_and_go(sandbox: Sandbox) -> None:
    sandbox.add_license(5, ["max"], name="New")
    sandbox.remove_license(1229)
    listed = licenses(sandbox)
    assert 1229 not in listed
    assert (listed[5]["licenseName"], listed[5]["messenger"][0]["type"]) == ("New", "max")
    with client(sandbox) as opened:
        new, old = messenger_channel(5, "max"), messenger_channel(1229, "telegram")
        assert ask_auth(sandbox, opened.socket_id, new).status_code == 200
        assert ask_auth(sandbox, opened.socket_id, old).status_code == 403


def test_a_licence_can_end(sandbox: Sandbox) -> None:
    sandbox.add_license(1229, sandbox.licenses[1229], active=False)
    assert licenses(sandbox)[1229]["active"] is False
    assert len(licenses(sandbox)) == 4


def test_a_licence_nobody_has_cannot_be_removed(sandbox: Sandbox) -> None:
    with pytest.raises(KeyError):
        sandbox.remove_license(1)


def test_own_licences_have_no_made_up_terms() -> None:
    with Sandbox(licenses={1402: ("telegram", "somethingNew")}) as sandbox:
        (item,) = licenses(sandbox).values()
    assert (item["active"], item["licenseName"]) == (True, None)
    assert item["messenger"][1]["name"] == "somethingNew"


def test_companies(sandbox: Sandbox) -> None:
    answer = ask_api(sandbox, "/v1/companies").json()
    assert answer["success"] is True
    assert [item["companyId"] for item in answer["data"]["items"]] == [2224]
