"""The circuit breaker: caps on one rule's concurrent requests; the excess is refused, not queued."""

from inferway_contract.document import CircuitBreaker
from inferway_dataplane.core.upstreams.members import RuleCounters


class Breaker:
    """The caps of one rule. Each `enter` that returns True needs exactly one `leave`."""

    __slots__ = ("counters", "max_pending", "max_requests")

    def __init__(self, breaker: CircuitBreaker, counters: RuleCounters) -> None:
        self.max_requests = breaker.max_requests
        self.max_pending = breaker.max_pending
        # They outlive this object: a cap lowered below the requests in flight refuses until enough have ended.
        self.counters = counters

    @property
    def is_full(self) -> bool:
        """Whether the next request will be refused."""
        return self.counters.in_flight >= self.max_requests

    def enter(self) -> bool:
        """Count a request in, once for all its tries; False = overload."""
        counters = self.counters
        if counters.in_flight >= self.max_requests:
            return False
        counters.in_flight += 1
        return True

    def leave(self) -> None:
        """Count a request out, however it ended."""
        self.counters.in_flight -= 1

    def enter_pending(self) -> bool:
        """Count in a request that waits for a connection; False = too many wait."""
        counters = self.counters
        if counters.pending >= self.max_pending:
            return False
        counters.pending += 1
        return True

    def leave_pending(self) -> None:
        """Count out a request that stopped waiting, with a connection or without."""
        self.counters.pending -= 1
