"""Load balancing between the available members of a backend, and between backends. One module per algorithm.

All share `pick(members, draw, now, key)`: `members` may be chosen (at least one), `draw` returns numbers from [0, 1) and
is called only if chance decides, `now` is monotonic seconds, `key` is hashed (None = no key).
"""

from collections.abc import Sequence

from inferway_contract.document import LoadBalancer
from inferway_dataplane.core.upstreams.balancing.balancer import Balancer, Draw, Weighted
from inferway_dataplane.core.upstreams.balancing.consistent_hash import ConsistentHash
from inferway_dataplane.core.upstreams.balancing.least_request import LeastRequest
from inferway_dataplane.core.upstreams.balancing.peak_ewma import PeakEwma
from inferway_dataplane.core.upstreams.balancing.round_robin import RoundRobin
from inferway_dataplane.core.upstreams.balancing.slow_start import SlowStart
from inferway_dataplane.core.upstreams.members import Member

__all__ = ["Balancer", "Draw", "Weighted", "balancer_of"]


def balancer_of(settings: LoadBalancer, members: Sequence[Member]) -> Balancer:
    """Return a balancer for the members of one backend."""
    balancer: Balancer
    match settings.type:
        case "RoundRobin":
            balancer = RoundRobin()
        case "LeastRequest":
            balancer = LeastRequest()
        case "PeakEWMA":
            balancer = PeakEwma()
        case "ConsistentHash":
            balancer = ConsistentHash(members)
    return SlowStart(balancer, settings.slow_start / 1000) if settings.slow_start else balancer
