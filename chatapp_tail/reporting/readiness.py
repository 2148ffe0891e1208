"""Whether a tail was ever ready, and what last prevented it."""

from ..items import Connected, Connecting, ConnectionWarning, Gap, Lost, Ready, Refused, Status
from .summary import format_duration


class Readiness:
    """Learns from every status change."""

    def __init__(self) -> None:
        self.reached = False
        """Whether all channels were ever confirmed or refused."""
        self.obstacle = ""
        """The last reason for not being ready."""

    def explain(self, seconds: float) -> str:
        """Return why the tail was not ready after `seconds`."""
        obstacle = f": {self.obstacle}" if self.obstacle else ""
        return f"never ready within {format_duration(seconds)}{obstacle}"

    def note(self, status: Status | Gap) -> None:
        """Take a status change into account."""
        match status:
            case Ready():
                self.reached = True
            case Connecting(_, url) if not self.obstacle:
                self.obstacle = f"{url}: no answer"
            case Connected():
                self.obstacle = "the server has not confirmed every channel"
            case ConnectionWarning(_, reason, None) | Lost(_, reason):
                self.obstacle = reason
            case ConnectionWarning(_, reason, channel) | Refused(_, channel, reason):
                self.obstacle = f"{channel}: {reason}"
