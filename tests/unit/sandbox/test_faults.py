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
    )
    faults.answer_auth(500)
    faults.refuse_upgrades(500)
    faults.clear()
    fresh = Faults()
    fields = [name for name in Faults.__dataclass_fields__ if name != "_lock"]
    assert {f: getattr(faults, f) for f in fields} == {f: getattr(fresh, f) for f in fields}
