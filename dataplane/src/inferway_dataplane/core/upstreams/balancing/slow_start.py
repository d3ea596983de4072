"""Slow start: the share of a new or restored member grows linearly."""

from collections.abc import Sequence
from typing import Final

from inferway_dataplane.core.upstreams.balancing.balancer import Balancer, Draw
from inferway_dataplane.core.upstreams.balancing.round_robin import RoundRobin
from inferway_dataplane.core.upstreams.members import Member

MIN_SHARE: Final = 0.1
"""The share at the start: with 0 a member would never warm up."""


class SlowStart:
    """Wraps a balancer; keeps choices of a warming member with its share as probability."""

    __slots__ = ("_balancer", "_seconds")

    def __init__(self, balancer: Balancer, seconds: float) -> None:
        self._balancer = balancer
        self._seconds = seconds

    def pick(self, members: Sequence[Member], draw: Draw, now: float, key: bytes | None) -> Member:
        """Choose by the balancer; a rejected choice is repeated once among the other members."""
        chosen = self._balancer.pick(members, draw, now, key)
        if len(members) == 1:
            return chosen
        share = self.share(chosen, now)
        if share >= 1 or draw() < share:
            return chosen
        if isinstance(self._balancer, RoundRobin):
            return self._balancer.pick(members, draw, now, key)  # skips its turn; removing it would shift the positions
        others = [member for member in members if member is not chosen]
        return self._balancer.pick(others, draw, now, key)

    def share(self, member: Member, now: float) -> float:
        """Return a member's part of its full share, from `MIN_SHARE` to 1."""
        return min(1.0, max(MIN_SHARE, (now - member.warm_since) / self._seconds))
