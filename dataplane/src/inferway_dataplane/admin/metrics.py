"""Prometheus metrics, built from plain counters at scrape time: the hot path never calls prometheus-client.

`metric_families` declares them. Families without samples are there too, so that dashboards and rules find them.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from prometheus_client import GCCollector, PlatformCollector, ProcessCollector
from prometheus_client.core import Metric
from prometheus_client.registry import Collector, CollectorRegistry

from inferway_dataplane.admin import metric_families as families
from inferway_dataplane.admin.metric_families import Samples
from inferway_dataplane.observability.stats import Histogram

if TYPE_CHECKING:
    from inferway_dataplane.gateway import Gateway
    from inferway_dataplane.sources import Source


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
        yield families.HTTP_REQUESTS.samples(requests)
        yield families.UPSTREAM_ERRORS.samples(self._by_route("upstream_errors"))
        yield families.REQUESTS_REFUSED.samples(_by_reason(stats.refused))

    def _by_route(self, field: str) -> Samples:
        sums: dict[tuple[str, str], int] = {}
        for stats in self._gateway.stats.rules.values():
            for label, count in getattr(stats, field).items():
                sums[(stats.route, label)] = sums.get((stats.route, label), 0) + count
        return sums.items()

    def _durations(self) -> Iterator[Metric]:
        self._gateway.stats.settle()
        for family, field in ((families.REQUEST_DURATION, "duration"), (families.UPSTREAM_DURATION, "upstream")):
            sums: dict[str, Histogram] = {}
            for stats in self._gateway.stats.rules.values():
                one: Histogram = getattr(stats, field)
                whole = sums.setdefault(stats.route, Histogram())
                whole.counts = [a + b for a, b in zip(whole.counts, one.counts, strict=True)]
                whole.total += one.total
            yield family.histograms(([route], histogram) for route, histogram in sums.items())
        yield families.GATEWAY_OVERHEAD.histograms([((), self._gateway.stats.overhead)])

    def _upstreams(self) -> Iterator[Metric]:
        yield families.RETRIES.samples(self._by_route("retries"))
        live = self._gateway.context.runtime
        rules = live.rules if live is not None else ()
        backends = [
            ([rule.route, rule.name, backend.name], rule.backend_set, backend)
            for rule in rules
            for backend in rule.backend_set.backends
            if not backend.is_broken
        ]
        healthy = ((label, backend_set.available_of(backend)) for label, backend_set, backend in backends)
        yield families.BACKEND_HEALTHY.samples(healthy)
        yield families.BACKEND_ENDPOINTS.samples((label, len(backend.members)) for label, _, backend in backends)
        full = (([rule.route, rule.name], float(rule.breaker.is_full)) for rule in rules)
        yield families.CIRCUIT_OPEN.samples(full)
        yield families.PANIC_ROUTING.samples(([rule.route, rule.name], rule.stats.panics) for rule in rules)
        private = self._gateway.pools.private
        yield families.PRIVATE_CONNECTIONS.value(private.taken)
        yield families.PRIVATE_REFUSED.value(private.refused)
        yield families.RETRY_BODY_BYTES.value(self._gateway.context.kept_bodies.bytes)

    def _limits(self) -> Iterator[Metric]:
        live = self._gateway.context.runtime
        buckets = [([bucket.policy, bucket.name], bucket) for bucket in live.buckets.values()] if live else []
        yield families.RATE_LIMIT_DROPPED.samples((label, bucket.dropped) for label, bucket in buckets)
        yield families.RATE_LIMIT_KEYS_EVICTED.samples((label, bucket.evicted) for label, bucket in buckets)
        yield families.RATE_LIMIT_KEYS.samples((label, len(bucket.tats)) for label, bucket in buckets)

    def _cache(self) -> Iterator[Metric]:
        fresh: dict[str, int] = {}
        missed: dict[str, int] = {}
        for stats in self._gateway.stats.rules.values():
            fresh[stats.route] = fresh.get(stats.route, 0) + stats.fresh_hits
            missed[stats.route] = missed.get(stats.route, 0) + stats.misses
        yield families.CACHE_HITS.samples(([route, "fresh"], count) for route, count in fresh.items())
        yield families.CACHE_MISSES.samples(([route], count) for route, count in missed.items())
        yield families.CACHE_BYPASS.samples(self._by_route("bypasses"))
        yield families.CACHE_ENTRIES.value(len(self._gateway.store))
        yield families.CACHE_BYTES.value(self._gateway.store.bytes)

    def _process(self) -> Iterator[Metric]:
        gateway, stats, log = self._gateway, self._gateway.stats, self._gateway.access_log
        yield families.REQUESTS_IN_FLIGHT.value(gateway.context.in_flight)
        yield families.CONNECTIONS.value(len(gateway.cap.connections))
        yield families.CONNECTIONS_CUT.samples(_by_reason(stats.cut))
        yield families.ADMIN_CONNECTIONS_CLOSED.samples(_by_reason(stats.admin_closed))
        yield families.REQUESTS_SHED.samples(_by_reason(stats.shed))
        yield families.ACCEPT_PRESSURE.value(stats.accept_pressure)
        yield families.UPSTREAM_CONNECTIONS.value(len(gateway.pools.connections))
        yield families.ACCESS_LOG_LEFT_OUT.value(log.left_out)
        yield families.ACCESS_LOG_DROPPED.value(log.dropped)
        yield families.CONFIG_REJECTED.value(stats.config_rejected)
        invalid = {(item.route, item.rule) for item in gateway.live.invalid_rules()}
        yield families.CONFIG_INVALID_RULES.value(len(invalid))
        yield families.CONFIG_APPLY_SECONDS.value(stats.config_apply_seconds)
        yield families.CONFIG_REVISION_INFO.samples([([gateway.live.revision], 1)])


class SourceCollector(Collector):
    """Reads the state of the source of documents. Families without such a state (a directory) have no samples."""

    def __init__(self, source: "Source") -> None:
        self._source = source

    def collect(self) -> Iterator[Metric]:
        state = self._source.state
        is_copy_served = None if state.copy_served_since is None else state.copy_served_since > 0
        for family, value in (
            (families.CONFIG_SOURCE_CONNECTED, state.is_connected),
            (families.CONFIG_LAST_GOOD_SAVED, state.is_copy_saved),
            (families.CONFIG_LAST_GOOD_SAVED_AT, state.copy_saved_at),
            (families.CONFIG_LAST_GOOD_SERVED, is_copy_served),
        ):
            yield family.samples([((), float(value))] if value is not None else [])
        # The label is the live revision, of which there is one.
        revision = [([state.endpoints_revision], 1)] if state.endpoints_revision is not None else []
        yield families.ENDPOINTS_REVISION_INFO.samples(revision)


def _by_reason(counts: dict[str, int]) -> Samples:
    return (([reason], count) for reason, count in counts.items())


def registry(gateway: "Gateway", source: "Source") -> CollectorRegistry:
    """Return a registry of its own: two gateways in one process (tests) do not mix."""
    collectors = CollectorRegistry()
    ProcessCollector(registry=collectors)
    PlatformCollector(registry=collectors)
    GCCollector(registry=collectors)
    collectors.register(GatewayCollector(gateway))
    collectors.register(SourceCollector(source))
    return collectors
