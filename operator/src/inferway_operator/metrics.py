"""Metrics of the operator. Labels take few values, all of them named here: nothing that a user writes is one."""

from typing import Final, Literal

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.gc_collector import GCCollector
from prometheus_client.platform_collector import PlatformCollector
from prometheus_client.process_collector import ProcessCollector

from inferway_operator.admission.review import Decision

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
    """What the operator counts, in a registry of its own so that two operators may share a process."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        for collector in (ProcessCollector, PlatformCollector, GCCollector):
            collector(registry=self.registry)
        self._reconciles = self._counter("reconciles", "Finished reconciles.", "result")
        self._reconcile_seconds = self._histogram("reconcile_seconds", "From a reconcile's beginning to its end.")
        self._compile_seconds = self._histogram("compile_seconds", "Compiling the whole world.")
        self._writes = self._counter("writes", "Objects that were to be written.", "kind", "result")
        self._api_errors = self._counter("api_errors", "Requests to the API server that failed.", "reason")
        self._leader = self._gauge("leader", "1 while this process is the active operator.")
        self._objects = self._gauge("objects", "Objects that the operator knows.", "kind")
        self._programmed = self._gauge("objects_programmed", "Objects that every pod serves.", "kind")
        self._refused = self._gauge("objects_refused", "Objects that are not accepted, or not all of them.", "kind")
        self._published = self._gauge("last_published_timestamp_seconds", "When a document was written last.")
        self._reviews = self._counter("admission_reviews", "Answered admission reviews.", "kind", "decision")
        self._certificate = self._gauge("webhook_certificate_usable", "1 while the certificate's files can be used.")
        self._review_seconds = self._histogram("admission_review_seconds", "Judging one object.")

    def reconciled(self, result: ReconcileOutcome, seconds: float) -> None:
        """A reconcile ended: with writes, without need of any, or with an error."""
        self._reconciles.labels(result).inc()
        self._reconcile_seconds.observe(seconds)

    def compiled(self, seconds: float) -> None:
        """The world was compiled."""
        self._compile_seconds.observe(seconds)

    def wrote(self, kind: str, result: WriteOutcome) -> None:
        """One object was written, or refused for a conflict, or not written for any other reason."""
        self._writes.labels(_known(kind), result).inc()

    def api_failed(self, status: int | None) -> None:
        """A request to the API server failed; `status` of its answer, None when there was none."""
        self._api_errors.labels(_reason(status)).inc()

    def leads(self, is_leader: bool) -> None:
        """Whether this process is the active operator."""
        self._leader.set(is_leader)

    def counted(self, kind: str, known: int) -> None:
        """How many objects of this kind are in the world."""
        self._objects.labels(_known(kind)).set(known)

    def judged(self, kind: str, programmed: int, refused: int) -> None:
        """How many resources of this kind are served by every pod, and how many are not (wholly) accepted."""
        self._programmed.labels(_known(kind)).set(programmed)
        self._refused.labels(_known(kind)).set(refused)

    def published(self, at: float) -> None:
        """A new document is there; `at` in seconds since 1970."""
        self._published.set(at)

    def certificate_is(self, *, usable: bool) -> None:
        """Whether the files of the webhook's certificate, as they are now, can be used."""
        self._certificate.set(usable)

    def reviewed(self, kind: str, decision: Decision | Literal["failed"], seconds: float) -> None:
        """The webhook answered; `kind` "" is of no interest to it."""
        self._reviews.labels(_known(kind), decision).inc()
        self._review_seconds.observe(seconds)

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        return Counter(f"inferway_operator_{name}", text, labels, registry=self.registry)

    def _gauge(self, name: str, text: str, *labels: str) -> Gauge:
        return Gauge(f"inferway_operator_{name}", text, labels, registry=self.registry)

    def _histogram(self, name: str, text: str) -> Histogram:
        return Histogram(f"inferway_operator_{name}", text, registry=self.registry, buckets=_DURATIONS)


def _known(kind: str) -> str:
    return kind if kind in _KINDS else "other"


def _reason(status: int | None) -> str:
    if status is None:
        return "unreachable"
    return str(status) if status in (401, 403, 404, 409, 410, 422, 429) else f"{status // 100}xx"
