import hashlib
import hmac

import pytest

from chatapp_tail.sandbox.account import (
    MADE_UP_LICENSES,
    MADE_UP_TERMS,
    MADE_UP_TOKEN,
    Account,
    Terms,
    messenger_channel,
    parse_messenger_channel,
)

ACCOUNT = Account("Key", "secret", "token", {1229: ("telegram", "grWhatsApp")})


@pytest.mark.parametrize(
    "channel",
    [
        "private-v1.licenses.1229.messengers.telegram",
        "private-v1.licenses.1229.messengers.grWhatsApp",
        "private-v1.companies.2224",
        "private-v1.users.685",
        "private-v1.companies.2224.users.685",
    ],
)
def test_owns_the_channels_of_the_account(channel: str) -> None:
    assert ACCOUNT.owns(channel)


@pytest.mark.parametrize(
    "channel",
    [
        "private-v1.licenses.1230.messengers.telegram",
        "private-v1.licenses.1229.messengers.grwhatsapp",
        "private-v1.licenses.1229.messengers.telegram.more",
        "private-v1.licenses.1229",
        "private-v1.companies.2225",
        "private-v1.users.686",
        "private-v1.companies.2224.users.686",
        "news",
        "",
    ],
)
def test_owns_no_other_channel(channel: str) -> None:
    assert not ACCOUNT.owns(channel)


def test_signs_socket_and_channel_with_the_secret() -> None:
    digest = hmac.new(b"secret", b"1.2:private-x", hashlib.sha256).hexdigest()
    assert ACCOUNT.sign("1.2", "private-x") == f"Key:{digest}"


def test_messenger_channel_there_and_back() -> None:
    name = messenger_channel(1229, "caWhatsApp")
    assert name == "private-v1.licenses.1229.messengers.caWhatsApp"
    assert parse_messenger_channel(name) == (1229, "caWhatsApp")
    assert parse_messenger_channel("private-v1.companies.1") is None


def test_the_made_up_token_looks_like_a_bcrypt_hash() -> None:
    assert len(MADE_UP_TOKEN) == 60
    assert MADE_UP_TOKEN.startswith("$2y$10$")
    assert {"/", "."} <= set(MADE_UP_TOKEN)


def test_the_made_up_world_has_licence_1229() -> None:
    assert MADE_UP_LICENSES[1229] == ("telegram", "grWhatsApp")


def test_secrets_stay_out_of_the_repr() -> None:
    account = Account("Key", "s3cret", "t0ken", {})
    assert "s3cret" not in repr(account)
    assert "t0ken" not in repr(account)


def test_live_channels_are_those_of_active_licences() -> None:
    terms = {2: Terms(active=False)}
    account = Account("Key", "secret", "token", {1: ("a", "b"), 2: ("c",)}, terms=terms)
    assert account.live_channels() == {messenger_channel(1, "a"), messenger_channel(1, "b")}
    assert account.owns(messenger_channel(2, "c"))


def test_the_made_up_terms_are_of_made_up_licences() -> None:
    assert set(MADE_UP_TERMS) < set(MADE_UP_LICENSES)
    assert [number for number, terms in MADE_UP_TERMS.items() if not terms.active] == [1402]
