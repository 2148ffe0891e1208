"""The results of `doctor`'s checks."""

from collections.abc import Callable
from dataclasses import dataclass

from ..errors import ExitStatus


class CheckFailed(Exception):
    """`advice` is the next step, `status` what a tail would end with; DONE if it would continue."""

    def __init__(self, detail: str, advice: str, status: ExitStatus) -> None:
        super().__init__(detail)
        self.detail = detail
        self.advice = advice
        self.status = status


Check = Callable[[], str]
"""Returns what it observed, or raises `CheckFailed`."""


@dataclass(frozen=True, slots=True)
class CheckResult:
    """One line of the report; `seconds` is how long the check took."""

    check: str
    ok: bool
    detail: str
    seconds: float
    advice: str = ""
    status: ExitStatus = ExitStatus.DONE

    @property
    def ends(self) -> bool:
        """Whether a tail would end with it; otherwise what is not `ok` is a warning."""
        return self.status is not ExitStatus.DONE


def fails_with(detail: str, advice: str, status: ExitStatus = ExitStatus.DONE) -> Check:
    """Return a check that fails with what is already known."""

    def check() -> str:
        raise CheckFailed(detail, advice, status)

    return check
