"""Metrics of the operator. Label values come from fixed lists, never from user input."""

from collections.abc import Iterable
from typing import Final, Literal

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.gc_collector import GCCollector
from prometheus_client.platform_collector import PlatformCollector
from prometheus_client.process_collector import ProcessCollector

from inferway_contract.connection_limits import Reason
from inferway_operator.world.bounds import NOTHING, Bounds, Usage

Decision = Literal["allowed", "warned", "denied", "unseen", "broken"]
"""Of an admission review; `unseen` = an object that it does not concern, `broken` = the body is not a review."""
Port = Literal["probes", "reviews"]
ReconcileOutcome = Literal["written", "unchanged", "failed"]
WriteOutcome = Literal["written", "conflict", "failed"]

_DURATIONS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_KINDS: Final = frozenset(
    {
        *("GatewayRoute", "RateLimitPolicy", "Service", "EndpointSlice", "ReferenceGrant", "Namespace"),
        *("Pod", "Lease", "ConfigMap", "Event"),
    }
)


class OperatorMetrics:
    """Counters, gauges and histograms in a registry of their own: two operators may share a process."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.labels: dict[str, tuple[str, ...]] = {}
        """Labels by metric, without the collectors of the Prometheus client."""
        for collector in (ProcessCollector, PlatformCollector, GCCollector):
            collector(registry=self.registry)
        self._reconciles = self._counter(
            "reconciles", "Finished reconciles; `result`: `written`, `unchanged`, `failed`.", "result"
        )
        self._reconcile_seconds = self._histogram("reconcile_seconds", "Duration of a reconcile.")
        self._compile_seconds = self._histogram("compile_seconds", "Duration of compiling the whole world.")
        self._writes = self._counter(
            "writes", "Writes of objects; `result`: `written`, rejected for a `conflict`, `failed`.", "kind", "result"
        )
        self._api_errors = self._counter(
            "api_errors",
            "Requests to the API server that failed; `reason`: a status, `4xx`, `5xx`, `unreachable`.",
            "reason",
        )
        self._leader = self._gauge("leader", "1 while this process is the active operator.")
        self._objects = self._gauge("objects", "Objects in the operator's cache.", "kind")
        self._programmed = self._gauge("objects_programmed", "Objects that every pod serves.", "kind")
        self._refused = self._gauge("objects_refused", "Objects that are not accepted, or only in part.", "kind")
        self._overlapping = self._gauge(
            "routes_overlapping", "GatewayRoutes that share paths of a host with a route of another namespace."
        )
        self._left_out = self._gauge(
            "endpoints_left_out",
            "Endpoints of routed Services that get no requests: their address is not allowed, or there are too many.",
        )
        self._bounds_used = self._gauge(
            "bounds_used_ratio",
            "Part of a bound that accepted objects take; `scope`: of the namespace that takes most, or of all namespaces.",
            "bound",
            "scope",
        )
        self._published = self._gauge(
            "last_published_timestamp_seconds", "Time of the last write of a document, since the epoch."
        )
        self._format = self._gauge(
            "document_format", "Format of the published documents: the newest that every data-plane pod reads."
        )
        self._reviews = self._counter(
            "admission_reviews",
            "Answered admission reviews; `decision`: `allowed`, `warned`, `denied`, `unseen`, `broken`, `overloaded`, `failed`.",
            "kind",
            "decision",
        )
        self._certificate = self._gauge(
            "webhook_certificate_usable",
            "0 while the files of the webhook's certificate are unusable; the previous one stays in use until it expires.",
        )
        self._connections = self._counter(
            "connections_closed",
            "Connections that a limit closed. `port`: `probes`, `reviews`. `reason`: `evicted` (idle longest at a full port),"
            " `full` (all others were busy), or the late step: `handshake`, `head`, `request`, `response`.",
            "port",
            "reason",
        )
        self._review_seconds = self._histogram("admission_review_seconds", "Duration of reviewing one object.")

    def reconciled(self, result: ReconcileOutcome, seconds: float) -> None:
        """Count a reconcile: `written`, `unchanged` (nothing to write) or `failed`; observe its duration in seconds."""
        self._reconciles.labels(result).inc()
        self._reconcile_seconds.observe(seconds)

    def compiled(self, seconds: float) -> None:
        """Observe the duration of a compilation in seconds."""
        self._compile_seconds.observe(seconds)

    def wrote(self, kind: str, result: WriteOutcome) -> None:
        """Count a write; `conflict` = HTTP status 409."""
        self._writes.labels(_label(kind), result).inc()

    def api_failed(self, status: int | None) -> None:
        """Count a failed request to the API server by HTTP status; None = no response."""
        self._api_errors.labels(_reason(status)).inc()

    def leads(self, is_leader: bool) -> None:
        """Set whether this process is the active operator."""
        self._leader.set(is_leader)

    def counted(self, kind: str, objects: int, programmed: int, refused: int) -> None:
        """Set the numbers of resources of the kind: all, those that every pod serves, those not (wholly) accepted."""
        self._objects.labels(_label(kind)).set(objects)
        self._programmed.labels(_label(kind)).set(programmed)
        self._refused.labels(_label(kind)).set(refused)

    def overlapping(self, routes: int) -> None:
        """Set the number of routes that share paths of a host with a route of another namespace."""
        self._overlapping.set(routes)

    def left_out(self, endpoints: int) -> None:
        """Set the number of endpoints that get no requests."""
        self._left_out.set(endpoints)

    def uses(self, usage: Iterable[Usage], bounds: Bounds) -> None:
        """Set how much of the bounds is used. `usage`: of each namespace."""
        usages = [*usage, NOTHING]
        for bound, used, of_namespace, of_all in zip(
            Usage._fields, zip(*usages, strict=True), bounds.namespace, bounds.total, strict=True
        ):
            self._bounds_used.labels(bound, "namespace").set(max(used) / of_namespace)
            self._bounds_used.labels(bound, "all").set(sum(used) / of_all)

    def published(self, at: float) -> None:
        """Set the time of the last publication; `at` in seconds since 1970."""
        self._published.set(at)

    def has_format(self, version: int) -> None:
        """Set the format of the published documents."""
        self._format.set(version)

    def certificate_is(self, *, usable: bool) -> None:
        """Set whether the files of the webhook's certificate are usable."""
        self._certificate.set(usable)

    def connection_closed(self, port: Port, reason: Reason) -> None:
        """Count a connection that a limit closed."""
        self._connections.labels(port, reason).inc()

    def reviewed(self, kind: str, decision: Decision | Literal["failed", "overloaded"], seconds: float) -> None:
        """Count an answered review and observe its seconds; `kind` "" = another kind."""
        self._reviews.labels(_label(kind), decision).inc()
        self._review_seconds.observe(seconds)

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        return Counter(self._named(name, labels), text, labels, registry=self.registry)

    def _gauge(self, name: str, text: str, *labels: str) -> Gauge:
        return Gauge(self._named(name, labels), text, labels, registry=self.registry)

    def _histogram(self, name: str, text: str) -> Histogram:
        return Histogram(self._named(name, ()), text, registry=self.registry, buckets=_DURATIONS)

    def _named(self, name: str, labels: tuple[str, ...]) -> str:
        whole = f"inferway_operator_{name}"
        self.labels[whole] = labels
        return whole


def _label(kind: str) -> str:
    return kind if kind in _KINDS else "other"


def _reason(status: int | None) -> str:
    if status is None:
        return "unreachable"
    return str(status) if status in (401, 403, 404, 409, 410, 422, 429) else f"{status // 100}xx"
