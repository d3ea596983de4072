"""Balancing: which of the available members of a backend, and which backend. One module for each way to choose.

All are asked alike, `pick(members, draw, now, key)`: `members` are those that may be chosen (at least one), `draw` gives
numbers from [0, 1) and is called only where chance decides, `now` is monotonic seconds, `key` what is hashed (None = there
is none).
"""

from collections.abc import Sequence

from inferway_contract.document import LoadBalancer
from inferway_dataplane.core.upstreams.balancing.balancer import Balancer, Draw
from inferway_dataplane.core.upstreams.balancing.consistent_hash import ConsistentHash
from inferway_dataplane.core.upstreams.balancing.least_request import LeastRequest
from inferway_dataplane.core.upstreams.balancing.peak_ewma import PeakEwma
from inferway_dataplane.core.upstreams.balancing.round_robin import RoundRobin
from inferway_dataplane.core.upstreams.balancing.slow_start import SlowStart
from inferway_dataplane.core.upstreams.balancing.weighted import Weighted
from inferway_dataplane.core.upstreams.members import Member

__all__ = ["Balancer", "Draw", "Weighted", "balancer_of"]


def balancer_of(said: LoadBalancer, members: Sequence[Member]) -> Balancer:
    """The balancer of one backend with these members."""
    made: Balancer
    match said.type:
        case "RoundRobin":
            made = RoundRobin()
        case "LeastRequest":
            made = LeastRequest()
        case "PeakEWMA":
            made = PeakEwma()
        case "ConsistentHash":
            made = ConsistentHash(members)
    return SlowStart(made, said.slow_start / 1000) if said.slow_start else made
