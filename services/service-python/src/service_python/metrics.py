"""The metrics for Prometheus. Labels come from fixed sets only, so a scanner cannot make the registry grow."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector

# The methods of RFC 9110 and PATCH; all other methods share one label.
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"})
OTHER_METHOD = "OTHER"
UNMATCHED_PATH = "unmatched"

# Fine around the default median of 20 ms, up to the default maximum of 1 s, and beyond it for higher maxima.
_BUCKETS = (
    0.001,
    0.0025,
    0.005,
    0.01,
    0.015,
    0.02,
    0.025,
    0.03,
    0.04,
    0.05,
    0.075,
    0.1,
    0.25,
    0.5,
    1.0,
    2.5,
    5.0,
    10.0,
)


class Metrics:
    """The instruments of one application, in a separate registry: two applications in a process do not clash."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self.in_flight = Gauge(
            "service_python_requests_in_flight",
            "Requests being answered now, the one that reads this included.",
            registry=self.registry,
        )
        self._requests = Counter(
            "service_python_requests",
            "Requests answered, by method, path template and status code.",
            ("method", "path", "code"),
            registry=self.registry,
        )
        self._seconds = Histogram(
            "service_python_request_duration_seconds",
            "Time from the request's head to the end of its answer, simulated latency included.",
            ("method", "path"),
            buckets=_BUCKETS,
            registry=self.registry,
        )

    def count(self, *, method: str, path: str | None, status: int, seconds: float) -> None:
        """Count one finished request. `path` is the route's template, None if no route matched."""
        method = method if method in _METHODS else OTHER_METHOD
        path = UNMATCHED_PATH if path is None else path
        self._requests.labels(method, path, str(status)).inc()
        self._seconds.labels(method, path).observe(seconds)
