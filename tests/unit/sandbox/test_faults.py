import math

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


def api_statuses(faults: Faults, *paths: str) -> list[int | None]:
    answers = [faults.take_api_answer(path) for path in paths]
    return [fault.answer.status if fault else None for fault in answers]


def test_an_answer_is_for_the_paths_that_match() -> None:
    faults = Faults()
    faults.answer_api("/v1/*/messages", 500)
    paths = ("/v1/licenses", "/v1/chats/a%2Fb/messages", "/v1/messages", "/V1/x/messages")
    assert api_statuses(faults, *paths) == [None, 500, None, None]


def test_answers_for_one_path_follow_each_other() -> None:
    faults = Faults()
    faults.answer_api("/a", 500, calls=2)
    faults.answer_api("/a", 429, calls=1)
    assert api_statuses(faults, *["/a"] * 4) == [500, 500, 429, None]


def test_only_each_nth_matching_request_is_hit() -> None:
    faults = Faults()
    faults.answer_api("/a", 500, one_in=2, calls=2)
    paths = ("/a", "/b", "/a", "/b", "/a", "/a", "/a", "/a")
    assert api_statuses(faults, *paths) == [None, None, 500, None, None, 500, None, None]


def test_delays_are_used_up_too() -> None:
    faults = Faults()
    faults.delay_api("/a", 0.5, calls=1)
    faults.hang_api("/a", calls=1)
    assert [faults.take_api_delay("/a") for _ in range(3)] == [0.5, math.inf, 0.0]
