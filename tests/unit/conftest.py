"""Properties run without a deadline of their own (slow machines) and keep nothing on disk."""

from hypothesis import HealthCheck, settings

settings.register_profile(
    "unit", deadline=None, database=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("unit")
