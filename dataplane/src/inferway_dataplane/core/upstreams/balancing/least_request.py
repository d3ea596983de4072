"""Least request: the less loaded of two members drawn at random.

Choosing the least loaded of all would send every gateway's next request to the same idle endpoint. Choosing between two
random ones avoids that, and the longest queue is exponentially shorter than with one random choice (Mitzenmacher, "The
Power of Two Choices in Randomized Load Balancing", 2001).
"""

from collections.abc import Sequence

from inferway_dataplane.core.upstreams.balancing.balancer import Draw
from inferway_dataplane.core.upstreams.members import Member


def pair(count: int, draw: float) -> tuple[int, int]:
    """Return two different numbers below `count` (at least 2) from one draw."""
    first, second = divmod(int(draw * count * (count - 1)), count - 1)
    return first, second + 1 if second >= first else second


def pick(members: Sequence[Member], draw: float) -> Member:
    """Choose the less loaded of two random members."""
    count = len(members)
    if count == 1:
        return members[0]
    first, second = pair(count, draw)
    one, other = members[first], members[second]
    return one if one.endpoint.active <= other.endpoint.active else other


class LeastRequest:
    """`pick` as a balancer."""

    __slots__ = ()

    def pick(self, members: Sequence[Member], draw: Draw, now: float, key: bytes | None) -> Member:
        """Choose the less loaded of two random members."""
        return members[0] if len(members) == 1 else pick(members, draw())
