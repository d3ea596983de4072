"""Members: endpoints as one rule sees them. Rules that share an address judge it by their own requests."""

from math import inf
from typing import Any


class RuleCounters:
    """Counters of one rule that outlive runtimes: a new document keeps the requests in flight."""

    __slots__ = ("changes", "in_flight", "pending", "retrying")

    def __init__(self) -> None:
        # Grows whenever a member of the rule becomes available or unavailable. A `BackendSet` compares it with its view, so
        # a runtime that older requests still use sees changes made through a newer one.
        self.changes = 0
        self.in_flight = 0  # requests between `Breaker.enter` and `leave`
        self.pending = 0  # of those, waiting for a connection
        self.retrying = 0  # of those, in a retry or waiting for one


class Member:
    """One endpoint of one backend of one rule. It outlives runtimes: a new document keeps its health.

    Times are seconds of one monotonic clock. Only `outlier_detection`, `health_state` and `balancing.peak_ewma` write here.
    """

    __slots__ = (
        "added_at", "bad_checks", "counters", "ejected_until", "ejections", "endpoint", "ewma", "ewma_at",
        "failures", "good_checks", "is_ejected", "is_probing", "is_unhealthy", "name", "probing_since",
        "restored_at",
    )  # fmt: skip

    def __init__(self, name: str, endpoint: Any, counters: RuleCounters, now: float) -> None:
        self.name = name  # its address
        self.endpoint = endpoint  # the engine's; `active` is its number of requests in flight
        self.counters = counters
        self.added_at = now
        self.restored_at = -inf  # end of its last ejection or unhealthy time
        # Written by core/upstreams/outlier_detection.py
        self.failures = 0  # in a row
        self.is_ejected = False  # True during a probe too
        self.ejected_until = 0.0
        self.ejections = 0  # since it was last well for `FORGET_AFTER`; each doubles the next ejection's time
        self.is_probing = False
        self.probing_since = 0.0
        # Written by core/upstreams/health_state.py
        self.is_unhealthy = False
        self.good_checks = 0  # in a row
        self.bad_checks = 0  # in a row
        # Written by core/upstreams/balancing/peak_ewma.py: seconds until a response head, averaged (0 = no response yet)
        self.ewma = 0.0
        self.ewma_at = 0.0

    def __repr__(self) -> str:
        return f"Member({self.name!r})"

    @property
    def warm_since(self) -> float:
        """The start of slow start: when the member was added or last restored."""
        return max(self.added_at, self.restored_at)
