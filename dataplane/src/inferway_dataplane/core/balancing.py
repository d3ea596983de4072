"""Which backend, and which of its endpoints. Randomness comes in as a number from [0, 1)."""

from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate
from typing import Generic, Protocol, TypeVar

B = TypeVar("B")


class Loaded(Protocol):
    """Something with requests in flight."""

    active: int


E = TypeVar("E", bound=Loaded)


class Weighted(Generic[B]):
    """A choice by weight; weight 0 is never chosen. A total of 0 chooses nothing."""

    __slots__ = ("_limits", "_only", "_options", "_total")

    def __init__(self, options: Sequence[tuple[int, B]]) -> None:
        live = [(weight, option) for weight, option in options if weight > 0]
        self._options = tuple(option for _, option in live)
        self._limits = tuple(accumulate(weight for weight, _ in live))
        self._total = self._limits[-1] if live else 0
        self._only: B | None = self._options[0] if len(live) == 1 else None

    @property
    def options(self) -> tuple[B, ...]:
        """What may be chosen."""
        return self._options

    def choose(self, draw: float) -> B | None:
        """One option, or None when all weights are 0."""
        if self._only is not None:
            return self._only
        if not self._total:
            return None
        return self._options[bisect_right(self._limits, int(draw * self._total))]


def least_loaded(endpoints: Sequence[E], draw: float, avoid: E | None = None) -> E | None:
    """Power of two choices: of two different endpoints drawn at random, the one with fewer requests in flight.

    Two draws come out of one number, because the pair is what is random. `avoid` is left out where another exists.
    (Mitzenmacher, "The Power of Two Choices in Randomized Load Balancing", 2001.)
    """
    count = len(endpoints)
    if count == 1:
        return endpoints[0]
    if not count:
        return None
    if avoid is not None:
        others = [endpoint for endpoint in endpoints if endpoint is not avoid]
        return least_loaded(others or endpoints, draw)
    pair = int(draw * count * (count - 1))
    first, second = divmod(pair, count - 1)
    if second >= first:
        second += 1
    one, other = endpoints[first], endpoints[second]
    return one if one.active <= other.active else other
