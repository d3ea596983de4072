"""Spans of real exchanges, exported to memory."""

from __future__ import annotations

from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind

from inferway_dataplane.observability.tracing import Tracing

ROUTE = """
apiVersion: inferway.dev/v1alpha1
kind: GatewayRoute
metadata: {{name: traced}}
spec:
  rules:
  - backendRefs: [{{url: "http://127.0.0.1:{port}"}}]
"""
PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def test_sampled_trace_of_the_client_has_two_spans(serve, upstream):
    gateway = serve(ROUTE.format(port=upstream.port))
    exporter = InMemorySpanExporter()
    tracing = gateway.plane.gateway.context.tracing = Tracing("", 0.0, exporter)
    assert gateway.request("/a?b", traceparent=PARENT).status == 200
    tracing.close()
    child, server = exporter.get_finished_spans()
    assert (server.kind, child.kind) == (SpanKind.SERVER, SpanKind.CLIENT)
    assert f"{server.context.trace_id:032x}" == PARENT[3:35]
    assert f"{server.parent.span_id:016x}" == PARENT[36:52]
    assert child.parent.span_id == server.context.span_id
    assert upstream.seen[0].header("traceparent") == f"{PARENT[:36]}{server.context.span_id:016x}-01"
    assert server.attributes["http.response.status_code"] == 200
    assert server.start_time <= child.start_time <= child.end_time <= server.end_time


def test_unsampled_trace_of_the_client_has_no_span(serve, upstream):
    gateway = serve(ROUTE.format(port=upstream.port))
    exporter = InMemorySpanExporter()
    tracing = gateway.plane.gateway.context.tracing = Tracing("", 1.0, exporter)
    assert gateway.request("/", traceparent=PARENT[:-2] + "00").status == 200
    tracing.close()
    assert exporter.get_finished_spans() == ()
    assert upstream.seen[0].header("traceparent").endswith("-00")


def test_request_without_traceparent_is_sampled_by_the_setting(serve, upstream):
    gateway = serve(ROUTE.format(port=upstream.port))
    exporter = InMemorySpanExporter()
    tracing = gateway.plane.gateway.context.tracing = Tracing("", 1.0, exporter)
    assert gateway.request("/").status == 200
    tracing.close()
    _, server = exporter.get_finished_spans()
    assert server.parent is None
    assert (
        upstream.seen[0].header("traceparent") == f"00-{server.context.trace_id:032x}-{server.context.span_id:016x}-01"
    )
