"""Prometheus metrics, built from plain counters at scrape time: the hot path never calls prometheus-client.

Labels, each with a bounded number of values: `route` is `namespace/name` of a GatewayRoute and "" where none matched; `rule` is
the rule's name in it; `backend` a backend's name in the rule; `policy` is `namespace/name` of a RateLimitPolicy and `limit`
one of its limits. `method` and `code` are the request's method and the response's status. `reason` is a fixed word for
each metric, such as a problem's code. Families without samples are there too, so that dashboards and rules find them.
"""

from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate
from typing import TYPE_CHECKING

from prometheus_client import GCCollector, PlatformCollector, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector, CollectorRegistry

from inferway_dataplane.observability.stats import BOUNDS, Histogram

if TYPE_CHECKING:
    from inferway_dataplane.gateway import Gateway
    from inferway_dataplane.sources import Source

Samples = Iterable[tuple[Sequence[str], float]]
"""Values of a family's labels, each with its number."""


class GatewayCollector(Collector):
    """Reads the gateway's counters."""

    def __init__(self, gateway: "Gateway") -> None:
        self._gateway = gateway

    def collect(self) -> Iterator[Metric]:
        yield from self._requests()
        yield from self._durations()
        yield from self._upstreams()
        yield from self._limits()
        yield from self._cache()
        yield from self._process()

    def _requests(self) -> Iterator[Metric]:
        stats = self._gateway.stats
        requests = (
            ([rule.route, rule.rule, method.decode("latin-1"), str(code)], count)
            for rule in stats.rules.values()
            for method, codes in rule.by_method.items()
            for code, count in enumerate(codes)
            if count
        )
        yield _counter("http_requests", "Finished requests.", ["route", "rule", "method", "code"], requests)
        errors = self._by_route("upstream_errors")
        yield _counter("upstream_errors", "Failed attempts at an upstream.", ["route", "reason"], errors)
        yield _by_reason("requests_refused", "Requests that could not be read.", stats.refused)

    def _by_route(self, field: str) -> Samples:
        sums: dict[tuple[str, str], int] = {}
        for stats in self._gateway.stats.rules.values():
            for label, count in getattr(stats, field).items():
                sums[(stats.route, label)] = sums.get((stats.route, label), 0) + count
        return sums.items()

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
        yield _counter("retries", "Retries, by reason.", ["route", "reason"], self._by_route("retries"))
        live = self._gateway.context.runtime
        rules = live.rules if live is not None else ()
        backends = [
            ([rule.route, rule.name, backend.name], rule.backend_set, backend)
            for rule in rules
            for backend in rule.backend_set.backends
            if not backend.is_broken
        ]
        healthy = ((label, backend_set.available_of(backend)) for label, backend_set, backend in backends)
        sizes = ((label, len(backend.members)) for label, _, backend in backends)
        labels = ["route", "rule", "backend"]
        yield _gauge("backend_healthy", "Endpoints of a backend that take requests.", labels, healthy)
        yield _gauge("backend_endpoints", "Endpoints of a backend.", labels, sizes)
        full = (([rule.route, rule.name], float(rule.breaker.is_full)) for rule in rules)
        yield _gauge("circuit_open", "1 = no more requests of the rule pass.", labels[:2], full)
        panics = (([rule.route, rule.name], rule.stats.panics) for rule in rules)
        yield _counter("panic_routing", "Attempts without a healthy endpoint.", labels[:2], panics)

    def _limits(self) -> Iterator[Metric]:
        live = self._gateway.context.runtime
        buckets = [([bucket.policy, bucket.name], bucket) for bucket in live.buckets.values()] if live else []
        labels = ["policy", "limit"]
        dropped = ((label, bucket.dropped) for label, bucket in buckets)
        yield _counter("rate_limit_dropped", "Requests refused by a limit.", labels, dropped)
        evicted = ((label, bucket.evicted) for label, bucket in buckets)
        yield _counter("rate_limit_keys_evicted", "Keys evicted for others.", labels, evicted)
        keys = ((label, len(bucket.tats)) for label, bucket in buckets)
        yield _gauge("rate_limit_keys", "Keys with a bucket that is not full.", labels, keys)

    def _cache(self) -> Iterator[Metric]:
        fresh: dict[str, int] = {}
        missed: dict[str, int] = {}
        for stats in self._gateway.stats.rules.values():
            fresh[stats.route] = fresh.get(stats.route, 0) + stats.fresh_hits
            missed[stats.route] = missed.get(stats.route, 0) + stats.misses
        hits = (([route, "fresh"], count) for route, count in fresh.items())
        yield _counter("cache_hits", "Requests answered from the cache.", ["route", "kind"], hits)
        misses = (([route], count) for route, count in missed.items())
        yield _counter("cache_misses", "Requests that the cache had no response for.", ["route"], misses)
        bypasses = self._by_route("bypasses")
        yield _counter("cache_bypass", "Requests that bypassed the cache.", ["route", "reason"], bypasses)
        yield GaugeMetricFamily("cache_entries", "Stored responses.", len(self._gateway.store))
        yield GaugeMetricFamily("cache_bytes", "Bytes of stored responses.", self._gateway.store.bytes)

    def _process(self) -> Iterator[Metric]:
        gateway, stats, log = self._gateway, self._gateway.stats, self._gateway.access_log
        in_flight = gateway.context.in_flight
        yield GaugeMetricFamily("requests_in_flight", "Requests without a complete response.", in_flight)
        yield GaugeMetricFamily("connections", "Open client connections.", len(gateway.cap.connections))
        yield _by_reason("connections_cut", "Client connections that were cut.", stats.cut)
        yield _by_reason("requests_shed", "Requests rejected at a limit of the process.", stats.shed)
        yield CounterMetricFamily("accept_pressure", "Checks that found few descriptors left.", stats.accept_pressure)
        yield GaugeMetricFamily("upstream_connections", "Open upstream connections.", len(gateway.pools.connections))
        yield CounterMetricFamily("access_log_left_out", "Requests that were not logged.", log.left_out)
        yield CounterMetricFamily("access_log_dropped", "Log lines lost to a slow reader.", log.dropped)
        yield CounterMetricFamily("config_rejected", "Rejected documents.", stats.config_rejected)
        invalid = {(item.route, item.rule) for item in gateway.live.invalid_rules()}
        yield GaugeMetricFamily(
            "config_invalid_rules", "Rules that reject requests for an error in them.", len(invalid)
        )
        yield GaugeMetricFamily("config_apply_seconds", "Time to build the live runtime.", stats.config_apply_seconds)
        revision = [([gateway.live.revision], 1)]
        yield _gauge("config_revision_info", "The live config revision.", ["revision"], revision)


class SourceCollector(Collector):
    """Reads the state of the source of documents. Families without such a state (a directory) have no samples."""

    def __init__(self, source: "Source") -> None:
        self._source = source

    def collect(self) -> Iterator[Metric]:
        state = self._source.state
        is_copy_served = None if state.copy_served_since is None else state.copy_served_since > 0
        saved_at = "Time of the last save of the last good copy, since the epoch; 0 = not by this process."
        served = "1 = the last good copy is served instead of the published documents."
        for name, text, value in (
            ("config_source_connected", "1 = the API server answers, and changes are seen.", state.is_connected),
            ("config_last_good_saved", "1 = the last attempt to save the last good copy worked.", state.is_copy_saved),
            ("config_last_good_saved_timestamp_seconds", saved_at, state.copy_saved_at),
            ("config_last_good_served", served, is_copy_served),
        ):
            yield _gauge(name, text, [], [([], float(value))] if value is not None else [])
        # The label is the live revision, of which there is one.
        revision = [([state.endpoints_revision], 1)] if state.endpoints_revision is not None else []
        yield _gauge("endpoints_revision_info", "The live revision of the endpoints.", ["revision"], revision)


def _counter(name: str, text: str, labels: list[str], samples: Samples) -> Metric:
    family = CounterMetricFamily(name, text, labels=labels)
    for values, count in samples:
        family.add_metric(values, count)
    return family


def _gauge(name: str, text: str, labels: list[str], samples: Samples) -> Metric:
    family = GaugeMetricFamily(name, text, labels=labels)
    for values, number in samples:
        family.add_metric(values, number)
    return family


def _by_reason(name: str, text: str, counts: dict[str, int]) -> Metric:
    return _counter(name, text, ["reason"], (([reason], count) for reason, count in counts.items()))


def _cumulative(histogram: Histogram) -> list[tuple[str, float]]:
    counts = accumulate(histogram.counts)
    return [(bound, float(count)) for bound, count in zip((*map(str, BOUNDS), "+Inf"), counts, strict=True)]


def registry(gateway: "Gateway", source: "Source") -> CollectorRegistry:
    """Return a registry of its own: two gateways in one process (tests) do not mix."""
    collectors = CollectorRegistry()
    ProcessCollector(registry=collectors)
    PlatformCollector(registry=collectors)
    GCCollector(registry=collectors)
    collectors.register(GatewayCollector(gateway))
    collectors.register(SourceCollector(source))
    return collectors
