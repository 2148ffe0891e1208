import re
from concurrent.futures import ThreadPoolExecutor

import pytest

from chatapp_tail.sandbox.token_issuer import DAY, TokenIssuer, TokenPair


class Clock:
    now = 1_637_319_282.0

    def __call__(self) -> float:
        return self.now


def issuer(per_day: int = 100, clock: Clock | None = None) -> TokenIssuer:
    return TokenIssuer(
        "fixed",
        access_lifetime=2,
        refresh_lifetime=10,
        per_day=per_day,
        clock=clock or Clock(),
    )


def made(tokens: TokenIssuer) -> TokenPair:
    pair = tokens.make()
    assert pair is not None
    return pair


def test_tokens_look_like_bcrypt_hashes_and_differ() -> None:
    tokens = issuer()
    pairs = [made(tokens) for _ in range(20)]
    texts = [text for pair in pairs for text in (pair.access, pair.refresh)]
    assert all(re.fullmatch(r"\$2y\$10\$[A-Za-z0-9./]{53}", text) for text in texts)
    assert len(set(texts)) == 40
    assert not any(text in repr(pairs) for text in texts)


def test_an_access_token_is_good_for_its_lifetime() -> None:
    clock = Clock()
    tokens = issuer(clock=clock)
    pair = made(tokens)
    assert (pair.access_end, pair.refresh_end) == (clock.now + 2, clock.now + 10)
    clock.now += 1.9
    assert tokens.is_valid(pair.access)
    clock.now += 0.1
    assert not tokens.is_valid(pair.access)


def test_a_refresh_voids_the_old_pair_at_once() -> None:
    tokens = issuer()
    old = made(tokens)
    new = tokens.refresh(old.refresh)
    assert new is not None
    assert tokens.is_valid(new.access)
    assert not tokens.is_valid(old.access)
    assert tokens.refresh(old.refresh) is None
    assert tokens.is_valid(new.access)


def test_a_refresh_token_is_good_for_its_lifetime() -> None:
    clock = Clock()
    tokens = issuer(clock=clock)
    pair = made(tokens)
    clock.now += 9.9
    newer = tokens.refresh(pair.refresh)
    assert newer is not None
    clock.now += 10
    assert tokens.refresh(newer.refresh) is None


@pytest.mark.parametrize("token", [None, "", "unknown", "fixed"])
def test_nothing_else_can_be_refreshed(token: str | None) -> None:
    assert issuer().refresh(token) is None


def test_of_many_refreshes_at_once_one_wins() -> None:
    tokens = issuer()
    pair = made(tokens)
    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(tokens.refresh, [pair.refresh] * 64))
    assert len([answer for answer in answers if answer]) == 1


def test_two_logins_do_not_disturb_each_other() -> None:
    tokens = issuer()
    first, second = made(tokens), made(tokens)
    tokens.refresh(first.refresh)
    assert tokens.is_valid(second.access)


def test_the_quota_is_of_the_last_24_hours_and_for_logins_alone() -> None:
    clock = Clock()
    tokens = issuer(per_day=2, clock=clock)
    pair = made(tokens)
    clock.now += 1
    made(tokens)
    assert tokens.make() is None
    assert tokens.refresh(pair.refresh) is not None
    clock.now += DAY - 1
    assert tokens.make() is not None
    assert tokens.make() is None


def test_the_fixed_token_is_good_until_voided() -> None:
    clock = Clock()
    tokens = issuer(clock=clock)
    clock.now += 1000 * DAY
    tokens.expire_access_tokens()
    assert tokens.is_valid("fixed")
    tokens.void_fixed()
    assert not tokens.is_valid("fixed")
    assert not tokens.is_valid(None)


def test_expired_access_tokens_can_be_refreshed() -> None:
    tokens = issuer()
    pair = made(tokens)
    tokens.expire_access_tokens()
    assert not tokens.is_valid(pair.access)
    new = tokens.refresh(pair.refresh)
    assert new is not None
    assert tokens.is_valid(new.access)


def test_expired_refresh_tokens_leave_their_access_tokens_good() -> None:
    tokens = issuer()
    pair = made(tokens)
    tokens.expire_refresh_tokens()
    assert tokens.is_valid(pair.access)
    assert tokens.refresh(pair.refresh) is None
