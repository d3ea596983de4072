"""Reports finished exchanges to the access log and to tracing."""

from typing import Final

from inferway_dataplane.core.messages import problems, trace_context
from inferway_dataplane.engine.exchange.exchange import CACHE_NAMES, Exchange
from inferway_dataplane.engine.exchange.upstream_request import UpstreamRequest
from inferway_dataplane.observability.finished_request import FinishedRequest

_LONGEST_ID: Final = 128  # bytes of an upstream's request id in the log


def report(exchange: Exchange, seconds: float) -> None:
    """Log a finished exchange if the log has a place for it, and trace it if it is sampled."""
    context = exchange.context
    log, tracing = context.access_log, context.tracing
    is_failed = exchange.status >= 500 and exchange.code not in problems.CLIENT_CODES
    is_logged = log.wants(is_failed=is_failed)
    if not is_logged:
        log.left_out += 1
        if not exchange.traceparent:
            return
    head, rule, work = exchange.head, exchange.rule, exchange.work
    asked = work if isinstance(work, UpstreamRequest) and work.first_sent_at else None
    parent = trace_context.well_formed(head.block.traceparent)
    trace_id = parent[3:35] if parent is not None else b""
    if asked is not None and parent is None:
        trace_id = exchange.trace_id
    request = FinishedRequest(
        request_id=exchange.request_id.decode("latin-1"),
        trace_id=trace_id.decode("latin-1"),
        traceparent=exchange.traceparent,
        parent=parent,
        method=head.method.decode("latin-1"),
        host=head.host.decode("latin-1"),
        path=head.path,
        query=head.query,
        route=rule.route if rule is not None else "",
        rule=rule.name if rule is not None else "",
        backend=asked.backend.name if asked is not None and asked.backend is not None else "",
        status=exchange.status,
        is_failed=is_failed,
        code=exchange.code,
        bytes_sent=exchange.bytes_sent,
        seconds=seconds,
        upstream_id=asked.upstream_id[:_LONGEST_ID].decode("latin-1") if asked is not None else "",
        upstream_seconds=exchange.upstream_seconds,
        started=exchange.started,
        sent_at=asked.first_sent_at if asked is not None else 0.0,
        cache=CACHE_NAMES[exchange.outcome],
        client_ip=exchange.client_ip,
    )
    if is_logged:
        log.write(request)
    if tracing is not None and exchange.traceparent:
        tracing.record(request, context.now())
