"""Every metric of the data plane: its name, type, labels and meaning. `make reference` writes docs/metrics.md.

Labels, each with a bounded number of values: `route` is `namespace/name` of a GatewayRoute and "" where none matched; `rule` is
the rule's name in it; `backend` a backend's name in the rule; `policy` is `namespace/name` of a RateLimitPolicy and `limit`
one of its limits. `method` and `code` are the request's method and the response's status. `reason` is a fixed word for
each metric, or a problem's code.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Final, Literal

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric

from inferway_dataplane.observability.stats import BOUNDS, Histogram

Samples = Iterable[tuple[Sequence[str], float]]
"""Values of a family's labels, each with its number."""


@dataclass(frozen=True, slots=True)
class Family:
    """One metric. `reasons`: the values of the label `reason` that are not problem codes, with their meanings."""

    kind: Literal["counter", "gauge", "histogram"]
    name: str
    """As exposed, without `_total` and `_bucket`."""
    text: str
    labels: tuple[str, ...] = ()
    reasons: Mapping[str, str] = field(default_factory=dict)

    def samples(self, samples: Samples) -> Metric:
        """Return a counter or gauge with one sample for each combination of labels."""
        kind = CounterMetricFamily if self.kind == "counter" else GaugeMetricFamily
        family = kind(self.name, self.text, labels=self.labels)
        for values, number in samples:
            family.add_metric(values, number)
        return family

    def value(self, number: float) -> Metric:
        """Return a counter or gauge without labels."""
        return self.samples([((), number)])

    def histograms(self, histograms: Iterable[tuple[Sequence[str], Histogram]]) -> Metric:
        """Return a histogram for each combination of labels."""
        family = HistogramMetricFamily(self.name, self.text, labels=self.labels)
        for values, histogram in histograms:
            family.add_metric(values, _cumulative(histogram), histogram.total)
        return family


def _cumulative(histogram: Histogram) -> list[tuple[str, float]]:
    counts = accumulate(histogram.counts)
    return [(bound, float(count)) for bound, count in zip((*map(str, BOUNDS), "+Inf"), counts, strict=True)]


# --- requests ------------------------------------------------------------------------------------------------------------
HTTP_REQUESTS: Final = Family("counter", "http_requests", "Finished requests.", ("route", "rule", "method", "code"))
UPSTREAM_ERRORS: Final = Family("counter", "upstream_errors", "Failed attempts at an upstream.", ("route", "reason"))
REQUESTS_REFUSED: Final = Family("counter", "requests_refused", "Requests that could not be read.", ("reason",))
REQUEST_DURATION: Final = Family(
    "histogram", "request_duration_seconds", "From a request's head to the end of its response.", ("route",)
)
UPSTREAM_DURATION: Final = Family(
    "histogram", "upstream_duration_seconds", "From sending a request to the head of its response.", ("route",)
)
GATEWAY_OVERHEAD: Final = Family(
    "histogram", "gateway_overhead_seconds", "What the gateway adds to the upstream's time."
)
REQUESTS_IN_FLIGHT: Final = Family("gauge", "requests_in_flight", "Requests without a complete response.")
REQUESTS_SHED: Final = Family(
    "counter",
    "requests_shed",
    "Requests and connections rejected at a limit of the process.",
    ("reason",),
    {
        "in_flight": "a request above `max_in_flight`",
        "memory": "a request at 92 % of the memory limit",
        "connections": "a connection at the connection cap, with none to evict",
    },
)

# --- upstreams -----------------------------------------------------------------------------------------------------------
RETRIES: Final = Family(
    "counter",
    "retries",
    "Retries, by the code of the failure or the status that caused them.",
    ("route", "reason"),
    {
        "body_not_kept": "a retry that did not begin, because the request's body was not kept (`retry_body_bytes`)",
        "budget_exhausted": "a retry that did not begin, because the budget was spent",
    },
)
BACKEND_HEALTHY: Final = Family(
    "gauge", "backend_healthy", "Endpoints of a backend that take requests.", ("route", "rule", "backend")
)
BACKEND_ENDPOINTS: Final = Family("gauge", "backend_endpoints", "Endpoints of a backend.", ("route", "rule", "backend"))
CIRCUIT_OPEN: Final = Family("gauge", "circuit_open", "1 = no more requests of the rule pass.", ("route", "rule"))
PANIC_ROUTING: Final = Family("counter", "panic_routing", "Attempts without a healthy endpoint.", ("route", "rule"))
UPSTREAM_CONNECTIONS: Final = Family("gauge", "upstream_connections", "Open upstream connections.")
PRIVATE_CONNECTIONS: Final = Family(
    "gauge", "upstream_connections_private", "Of these, those that serve one client connection alone (NTLM, Negotiate)."
)
PRIVATE_REFUSED: Final = Family(
    "counter",
    "upstream_connections_private_refused",
    "Connections closed after their response, because too many are private.",
)
RETRY_BODY_BYTES: Final = Family("gauge", "retry_body_bytes", "Bytes of request bodies that are kept for retries.")

# --- limits --------------------------------------------------------------------------------------------------------------
RATE_LIMIT_DROPPED: Final = Family("counter", "rate_limit_dropped", "Requests refused by a limit.", ("policy", "limit"))
RATE_LIMIT_KEYS_EVICTED: Final = Family(
    "counter", "rate_limit_keys_evicted", "Keys evicted for others.", ("policy", "limit")
)
RATE_LIMIT_KEYS: Final = Family("gauge", "rate_limit_keys", "Keys with a bucket that is not full.", ("policy", "limit"))

# --- cache ---------------------------------------------------------------------------------------------------------------
CACHE_HITS: Final = Family(
    "counter", "cache_hits", "Requests answered from the cache; the only `kind` is `fresh`.", ("route", "kind")
)
CACHE_MISSES: Final = Family("counter", "cache_misses", "Requests that the cache had no response for.", ("route",))
CACHE_BYPASS: Final = Family(
    "counter",
    "cache_bypass",
    "Requests that bypassed the cache.",
    ("route", "reason"),
    {
        "method": "not GET or HEAD",
        "body": "a request with a body",
        "connection": "`Connection` named a field that is part of the key",
        "request": "`Cache-Control: no-store` of the request",
        "private_connection": "a client with an upstream connection of its own (NTLM, Negotiate)",
    },
)
CACHE_ENTRIES: Final = Family("gauge", "cache_entries", "Stored responses.")
CACHE_BYTES: Final = Family("gauge", "cache_bytes", "Bytes of stored responses, their heads and keys included.")

# --- connections and the process -----------------------------------------------------------------------------------------
CONNECTIONS: Final = Family("gauge", "connections", "Open client connections.")
CONNECTIONS_CUT: Final = Family(
    "counter",
    "connections_cut",
    "Client connections that were cut.",
    ("reason",),
    {
        "evicted_idle": "evicted at the connection cap: idle",
        "evicted_head": "evicted at the connection cap: with an incomplete head",
        "evicted_body": "evicted at the connection cap: with an incomplete body",
        "evicted_unread": "evicted at the connection cap: the client did not read",
        "handshake": "the TLS handshake failed or was late",
        "left": "the client closed its side and its time was up",
        "lingering": "the client still sent after its last response",
        "not_reading": "the client did not read within `unread_timeout`",
    },
)
ADMIN_CONNECTIONS_CLOSED: Final = Family(
    "counter",
    "admin_connections_closed",
    "Connections of the admin port that a limit closed.",
    ("reason",),
    {
        "evicted": "idle longest at the connection limit",
        "full": "all other connections were busy",
        "head": "the head of a request took too long",
        "request": "the response did not begin in time",
        "response": "the client did not take the response in time",
    },
)
ACCEPT_PRESSURE: Final = Family("counter", "accept_pressure", "Checks that found few descriptors left.")
ACCESS_LOG_LEFT_OUT: Final = Family("counter", "access_log_left_out", "Requests that were not logged.")
ACCESS_LOG_DROPPED: Final = Family("counter", "access_log_dropped", "Log lines lost to a slow reader.")

# --- configuration -------------------------------------------------------------------------------------------------------
CONFIG_REJECTED: Final = Family("counter", "config_rejected", "Rejected documents.")
CONFIG_INVALID_RULES: Final = Family(
    "gauge",
    "config_invalid_rules",
    "Rules that reject requests because of an error in them: an invalid rule or policy, an unknown Service, a missing secret.",
)
CONFIG_APPLY_SECONDS: Final = Family("gauge", "config_apply_seconds", "Time to build the live runtime.")
CONFIG_REVISION_INFO: Final = Family("gauge", "config_revision_info", "The live config revision.", ("revision",))
CONFIG_SOURCE_CONNECTED: Final = Family(
    "gauge", "config_source_connected", "1 = the API server answers, and changes are seen."
)
CONFIG_LAST_GOOD_SAVED: Final = Family(
    "gauge", "config_last_good_saved", "1 = the last attempt to save the last good copy worked."
)
CONFIG_LAST_GOOD_SAVED_AT: Final = Family(
    "gauge",
    "config_last_good_saved_timestamp_seconds",
    "Time of the last save of the last good copy, since the epoch; 0 = not by this process.",
)
CONFIG_LAST_GOOD_SERVED: Final = Family(
    "gauge", "config_last_good_served", "1 = the last good copy is served instead of the published documents."
)
ENDPOINTS_REVISION_INFO: Final = Family(
    "gauge", "endpoints_revision_info", "The live revision of the endpoints.", ("revision",)
)
