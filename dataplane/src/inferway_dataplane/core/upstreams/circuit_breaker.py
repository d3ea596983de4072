"""The circuit breaker: how much one rule may ask of its upstreams at once. What is over it is refused, not queued."""

from inferway_contract.document import CircuitBreaker
from inferway_dataplane.core.upstreams.members import RuleCounters


class Breaker:
    """Caps of one rule. Every `enter` that returns True is followed by exactly one `leave`.

    The counters are the rule's counters and outlive this object: a cap that was lowered below what is in flight refuses
    until enough of it has ended.
    """

    __slots__ = ("counters", "max_pending", "max_requests")

    def __init__(self, breaker: CircuitBreaker, counters: RuleCounters) -> None:
        self.max_requests = breaker.max_requests
        self.max_pending = breaker.max_pending
        self.counters = counters

    @property
    def is_full(self) -> bool:
        """Whether the next request is refused."""
        return self.counters.in_flight >= self.max_requests

    def enter(self) -> bool:
        """A request wants to go to an upstream; once a request, however many tries it takes. False = overload."""
        counters = self.counters
        if counters.in_flight >= self.max_requests:
            return False
        counters.in_flight += 1
        return True

    def leave(self) -> None:
        """The request has ended, in whatever way."""
        self.counters.in_flight -= 1

    def enter_pending(self) -> bool:
        """A request has to wait for a connection. False = too many do."""
        counters = self.counters
        if counters.pending >= self.max_pending:
            return False
        counters.pending += 1
        return True

    def leave_pending(self) -> None:
        """The wait is over: there is a connection, or there will be none."""
        self.counters.pending -= 1
