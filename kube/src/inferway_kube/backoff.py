"""Pauses between attempts. Pure."""

from collections.abc import Callable
from typing import Final

FIRST: Final = 0.2
"""Seconds before the second attempt, at most."""
LONGEST: Final = 2.5
"""Seconds between two attempts in a long outage: with an attempt's own deadline that is below five seconds."""
LONGEST_RETRY_AFTER: Final = 60.0
"""Seconds: whatever a server asks for, it is asked again after that."""


class Backoff:
    """Pauses that double from `first` to `longest`, each cut by up to half at random, so that clients spread out."""

    def __init__(
        self,
        random: Callable[[], float],
        first: float = FIRST,
        longest: float = LONGEST,
        longest_retry_after: float = LONGEST_RETRY_AFTER,
    ) -> None:
        """`random` returns numbers from 0 to 1; everything else is in seconds."""
        self._random = random
        self._first = first
        self._longest = longest
        self._longest_retry_after = longest_retry_after
        self._next = first

    def pause(self, retry_after: float = 0.0) -> float:
        """Return the seconds until the next attempt, never fewer than the server asked for (up to the bound)."""
        pause, self._next = self._next, min(self._next * 2, self._longest)
        share = self._random()
        return max(pause * (1 - share / 2), min(retry_after, self._longest_retry_after) * (1 + share / 10))

    def reset(self) -> None:
        """Begin with the first pause again: an attempt has worked."""
        self._next = self._first
