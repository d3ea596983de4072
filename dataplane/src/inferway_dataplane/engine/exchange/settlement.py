"""What follows the end of every exchange: counters, log and traces."""

from inferway_dataplane.core.messages import trace_context
from inferway_dataplane.engine.exchange.exchange import CACHE_NAMES, Exchange
from inferway_dataplane.engine.exchange.upstream_request import UpstreamRequest
from inferway_dataplane.observability.finished_request import FinishedRequest


def settle(exchange: Exchange, seconds: float) -> None:
    """Count the request, give back its place among those in flight; log and trace it, where it is logged or sampled."""
    context, stats, status = exchange.context, exchange.stats, exchange.status
    context.in_flight -= 1
    stats.by_method[exchange.head.method][status] += 1
    observe = stats.duration.observe
    observe(seconds)
    # Up to the head of the response: the upstream or the client decides how long a body streams.
    answered_at = exchange.answered_at
    observe = context.stats.overhead.observe
    observe(answered_at - exchange.started - exchange.upstream_seconds if answered_at else seconds)
    log = context.access_log
    is_logged = (log.left or status >= 500) and log.wants(status)
    if not is_logged:
        log.left_out += 1
    if is_logged or exchange.traceparent:
        request = finished_request(exchange, seconds)
        if is_logged:
            log.write(request)
        if exchange.traceparent and context.tracing is not None:
            context.tracing.record(request, context.now())


def finished_request(exchange: Exchange, seconds: float) -> FinishedRequest:
    """The facts about a finished exchange."""
    head, rule, work = exchange.head, exchange.rule, exchange.work
    asked = work if isinstance(work, UpstreamRequest) and work.first_sent_at else None
    parent = trace_context.well_formed(head.block.traceparent)
    trace_id = parent[3:35] if parent is not None else b""
    if asked is not None and parent is None:
        trace_id = exchange.trace_id
    return FinishedRequest(
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
        code=exchange.code,
        bytes_sent=exchange.bytes_sent,
        seconds=seconds,
        upstream_seconds=exchange.upstream_seconds,
        started=exchange.started,
        sent_at=asked.first_sent_at if asked is not None else 0.0,
        cache=CACHE_NAMES[exchange.outcome],
        client_ip=exchange.client_ip,
    )
