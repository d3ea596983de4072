"""Round robin: members one after the other; backends by weight, without bursts."""

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
        """Choose the next member; the position stays when members come or go."""
        index = self._next % len(members)
        self._next = index + 1
        return members[index]


class WeightedOption(Protocol):
    """An option with a weight and a running credit."""

    weight: int
    credit: int
    """Its share so far less the requests it got; 0 at first."""


T = TypeVar("T", bound=WeightedOption)


def take_by_weight(options: Sequence[T]) -> T:
    """Choose the option furthest behind its share (nginx's smooth round robin: 5, 1, 1 give a a b a c a a)."""
    # Each option earns its weight, and the chosen one pays the total.
    best = options[0]
    total = 0
    for option in options:
        total += option.weight
        option.credit += option.weight
        if option.credit > best.credit:
            best = option
    best.credit -= total
    return best
