"""What all balancers share: their interface, and a random choice by weight."""

from bisect import bisect_right
from collections.abc import Callable, Sequence
from itertools import accumulate
from typing import Generic, Protocol, TypeVar

from inferway_dataplane.core.upstreams.members import Member

Draw = Callable[[], float]
"""Returns random numbers from [0, 1)."""


class Balancer(Protocol):
    """Chooses among the available members of a backend."""

    def pick(self, members: Sequence[Member], draw: Draw, now: float, key: bytes | None) -> Member:
        """Choose one of `members` (at least one)."""


B = TypeVar("B")


class Weighted(Generic[B]):
    """A random choice by weight. An option of weight 0 is never chosen."""

    __slots__ = ("_limits", "_only", "_options", "_total")

    def __init__(self, options: Sequence[tuple[int, B]]) -> None:
        live = [(weight, option) for weight, option in options if weight > 0]
        self._options = tuple(option for _, option in live)
        self._limits = tuple(accumulate(weight for weight, _ in live))
        self._total = self._limits[-1] if live else 0
        self._only: B | None = self._options[0] if len(live) == 1 else None

    def choose(self, draw: float) -> B | None:
        """Choose an option by `draw` from [0, 1); None when all weights are 0."""
        if self._only is not None:
            return self._only
        if not self._total:
            return None
        return self._options[bisect_right(self._limits, int(draw * self._total))]
