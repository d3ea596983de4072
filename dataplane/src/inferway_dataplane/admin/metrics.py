"""Prometheus metrics, built from plain counters at scrape time: the hot path never calls prometheus-client.

Labels, each with a bounded number of values: `route` is `namespace/name` of a GatewayRoute and "" where none matched; `rule` is
the rule's name in it; `backend` a backend's name in the rule; `policy` is `namespace/name` of a RateLimitPolicy and `limit`
one of its limits. `method` and `code` are the request's method and the response's status. `reason` is a fixed word for
each metric, such as a problem's code. Families without samples are there too, so that dashboards and rules find them.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from prometheus_client import GCCollector, PlatformCollector, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector, CollectorRegistry

from inferway_dataplane.admin.source_metrics import SourceCollector
from inferway_dataplane.observability.stats import BOUNDS, Histogram

if TYPE_CHECKING:
    from inferway_dataplane.gateway import Gateway
    from inferway_dataplane.sources import Source


class GatewayCollector(Collector):
    """Reads the gateway's counters."""

    def __init__(self, gateway: "Gateway") -> None:
        self._gateway = gateway

    def collect(self) -> Iterator[Metric]:
        """Yield every metric family."""
        yield from self._requests()
        yield from self._durations()
        yield from self._upstreams()
        yield from self._limits()
        yield from self._cache()
        yield from self._process()

    def _requests(self) -> Iterator[Metric]:
        total = CounterMetricFamily("http_requests", "Finished requests.", labels=["route", "rule", "method", "code"])
        errors = CounterMetricFamily("upstream_errors", "Failed attempts at an upstream.", labels=["route", "reason"])
        for stats in self._gateway.stats.rules.values():
            for method, codes in stats.by_method.items():
                for code, count in enumerate(codes):
                    if count:
                        total.add_metric([stats.route, stats.rule, method.decode("latin-1"), str(code)], count)
        for (route, reason), count in self._by_route("upstream_errors").items():
            errors.add_metric([route, reason], count)
        refused = CounterMetricFamily("requests_refused", "Requests that could not be read.", labels=["reason"])
        for reason, count in self._gateway.stats.refused.items():
            refused.add_metric([reason], count)
        yield total
        yield errors
        yield refused

    def _by_route(self, field: str) -> dict[tuple[str, str], int]:
        sums: dict[tuple[str, str], int] = {}
        for stats in self._gateway.stats.rules.values():
            for label, count in getattr(stats, field).items():
                sums[(stats.route, label)] = sums.get((stats.route, label), 0) + count
        return sums

    def _durations(self) -> Iterator[Metric]:
        self._gateway.stats.settle()
        for name, text, field in (
            ("request_duration_seconds", "From a request's head to the end of its response.", "duration"),
            ("upstream_duration_seconds", "From sending a request to the head of its response.", "upstream"),
        ):
            family = HistogramMetricFamily(name, text, labels=["route"])
            sums: dict[str, Histogram] = {}
            for stats in self._gateway.stats.rules.values():
                one: Histogram = getattr(stats, field)
                whole = sums.setdefault(stats.route, Histogram())
                whole.counts = [a + b for a, b in zip(whole.counts, one.counts, strict=True)]
                whole.total += one.total
            for route, histogram in sums.items():
                family.add_metric([route], _cumulative(histogram), histogram.total)
            yield family
        overhead = HistogramMetricFamily("gateway_overhead_seconds", "What the gateway adds to the upstream's time.")
        overhead.add_metric([], _cumulative(self._gateway.stats.overhead), self._gateway.stats.overhead.total)
        yield overhead

    def _upstreams(self) -> Iterator[Metric]:
        retries = CounterMetricFamily("retries", "Retries, by reason.", labels=["route", "reason"])
        for (route, reason), count in self._by_route("retries").items():
            retries.add_metric([route, reason], count)
        healthy = GaugeMetricFamily(
            "backend_healthy", "Endpoints of a backend that take requests.", labels=["route", "rule", "backend"]
        )
        sizes = GaugeMetricFamily("backend_endpoints", "Endpoints of a backend.", labels=["route", "rule", "backend"])
        circuit = GaugeMetricFamily("circuit_open", "1 = no more requests of the rule pass.", labels=["route", "rule"])
        panics = CounterMetricFamily("panic_routing", "Attempts without a healthy endpoint.", labels=["route", "rule"])
        live = self._gateway.context.runtime
        for rule in live.rules if live is not None else ():
            label = [rule.route, rule.name]
            for backend in rule.backend_set.backends:
                if not backend.is_broken:
                    healthy.add_metric([*label, backend.name], rule.backend_set.available_of(backend))
                    sizes.add_metric([*label, backend.name], len(backend.members))
            circuit.add_metric(label, float(rule.breaker.is_full))
            panics.add_metric(label, rule.stats.panics)
        yield retries
        yield healthy
        yield sizes
        yield circuit
        yield panics

    def _limits(self) -> Iterator[Metric]:
        labels = ["policy", "limit"]
        dropped = CounterMetricFamily("rate_limit_dropped", "Requests refused by a limit.", labels=labels)
        evicted = CounterMetricFamily("rate_limit_keys_evicted", "Keys evicted for others.", labels=labels)
        keys = GaugeMetricFamily("rate_limit_keys", "Keys with a bucket that is not full.", labels=labels)
        live = self._gateway.context.runtime
        for bucket in live.buckets.values() if live is not None else ():
            label = [bucket.policy, bucket.name]
            dropped.add_metric(label, bucket.dropped)
            evicted.add_metric(label, bucket.evicted)
            keys.add_metric(label, len(bucket.tats))
        yield dropped
        yield evicted
        yield keys

    def _cache(self) -> Iterator[Metric]:
        hits = CounterMetricFamily("cache_hits", "Requests answered from the cache.", labels=["route", "kind"])
        misses = CounterMetricFamily("cache_misses", "Requests that the cache had no response for.", labels=["route"])
        bypass = CounterMetricFamily("cache_bypass", "Requests that bypassed the cache.", labels=["route", "reason"])
        for (route, reason), count in self._by_route("bypasses").items():
            bypass.add_metric([route, reason], count)
        fresh: dict[str, int] = {}
        missed: dict[str, int] = {}
        for stats in self._gateway.stats.rules.values():
            fresh[stats.route] = fresh.get(stats.route, 0) + stats.fresh_hits
            missed[stats.route] = missed.get(stats.route, 0) + stats.misses
        for route, count in fresh.items():
            hits.add_metric([route, "fresh"], count)
        for route, count in missed.items():
            misses.add_metric([route], count)
        yield hits
        yield misses
        yield bypass
        yield GaugeMetricFamily("cache_entries", "Stored responses.", len(self._gateway.store))
        yield GaugeMetricFamily("cache_bytes", "Bytes of stored responses.", self._gateway.store.bytes)

    def _process(self) -> Iterator[Metric]:
        gateway = self._gateway
        yield GaugeMetricFamily(
            "requests_in_flight", "Requests without a complete response.", gateway.context.in_flight
        )
        yield GaugeMetricFamily("connections", "Open client connections.", len(gateway.cap.connections))
        cut = CounterMetricFamily("connections_cut", "Client connections that were cut.", labels=["reason"])
        for reason, count in gateway.stats.cut.items():
            cut.add_metric([reason], count)
        yield cut
        shed = CounterMetricFamily("requests_shed", "Requests rejected at a limit of the process.", labels=["reason"])
        for reason, count in gateway.stats.shed.items():
            shed.add_metric([reason], count)
        yield shed
        yield CounterMetricFamily(
            "accept_pressure", "Checks that found few descriptors left.", gateway.stats.accept_pressure
        )
        yield GaugeMetricFamily("upstream_connections", "Open upstream connections.", len(gateway.pools.connections))
        yield CounterMetricFamily("access_log_left_out", "Requests that were not logged.", gateway.access_log.left_out)
        yield CounterMetricFamily("access_log_dropped", "Log lines lost to a slow reader.", gateway.access_log.dropped)
        yield CounterMetricFamily("config_rejected", "Rejected documents.", gateway.stats.config_rejected)
        yield GaugeMetricFamily(
            "config_apply_seconds", "Time to build the live runtime.", gateway.stats.config_apply_seconds
        )
        info = GaugeMetricFamily("config_revision_info", "The live config revision.", labels=["revision"])
        info.add_metric([gateway.live.revision], 1)
        yield info


def _cumulative(histogram: Histogram) -> list[tuple[str, float]]:
    running = 0.0
    buckets = []
    for bound, count in zip((*map(str, BOUNDS), "+Inf"), histogram.counts, strict=True):
        running += count
        buckets.append((bound, running))
    return buckets


def registry(gateway: "Gateway", source: "Source") -> CollectorRegistry:
    """Return a registry of its own: two gateways in one process (tests) do not mix."""
    collectors = CollectorRegistry()
    ProcessCollector(registry=collectors)
    PlatformCollector(registry=collectors)
    GCCollector(registry=collectors)
    collectors.register(GatewayCollector(gateway))
    collectors.register(SourceCollector(source))
    return collectors
