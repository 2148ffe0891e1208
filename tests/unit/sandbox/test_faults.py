import math
from collections.abc import Callable

import pytest

from chatapp_tail.sandbox import Answer, Faults


def test_nothing_is_wrong_at_first() -> None:
    faults = Faults()
    assert faults.take_auth_answer() is None
    assert faults.take_upgrade_answer() is None
    assert not faults.mute


def test_a_scripted_answer_lasts_for_its_calls() -> None:
    faults = Faults()
    faults.answer_auth(500, "broken", {"X-Try": "1"}, calls=2)
    answers = [faults.take_auth_answer() for _ in range(3)]
    assert answers == [Answer(500, b"broken", {"X-Try": "1"})] * 2 + [None]


def test_without_calls_it_lasts_until_cleared() -> None:
    faults = Faults()
    faults.refuse_upgrades(503, retry_after=7)
    answers = [faults.take_upgrade_answer() for _ in range(3)]
    assert answers == [Answer(503, b"", {"Retry-After": "7"})] * 3
    faults.clear()
    assert faults.take_upgrade_answer() is None


def test_clear_switches_everything_off() -> None:
    faults = Faults(
        mute=True,
        hold_upgrades=True,
        withhold_confirmations=True,
        withhold_pongs=True,
        refuse_channels={"c": 403},
        auth_delay=1.0,
        auth_hangs=True,
        invalid_token_status=200,
        include_last_time=True,
        page_cap=5,
        hide_chat_times=True,
    )
    faults.drip_api("*", 1.0)
    faults.answer_auth(500)
    faults.answer_api("*", 500)
    faults.hang_api("*")
    faults.refuse_upgrades(500)
    faults.clear()
    fresh = Faults()
    fields = [name for name in Faults.__dataclass_fields__ if name != "_lock"]
    assert {f: getattr(faults, f) for f in fields} == {f: getattr(fresh, f) for f in fields}


def on(
    path: str, status: int, *, calls: int | None = None, one_in: int = 1
) -> Callable[[Faults], None]:
    return lambda faults: faults.answer_api(path, status, calls=calls, one_in=one_in)


API = {
    "only paths that match": (
        [on("/v1/*/messages", 500)],
        ["/v1/licenses", "/v1/chats/a%2Fb/messages", "/v1/messages", "/V1/x/messages"],
        [None, 500, None, None],
    ),
    "one after the other": (
        [on("/a", 500, calls=2), on("/a", 429, calls=1)],
        ["/a"] * 4,
        [500, 500, 429, None],
    ),
    "each second that matches": (
        [on("/a", 500, one_in=2, calls=2)],
        ["/a", "/b", "/a", "/b", "/a", "/a", "/a", "/a"],
        [None, None, 500, None, None, 500, None, None],
    ),
}


@pytest.mark.parametrize(("script", "paths", "statuses"), API.values(), ids=API)
def test_which_requests_are_hit(
    script: list[Callable[[Faults], None]], paths: list[str], statuses: list[int | None]
) -> None:
    faults = Faults()
    for add in script:
        add(faults)
    answers = [faults.take_api_answer(path) for path in paths]
    assert [fault.answer.status if fault else None for fault in answers] == statuses


def test_delays_are_used_up_too() -> None:
    faults = Faults()
    faults.delay_api("/a", 0.5, calls=1)
    faults.hang_api("/a", calls=1)
    assert [faults.take_api_delay("/a") for _ in range(3)] == [0.5, math.inf, 0.0]
