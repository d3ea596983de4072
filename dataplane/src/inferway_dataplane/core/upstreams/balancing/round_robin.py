"""Round robin: members one after the other; backends in turn by their weights, spread evenly and not in bursts."""

from collections.abc import Sequence
from typing import Protocol, TypeVar

from inferway_dataplane.core.upstreams.balancing.balancer import Draw
from inferway_dataplane.core.upstreams.members import Member


class RoundRobin:
    """The members of a backend, one after the other."""

    __slots__ = ("_next",)

    def __init__(self) -> None:
        self._next = 0

    def pick(self, members: Sequence[Member], draw: Draw, now: float, key: bytes | None) -> Member:
        """The next one; when members come or go, the turn goes on from where it was."""
        turn = self._next % len(members)
        self._next = turn + 1
        return members[turn]


class WeightedOption(Protocol):
    """Something with a weight that is taken in turn."""

    weight: int
    credit: int
    """How far its share is ahead of what it got; 0 at first."""


T = TypeVar("T", bound=WeightedOption)


def take_by_weight(options: Sequence[T]) -> T:
    """The one whose share is furthest behind: of weights 5, 1, 1 it gives a a b a c a a.

    Smooth weighted round robin, as nginx does it: everybody earns its weight, and who is taken pays for all.
    """
    best = options[0]
    total = 0
    for option in options:
        total += option.weight
        option.credit += option.weight
        if option.credit > best.credit:
            best = option
    best.credit -= total
    return best
