"""Peak EWMA: the member expected to respond first, by latency and requests in flight.

Each member has an exponentially weighted moving average of the seconds until its response heads. A slower response than
the average replaces it at once (the peak), faster ones lower it slowly: a member that becomes slow is avoided within one
response, and gets its share back with a time constant of `DECAY`. The cost of a request is the average times the requests
in flight, itself included; the cheaper of two random members gets it. (The balancer of Finagle and Linkerd.)
"""

from collections.abc import Sequence
from math import exp
from typing import Final

from inferway_dataplane.core.upstreams.balancing import least_request
from inferway_dataplane.core.upstreams.balancing.balancer import Draw
from inferway_dataplane.core.upstreams.members import Member

DECAY: Final = 10.0
"""Seconds in which an average loses 1 - 1/e (63 %) of its weight."""

_UNKNOWN: Final = 1e6  # cost of a request in flight to a member without a response yet: it gets one request, not many

_LEAST_PENALTY: Final = 1.0  # seconds
_LARGEST_PENALTY: Final = 60.0  # seconds


class PeakEwma:
    """The cheaper of two random members."""

    __slots__ = ()

    def pick(self, members: Sequence[Member], draw: Draw, now: float, key: bytes | None) -> Member:
        count = len(members)
        if count == 1:
            return members[0]
        first, second = least_request.pair(count, draw())
        one, other = members[first], members[second]
        return one if cost(one, now) <= cost(other, now) else other


def cost(member: Member, now: float) -> float:
    """Estimate the seconds of one more request. The average decays, so a slow member is tried again."""
    active: int = member.endpoint.active
    if not member.ewma:
        return _UNKNOWN * active
    return member.ewma * exp((member.ewma_at - now) / DECAY) * (active + 1)


def observe(member: Member, seconds: float, now: float) -> None:
    """Add to the average that a response head took `seconds`."""
    if seconds >= member.ewma:
        member.ewma = seconds
    else:
        # Never 0, which stands for no response yet.
        member.ewma = max(seconds + (member.ewma - seconds) * exp((member.ewma_at - now) / DECAY), 1e-6)
    member.ewma_at = now


def observe_failure(member: Member, seconds: float, now: float) -> None:
    """Add a failed try with a penalty, because an instant refusal must not look fast."""
    observe(member, min(max(2 * member.ewma, seconds, _LEAST_PENALTY), max(_LARGEST_PENALTY, seconds)), now)
