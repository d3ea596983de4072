"""Counting on the hot path: plain integers in slotted objects. `metrics.py` turns them into Prometheus at scrape time."""

from bisect import bisect_left
from typing import Final

BOUNDS: Final = (
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0,
)  # fmt: skip
"""Upper bounds of every histogram's buckets, in seconds."""


class Histogram:
    """Counts by bucket (the last one is +Inf) and the sum of what was observed, in seconds."""

    __slots__ = ("counts", "total")

    def __init__(self) -> None:
        self.counts = [0] * (len(BOUNDS) + 1)
        self.total = 0.0

    def observe(self, seconds: float) -> None:
        """Count one observation."""
        self.counts[bisect_left(BOUNDS, seconds)] += 1
        self.total += seconds


class RuleStats:
    """What is counted for one rule. It outlives the runtimes that mention the rule."""

    __slots__ = ("by_method", "bypasses", "duration", "hits", "misses", "route", "rule", "upstream", "upstream_errors")

    def __init__(self, route: str, rule: str) -> None:
        self.route = route
        self.rule = rule
        self.by_method: dict[bytes, list[int]] = {}
        self.duration = Histogram()
        self.upstream = Histogram()
        self.upstream_errors: dict[str, int] = {}
        self.hits: dict[str, int] = {}
        self.misses = 0
        self.bypasses: dict[str, int] = {}

    def count(self, method: bytes, status: int) -> None:
        """One finished request. Methods are llhttp's closed set, so their number is bounded."""
        codes = self.by_method.get(method)
        if codes is None:
            codes = self.by_method[method] = [0] * 600
        codes[status] += 1


class Stats:
    """All counters of the process."""

    def __init__(self) -> None:
        self.rules: dict[tuple[str, str], RuleStats] = {}
        self.unrouted = self.of("", "")
        self.overhead = Histogram()
        self.connections = 0
        self.in_flight = 0
        self.refused: dict[str, int] = {}
        """Requests that never became one: by problem code."""
        self.config_rejected = 0
        self.config_apply_seconds = 0.0

    def of(self, route: str, rule: str) -> RuleStats:
        """The one object of this rule."""
        found = self.rules.get((route, rule))
        if found is None:
            found = self.rules[(route, rule)] = RuleStats(route, rule)
        return found


def count_in(counts: dict[str, int], label: str) -> None:
    """Add one to a label's count."""
    counts[label] = counts.get(label, 0) + 1
