"""How patient the tail is in a run."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Timings:
    """The program's own options, in seconds."""

    ping_interval: float
    pong_timeout: float
    connect_timeout: float

    @property
    def notice(self) -> float:
        """Within this time a dead line must be noticed."""
        return self.ping_interval + self.pong_timeout

    @property
    def arguments(self) -> list[str]:
        """What the command line takes."""
        return [
            *("--ping-interval", f"{self.ping_interval:g}s"),
            *("--pong-timeout", f"{self.pong_timeout:g}s"),
            *("--connect-timeout", f"{self.connect_timeout:g}s"),
        ]


SHORT = Timings(1.0, 1.0, 2.0)
DEFAULTS = Timings(15.0, 10.0, 10.0)
