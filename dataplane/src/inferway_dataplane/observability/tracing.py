"""OpenTelemetry spans (extra `otel`): one server span for each sampled request, with a client span for its upstream.

Spans are made when an exchange ends, from the times it kept anyway, under the ids that were sent upstream; the hot path
pays one attribute look-up while tracing is off.
"""

from random import random
from time import time_ns

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter
from opentelemetry.sdk.trace.id_generator import IdGenerator, RandomIdGenerator
from opentelemetry.trace import (
    NonRecordingSpan,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    TraceFlags,
    set_span_in_context,
)

from inferway_dataplane.observability.finished_request import FinishedRequest


class _Ids(IdGenerator):
    """Gives the ids that were sent upstream; any other span gets random ones."""

    def __init__(self) -> None:
        self.trace_id = 0
        self.span_id = 0
        self._random = RandomIdGenerator()

    def generate_trace_id(self) -> int:
        return self.trace_id or self._random.generate_trace_id()

    def generate_span_id(self) -> int:
        chosen, self.span_id = self.span_id, 0
        return chosen or self._random.generate_span_id()


class Tracing:
    """Decides which requests are sampled, and exports the spans of those that were."""

    def __init__(self, endpoint: str, share: float, exporter: SpanExporter | None = None) -> None:
        """`endpoint`: base URL of an OTLP/HTTP collector; `share`: of the requests without a caller's decision."""
        self._share = share
        self._ids = _Ids()
        self._provider = TracerProvider(
            resource=Resource.create({"service.name": "inferway"}), id_generator=self._ids, shutdown_on_exit=False
        )
        exporter = exporter or OTLPSpanExporter(endpoint=f"{endpoint.rstrip('/')}/v1/traces")
        self._provider.add_span_processor(BatchSpanProcessor(exporter))
        self._tracer = self._provider.get_tracer("inferway")

    def samples(self, parent: bytes | None) -> bool:
        """By the caller's decision where there is a valid traceparent (W3C Trace Context 3.2), else by the share."""
        if parent is not None:
            return bool(int(parent[53:55], 16) & 1)
        return random() < self._share  # noqa: S311 - a sample, no secret

    def record(self, request: FinishedRequest, now: float) -> None:
        """Make the spans of a request. `now`: monotonic seconds."""
        traceparent, parent = request.traceparent, request.parent
        ended = time_ns() - int((now - request.started - request.seconds) * 1e9)
        started = ended - int(request.seconds * 1e9)
        self._ids.trace_id, self._ids.span_id = int(traceparent[3:35], 16), int(traceparent[36:52], 16)
        context = None
        if parent is not None:
            remote = SpanContext(self._ids.trace_id, int(parent[36:52], 16), True, TraceFlags(1))
            context = set_span_in_context(NonRecordingSpan(remote))
        span = self._tracer.start_span(
            f"{request.method} {request.route}".rstrip(),
            context,
            SpanKind.SERVER,
            {
                "http.request.method": request.method,
                "http.response.status_code": request.status,
                "http.route": f"{request.route}/{request.rule}" if request.route else "",
                "server.address": request.host,
                "url.path": request.path.decode("utf-8", "backslashreplace"),
                "client.address": request.client_ip,
                "inferway.cache": request.cache,
                "inferway.code": request.code,
            },
            start_time=started,
        )
        if request.sent_at:
            sent = started + int((request.sent_at - request.started) * 1e9)
            child = self._tracer.start_span(
                request.method,
                set_span_in_context(span),
                SpanKind.CLIENT,
                {"server.address": request.backend, "http.response.status_code": request.status},
                start_time=sent,
            )
            child.end(sent + int(request.upstream_seconds * 1e9))
        if request.status >= 500:
            span.set_status(Status(StatusCode.ERROR, request.code))
        span.end(ended)

    def close(self) -> None:
        self._provider.shutdown()
