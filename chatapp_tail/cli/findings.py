"""What the checks of `doctor` find."""

from collections.abc import Callable
from dataclasses import dataclass

from ..errors import ExitStatus


class CheckFailed(Exception):
    """`advice` is the next step, `status` what a tail would end with; DONE where it would go on."""

    def __init__(self, found: str, advice: str, status: ExitStatus) -> None:
        super().__init__(found)
        self.found = found
        self.advice = advice
        self.status = status


Check = Callable[[], str]
"""Returns what it found, or raises `CheckFailed`."""


@dataclass(frozen=True, slots=True)
class CheckResult:
    """One line of the report; `seconds` is how long the check took."""

    check: str
    ok: bool
    found: str
    seconds: float
    advice: str = ""
    status: ExitStatus = ExitStatus.DONE

    @property
    def ends(self) -> bool:
        """Whether a tail would end with it; otherwise what is not `ok` is a warning."""
        return self.status is not ExitStatus.DONE


def fails_with(found: str, advice: str, status: ExitStatus = ExitStatus.DONE) -> Check:
    """Return a check of what is known already."""

    def check() -> str:
        raise CheckFailed(found, advice, status)

    return check
