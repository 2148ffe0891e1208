"""Properties run without a deadline of their own (slow machines) and keep nothing on disk."""

from hypothesis import HealthCheck, settings

from chatapp_tail.reporting.summary import Summary

settings.register_profile(
    "unit", deadline=None, database=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("unit")


def counted(summary: Summary) -> dict[tuple[str, str | None], int]:
    """How many records of each event and channel were counted."""
    return {key: tally.records for key, tally in summary.tallies.items()}
