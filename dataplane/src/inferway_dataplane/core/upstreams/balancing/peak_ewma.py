"""Peak EWMA: the member expected to answer first, by how long it took lately and how much it has to do.

Each member has an exponentially weighted moving average of the seconds until its answers' heads. An answer slower than the
average replaces it at once (the peak), faster ones pull it down slowly: so a member that stumbles is left alone within one
answer, and gets its share back with a time constant of `DECAY`. What a request would cost is the average times the
requests in flight, this one included; the cheaper of two random members gets it. (Finagle's and Linkerd's balancer.)
"""

from collections.abc import Sequence
from math import exp
from typing import Final

from inferway_dataplane.core.upstreams.balancing import least_request
from inferway_dataplane.core.upstreams.balancing.balancer import Draw
from inferway_dataplane.core.upstreams.members import Member

DECAY: Final = 10.0
"""Seconds in which an average loses two thirds of its weight (1 - 1/e)."""

_UNKNOWN: Final = 1e6
"""Cost of each request in flight to a member that never answered: one is sent to find out, and no herd follows it."""

_LEAST_PENALTY: Final = 1.0
_LARGEST: Final = 60.0


class PeakEwma:
    """The cheaper of two random members."""

    __slots__ = ()

    def pick(self, members: Sequence[Member], draw: Draw, now: float, key: bytes | None) -> Member:
        """One of `members`."""
        count = len(members)
        if count == 1:
            return members[0]
        first, second = least_request.pair(count, draw())
        one, other = members[first], members[second]
        return one if cost(one, now) <= cost(other, now) else other


def cost(member: Member, now: float) -> float:
    """Expected seconds of one more request. The average decays while nothing is asked: who was slow once is tried again."""
    active: int = member.endpoint.active
    if not member.ewma:
        return _UNKNOWN * active
    return member.ewma * exp((member.ewma_at - now) / DECAY) * (active + 1)


def observe(member: Member, seconds: float, now: float) -> None:
    """The head of an answer came after so many seconds."""
    if seconds >= member.ewma:
        member.ewma = seconds
    else:
        # Kept apart from 0, which means that nothing is known.
        member.ewma = max(seconds + (member.ewma - seconds) * exp((member.ewma_at - now) / DECAY), 1e-6)
    member.ewma_at = now


def observe_failure(member: Member, seconds: float, now: float) -> None:
    """A try failed after so many seconds. An endpoint that refuses at once would look like the fastest of all."""
    observe(member, min(max(2 * member.ewma, seconds, _LEAST_PENALTY), max(_LARGEST, seconds)), now)
