"""The request's head as the upstream gets it: rebuilt from parsed fields, with what the gateway knows of the client."""

from typing import Final

from inferway_dataplane.core.messages import trace_context
from inferway_dataplane.core.routing import filters
from inferway_dataplane.core.runtime import Rule
from inferway_dataplane.core.upstreams.backends import Backend
from inferway_dataplane.engine.exchange.exchange import Exchange
from inferway_dataplane.engine.http1 import serialize

# Further fields of trusted proxies; those of other peers were dropped with the head.
_OF_PROXIES: Final = frozenset(
    (
        b"forwarded",
        b"x-forwarded-port",
        b"x-forwarded-prefix",
        b"x-forwarded-server",
        b"x-original-url",
        b"x-real-ip",
        b"x-rewrite-url",
    )
)


def request(exchange: Exchange, rule: Rule, backend: Backend, secret: bytes) -> bytes:
    """The request head, with its blank line. `secret`: the backend's credential, where it has one."""
    head = exchange.head
    if head.sent_to is backend:
        lines = head.sent
    else:
        lines = _lines(exchange, rule, backend, secret)
        if backend.credential is None:  # secrets change, and are kept in few places
            head.sent_to, head.sent = backend, lines
    return b"%b%bx-request-id: %b\r\ntraceparent: %b\r\n\r\n" % (
        lines,
        _forwarded(exchange),
        exchange.request_id,
        _traceparent(exchange),
    )


def _lines(exchange: Exchange, rule: Rule, backend: Backend, secret: bytes) -> bytes:
    """The lines that are the same for every client: a pure function of head, rule, backend and secret."""
    head = exchange.head
    path = head.path
    host = backend.host or head.raw_host or b""
    if rule.rewrite is not None:
        if rule.rewrite.path is not None:
            path = filters.new_path(rule.rewrite.path, path, exchange.prefix)
        if rule.rewrite.hostname is not None:
            host = rule.rewrite.hostname.encode()
    if backend.path:
        path = backend.path + path
    fields = head.passed
    if rule.request_edits is not None:
        fields = rule.request_edits.apply(fields)
    if backend.credential is not None:
        fields = backend.credential.apply(fields, secret)
    framing = b""
    if head.block.is_chunked:
        framing = b"transfer-encoding: chunked\r\n"
    elif head.block.content_length >= 0:
        framing = b"content-length: %d\r\n" % head.block.content_length
    return b"%b %b%b HTTP/1.1\r\nhost: %b\r\n%b%bvia: 1.1 inferway\r\n" % (
        head.method,
        path,
        b"" if head.query is None else b"?" + head.query,
        host,
        serialize.lines(fields),
        framing,
    )


def _forwarded(exchange: Exchange) -> bytes:
    """X-Forwarded-*: what the gateway saw, behind what trusted proxies saw. Other peers' claims were dropped."""
    client, head = exchange.client, exchange.head
    if not client.is_trusted:
        return b"x-forwarded-for: %b\r\nx-forwarded-proto: %b\r\nx-forwarded-host: %b\r\n" % (
            client.peer_bytes,
            client.scheme,
            head.raw_host or b"",
        )
    chain = b", ".join([*(head.block.forwarded_for or ()), client.peer_bytes])
    return b"x-forwarded-for: %b\r\nx-forwarded-proto: %b\r\nx-forwarded-host: %b\r\n%b" % (
        chain,
        head.value(b"x-forwarded-proto") or client.scheme,
        head.value(b"x-forwarded-host") or head.raw_host or b"",
        serialize.lines([field for field in head.fields if field[0].lower() in _OF_PROXIES]),
    )


def _traceparent(exchange: Exchange) -> bytes:
    """Continue the caller's trace under a span of the gateway's, or start one; sampled as tracing decides."""
    parent = exchange.head.block.traceparent
    if parent is not None:
        parent = trace_context.well_formed(parent)
    span_id, tracing = exchange.span_id, exchange.context.tracing
    trace_id = exchange.trace_id if parent is None else parent[3:35]
    if tracing is None and parent is not None:
        return parent[:36] + span_id + parent[52:]
    if tracing is not None and tracing.samples(parent):
        traceparent = b"00-%b-%b-01" % (trace_id, span_id)
        exchange.trace_as(traceparent)
        return traceparent
    return b"00-%b-%b-00" % (trace_id, span_id)
