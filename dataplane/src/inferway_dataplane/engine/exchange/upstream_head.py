"""The request's head as the upstream gets it: rebuilt from parsed fields, with what the gateway knows of the client."""

from typing import Final

from inferway_dataplane.core.messages import authority, trace_context
from inferway_dataplane.core.messages.field_kinds import Fields
from inferway_dataplane.core.messages.request_head import RequestHead
from inferway_dataplane.core.routing import filters
from inferway_dataplane.core.rule import Rule
from inferway_dataplane.core.upstreams.backends import Backend
from inferway_dataplane.engine.exchange.exchange import Exchange
from inferway_dataplane.engine.http1 import serialize


def request(exchange: Exchange, rule: Rule, backend: Backend, secret: bytes) -> bytes:
    """The request head, with its blank line. `secret`: the backend's credential, where it has one."""
    head = exchange.head
    if head.sent_to is backend:
        lines = head.sent
    else:
        lines = _lines(exchange, rule, backend, secret)
        if backend.credential is None:  # secrets change, and are kept in few places
            head.sent_to, head.sent = backend, lines
    peer, chain = exchange.client.peer_bytes, head.block.forwarded_for
    # X-Forwarded-For: the peer, behind the addresses that trusted proxies forward.
    forwarded_for = peer if chain is None else b", ".join((*chain, peer))
    return backend.own_fields % (lines, forwarded_for, exchange.request_id, _traceparent(exchange))


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
    fields = _hops_left(head) if head.method == b"OPTIONS" else head.passed
    if backend.hides_client:
        client_lines = b""
        fields = _without_claims(fields, head)
    else:
        client_lines = _used_by_client(head)
    edits = rule.request_edits
    if edits is not None:
        fields = edits.apply(fields)
    via = b"via: 1.1 inferway\r\n" if edits is None or not edits.drops(b"via") else b""
    if backend.credential is not None:
        fields = backend.credential.apply(fields, secret)
    framing = b""
    if head.block.is_chunked:
        framing = b"transfer-encoding: chunked\r\n"
    elif head.block.content_length >= 0:
        framing = b"content-length: %d\r\n" % head.block.content_length
    return b"%b %b%b HTTP/1.1\r\nhost: %b\r\n%b%b%b%b" % (
        head.method,
        path,
        b"" if head.query is None else b"?" + head.query,
        host,
        serialize.lines(fields),
        framing,
        via,
        client_lines,
    )


def _without_claims(fields: Fields, head: RequestHead) -> Fields:
    is_claim = head.block.sender.is_claim
    return [field for field in fields if not is_claim(field[0])]


def _used_by_client(head: RequestHead) -> bytes:
    """The scheme, host and port that the client used."""
    host = head.block.forwarded_host or head.raw_host
    if host:
        lines = b"x-forwarded-proto: %b\r\nx-forwarded-host: %b\r\n" % (head.scheme, host)
    else:  # HTTP/1.0 may come without one
        lines = b"x-forwarded-proto: %b\r\n" % head.scheme
    if head.block.forwarded_port is not None:
        lines += b"x-forwarded-port: %d\r\n" % authority.port_used(head.authority, head.scheme)
    return lines


def _hops_left(head: RequestHead) -> Fields:
    """The fields of an OPTIONS request, with one hop less in Max-Forwards (RFC 9110 7.6.2)."""
    hops = head.block.max_forwards
    if hops is None:
        return head.passed
    left = min(int(hops), _MOST_HOPS) - 1 if len(hops) <= _LONGEST_NUMBER else _MOST_HOPS
    fields = [field for field in head.passed if field[0].lower() != b"max-forwards"]
    return [*fields, (b"max-forwards", b"%d" % left)]


_MOST_HOPS: Final = 255
_LONGEST_NUMBER: Final = 18  # digits


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
