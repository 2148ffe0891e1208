"""What close and error codes mean."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatapp_tail.items import StopCause
from chatapp_tail.pusher.backoff import Retry
from chatapp_tail.pusher.close_codes import classify

STOP = (None, StopCause.SERVER_REFUSED)
CODES = {
    **dict.fromkeys([*range(1000, 1010), *range(1011, 1016)], (Retry.BACK_OFF, None)),
    **dict.fromkeys([1010, 4001, 4003, 4004, 4005, 4006, 4007, 4008, 4009, 4050, 4099], STOP),
    **dict.fromkeys([4100, 4101, 4199], (Retry.OVER_CAPACITY, None)),
    **dict.fromkeys([4200, 4201, 4202, 4299], (Retry.IMMEDIATE, None)),
    **dict.fromkeys([4000, 4300, 4301, 4399, 4400, 4999], (Retry.BACK_OFF, None)),
    **dict.fromkeys([0, 1, 999, 1016, 2999, 3000, 3999, 5000, 65535, -1], (Retry.BACK_OFF, None)),
}


@pytest.mark.parametrize(("code", "expected"), CODES.items())
def test_what_a_code_means(code: int, expected: tuple[Retry | None, StopCause | None]) -> None:
    ended = classify(code, "", established=False)
    assert (ended.retry, ended.stop) == expected
    assert ended.code == code
    assert str(code) in ended.reason
    assert ended.needs_tls == (code == 4000)


@pytest.mark.parametrize("code", CODES)
def test_4009_alone_means_something_else_on_an_established_link(code: int) -> None:
    ended = classify(code, "", established=True)
    expected = (Retry.BACK_OFF, None) if code == 4009 else CODES[code]
    assert (ended.retry, ended.stop) == expected


@given(st.integers(), st.text(), st.booleans())
def test_any_code_is_retry_or_stop(code: int, reason: str, established: bool) -> None:
    ended = classify(code, reason, established=established)
    assert (ended.retry is None) != (ended.stop is None)
    assert reason in ended.reason
