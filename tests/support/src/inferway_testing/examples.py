"""How many examples hypothesis tries: fewer in `make test-fast`."""

from __future__ import annotations

from hypothesis import settings

FAST = 20
PROFILE = "fast"

settings.register_profile(PROFILE, max_examples=FAST, deadline=None)


def examples(count: int) -> int:
    """Return `count`, and at most `FAST` in the profile of that name: for `settings(max_examples=...)`."""
    return min(count, FAST) if settings.get_current_profile_name() == PROFILE else count
