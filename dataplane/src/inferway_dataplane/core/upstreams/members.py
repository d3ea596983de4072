"""Members: endpoints as one rule sees them. An address may serve many rules, and each judges it by its own requests."""

from math import inf
from typing import Any, Protocol


class Endpoint(Protocol):
    """One address of an upstream, as the engine keeps it for all rules."""

    active: int
    """Requests in flight."""


class RuleCounters:
    """Counters of one rule that outlive runtimes: a new document must not forget what is in flight.

    `changes` grows whenever a member of the rule becomes available or unavailable: who keeps a view of them compares
    it, so that a runtime which is still used by older requests sees what a newer one has learnt.
    """

    __slots__ = ("changes", "in_flight", "pending", "retrying")

    def __init__(self) -> None:
        self.changes = 0
        self.in_flight = 0  # requests on their way to upstreams and back
        self.pending = 0  # of those, waiting for a connection
        self.retrying = 0  # of those, in a further try or waiting for it


class Member:
    """One endpoint of one backend of one rule. It outlives runtimes: a new document does not forget its health.

    Times are seconds of one monotonic clock. Only `ejection`, `checking` and `balancing.peak_ewma` write here.
    """

    __slots__ = (
        "added_at",
        "bad_checks",
        "counters",
        "ejected_until",
        "ejections",
        "endpoint",
        "ewma",
        "ewma_at",
        "failures",
        "good_checks",
        "is_ejected",
        "is_probing",
        "is_unhealthy",
        "name",
        "probing_since",
        "restored_at",
    )

    def __init__(self, name: str, endpoint: Any, counters: RuleCounters, now: float) -> None:
        self.name = name  # its address
        self.endpoint = endpoint  # an `Endpoint`; the engine gets back what it gave
        self.counters = counters
        self.added_at = now
        self.restored_at = -inf  # when it was last let in again after an ejection or a bad health
        # What requests say (core/upstreams/outlier_detection.py).
        self.failures = 0  # one after the other
        self.is_ejected = False  # also while a probe is on its way
        self.ejected_until = 0.0
        self.ejections = 0  # since it was last well for long: how often the time out is doubled
        self.is_probing = False
        self.probing_since = 0.0
        # What health checks say (core/upstreams/health_state.py).
        self.is_unhealthy = False
        self.good_checks = 0
        self.bad_checks = 0
        # How long it takes to answer (core/upstreams/balancing/peak_ewma.py); 0 = not known.
        self.ewma = 0.0
        self.ewma_at = 0.0

    def __repr__(self) -> str:
        return f"Member({self.name!r})"

    @property
    def warm_since(self) -> float:
        """When it began to take requests, or began again: slow start counts from here."""
        return max(self.added_at, self.restored_at)
