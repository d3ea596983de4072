"""OpenTelemetry spans (extra `otel`): one server span for each sampled request, with a client span for its upstream.

Spans are made when an exchange ends, from the times it kept anyway, under the ids that were sent upstream; the hot path
pays one attribute look-up where tracing is off.
"""

from random import random
from time import monotonic, time_ns
from typing import TYPE_CHECKING

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

if TYPE_CHECKING:
    from inferway_dataplane.engine.exchange.exchange import Exchange


class _Ids(IdGenerator):
    """Gives the ids that the exchange has told its upstream; any other span gets random ones."""

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
        """`endpoint`: base URL of an OTLP/HTTP collector; `share` of the requests whose caller did not decide."""
        self._share = share
        self._ids = _Ids()
        self._provider = TracerProvider(
            resource=Resource.create({"service.name": "inferway"}), id_generator=self._ids, shutdown_on_exit=False
        )
        exporter = exporter or OTLPSpanExporter(endpoint=f"{endpoint.rstrip('/')}/v1/traces")
        self._provider.add_span_processor(BatchSpanProcessor(exporter))
        self._tracer = self._provider.get_tracer("inferway")

    def samples(self, told: bytes | None) -> bool:
        """By the caller's decision where there is a valid traceparent (W3C Trace Context 3.2), else by the share."""
        if told is not None:
            return bool(int(told[53:55], 16) & 1)
        return random() < self._share  # noqa: S311 - a sample, no secret

    def record(self, exchange: "Exchange", total: float) -> None:
        """Make the spans of a finished exchange. `total`: seconds."""
        traceparent = exchange.traceparent
        parent = exchange.head.block.traceparent
        ended = time_ns() - int((monotonic() - exchange.started - total) * 1e9)
        started = ended - int(total * 1e9)
        self._ids.trace_id, self._ids.span_id = int(traceparent[3:35], 16), int(traceparent[36:52], 16)
        context = None
        if parent is not None and parent[3:35] == traceparent[3:35]:
            remote = SpanContext(self._ids.trace_id, int(parent[36:52], 16), True, TraceFlags(1))
            context = set_span_in_context(NonRecordingSpan(remote))
        rule = exchange.rule
        span = self._tracer.start_span(
            f"{exchange.head.method.decode('latin-1')} {rule.route if rule is not None else ''}".rstrip(),
            context,
            SpanKind.SERVER,
            {
                "http.request.method": exchange.head.method.decode("latin-1"),
                "http.response.status_code": exchange.status,
                "http.route": f"{rule.route}/{rule.name}" if rule is not None else "",
                "server.address": exchange.head.host.decode("latin-1"),
                "url.path": exchange.head.path.decode("utf-8", "backslashreplace"),
                "client.address": exchange.client_ip,
                "inferway.cache": (exchange.outcome or "").lower(),
                "inferway.code": exchange.code,
            },
            start_time=started,
        )
        tries = exchange.tries
        if tries is not None and tries.first_sent_at and tries.destination is not None:
            sent = started + int((tries.first_sent_at - exchange.started) * 1e9)
            child = self._tracer.start_span(
                exchange.head.method.decode("latin-1"),
                set_span_in_context(span),
                SpanKind.CLIENT,
                {"server.address": tries.destination.name, "http.response.status_code": exchange.status},
                start_time=sent,
            )
            child.end(sent + int(exchange.upstream_seconds * 1e9))
        if exchange.status >= 500:
            span.set_status(Status(StatusCode.ERROR, exchange.code))
        span.end(ended)

    def close(self) -> None:
        """Export what is left."""
        self._provider.shutdown()
