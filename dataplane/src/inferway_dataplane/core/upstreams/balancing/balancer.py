"""What all balancers have in common."""

from collections.abc import Callable, Sequence
from typing import Protocol

from inferway_dataplane.core.upstreams.members import Member

Draw = Callable[[], float]
"""Gives numbers from [0, 1)."""


class Balancer(Protocol):
    """A way to choose among the available members of a backend."""

    def pick(self, members: Sequence[Member], draw: Draw, now: float, key: bytes | None) -> Member:
        """One of `members`, of which there is at least one."""
