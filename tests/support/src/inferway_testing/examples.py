"""How many examples hypothesis tries: fewer in `make test-fast`."""

from __future__ import annotations

from hypothesis import HealthCheck, settings

FAST = 20
PROFILE = "fast"
USUAL = "usual"

# A busy machine makes anything slow: its time does not judge a strategy or a test.
_UNTIMED = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile(USUAL, _UNTIMED)
settings.register_profile(PROFILE, _UNTIMED, max_examples=FAST)


def examples(count: int) -> int:
    """Return `count`, and at most `FAST` in the profile of that name: for `settings(max_examples=...)`."""
    return min(count, FAST) if settings.get_current_profile_name() == PROFILE else count
