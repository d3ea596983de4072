"""Counting on the hot path: plain integers in slotted objects. `admin/metrics.py` turns them into Prometheus at scrape time."""

from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass, field
from math import fsum
from typing import Final

BOUNDS: Final = (
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0, 900.0,
)  # fmt: skip
"""Upper bounds of every histogram's buckets, in seconds: from the gateway's own share to a long answer of a model."""


class Histogram:
    """Counts by bucket (the last one is +Inf) and the sum of what was observed, in seconds.

    `observe` is `list.append`: the hot path pays for nothing else. `settle` sorts what came since into buckets, a whole
    batch at the price of a few single observations; the wheel calls it with each turn, the scrape before it reads.
    """

    __slots__ = ("_pending", "counts", "observe", "total")

    def __init__(self) -> None:
        self.counts = [0] * (len(BOUNDS) + 1)
        self.total = 0.0
        self._pending: list[float] = []
        self.observe = self._pending.append

    def settle(self) -> None:
        """Sort pending observations into their buckets."""
        pending = self._pending
        if not pending:
            return
        pending.sort()
        below = 0
        for index, bound in enumerate(BOUNDS):
            upto = bisect_right(pending, bound)
            self.counts[index] += upto - below
            below = upto
        self.counts[-1] += len(pending) - below
        self.total += fsum(pending)
        pending.clear()


class ByMethod(dict[bytes, list[int]]):
    """Finished requests by method, then by status code. Methods are llhttp's closed set, so their number is bounded."""

    __slots__ = ()

    def __missing__(self, method: bytes) -> list[int]:
        codes = self[method] = [0] * 600
        return codes


@dataclass(slots=True, eq=False)
class RuleStats:
    """What is counted for one rule. It outlives the runtimes that mention the rule."""

    route: str
    rule: str
    by_method: ByMethod = field(default_factory=ByMethod)
    duration: Histogram = field(default_factory=Histogram)
    upstream: Histogram = field(default_factory=Histogram)
    upstream_errors: dict[str, int] = field(default_factory=dict)
    retries: dict[str, int] = field(default_factory=dict)
    panics: int = 0
    fresh_hits: int = 0
    misses: int = 0
    bypasses: dict[str, int] = field(default_factory=dict)


class Stats:
    """All counters of the process."""

    def __init__(self) -> None:
        self.rules: dict[tuple[str, str], RuleStats] = {}
        self.unrouted = self.of("", "")
        self.overhead = Histogram()
        self.refused: dict[str, int] = {}
        """Requests that never became one: by problem code."""
        self.shed: dict[str, int] = {}
        """Requests and connections that were refused for lack of capacity, by reason."""
        self.accept_pressure = 0
        """Turns of the wheel in which few descriptors were left."""
        self.cut: dict[str, int] = {}
        """Client connections that were cut, by reason."""
        self.admin_closed: dict[str, int] = {}
        """Connections of the admin port that a limit closed, by reason."""
        self.config_rejected = 0
        self.config_apply_seconds = 0.0

    def settle(self, now: float = 0.0) -> None:
        """Settle every histogram. Called by the wheel, and before a scrape."""
        self.overhead.settle()
        for stats in self.rules.values():
            stats.duration.settle()
            stats.upstream.settle()

    def keep_only(self, rules: Iterable[RuleStats]) -> None:
        """Forget all other rules, so that the number of series does not grow with routes that come and go."""
        self.rules = {(stats.route, stats.rule): stats for stats in (self.unrouted, *rules)}

    def of(self, route: str, rule: str) -> RuleStats:
        """The one object of this rule."""
        stats = self.rules.get((route, rule))
        if stats is None:
            stats = self.rules[(route, rule)] = RuleStats(route, rule)
        return stats


def count_in(counts: dict[str, int], label: str) -> None:
    counts[label] = counts.get(label, 0) + 1
