"""The interface of all balancers."""

from collections.abc import Callable, Sequence
from typing import Protocol

from inferway_dataplane.core.upstreams.members import Member

Draw = Callable[[], float]
"""Returns random numbers from [0, 1)."""


class Balancer(Protocol):
    """Chooses among the available members of a backend."""

    def pick(self, members: Sequence[Member], draw: Draw, now: float, key: bytes | None) -> Member:
        """Choose one of `members` (at least one)."""
