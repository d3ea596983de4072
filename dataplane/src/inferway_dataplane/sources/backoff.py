"""How long to wait before something that failed is tried again."""

from collections.abc import Callable
from typing import Final

FIRST: Final = 0.2
"""Seconds before the second attempt, at most."""
LONGEST: Final = 2.5
"""Seconds between two attempts in a long outage, at most: with an attempt's own time limit it is below five seconds."""
MAX_RETRY_AFTER: Final = 60.0
"""Seconds: whatever an API server asks for, it is asked again after that."""


class Backoff:
    """Pauses that double from `first` to `longest`, each cut by up to half at random, so that pods do not come together."""

    def __init__(self, random: Callable[[], float], first: float = FIRST, longest: float = LONGEST) -> None:
        """`random`: gives numbers from 0 to 1."""
        self._random = random
        self._first = first
        self._longest = longest
        self._next = first

    def pause(self, retry_after: float = 0.0) -> float:
        """Seconds until the next attempt. `retry_after` is what the other side has asked for; it is never undercut."""
        pause, self._next = self._next, min(self._next * 2, self._longest)
        share = self._random()
        return max(pause * (1 - share / 2), min(retry_after, MAX_RETRY_AFTER) * (1 + share / 10))

    def reset(self) -> None:
        """It has worked."""
        self._next = self._first
