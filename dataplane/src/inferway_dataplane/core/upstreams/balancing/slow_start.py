"""Slow start: the share of a member that is new, or was let in again, grows linearly. Caches fill, models load."""

from collections.abc import Sequence
from typing import Final

from inferway_dataplane.core.upstreams.balancing.balancer import Balancer, Draw
from inferway_dataplane.core.upstreams.balancing.round_robin import RoundRobin
from inferway_dataplane.core.upstreams.members import Member

LEAST: Final = 0.1
"""The share it starts with: with none at all it would never warm up."""


class SlowStart:
    """A balancer whose choice of a member that is still warming up stands only with the chance of its share."""

    __slots__ = ("_balancer", "_seconds")

    def __init__(self, balancer: Balancer, seconds: float) -> None:
        self._balancer = balancer
        self._seconds = seconds

    def pick(self, members: Sequence[Member], draw: Draw, now: float, key: bytes | None) -> Member:
        """The balancer's choice; one that does not stand is made again among the others, and then it does."""
        chosen = self._balancer.pick(members, draw, now, key)
        if len(members) == 1:
            return chosen
        share = self.share(chosen, now)
        if share >= 1 or draw() < share:
            return chosen
        if isinstance(self._balancer, RoundRobin):
            return self._balancer.pick(members, draw, now, key)  # its turn is passed over; without it turns would shift
        others = [member for member in members if member is not chosen]
        return self._balancer.pick(others, draw, now, key)

    def share(self, member: Member, now: float) -> float:
        """Which part of its full share a member has: from `LEAST` to 1."""
        return min(1.0, max(LEAST, (now - member.warm_since) / self._seconds))
