"""The request as the upstream gets it: rebuilt from parsed fields, with what the gateway says of the client."""

import re
from typing import TYPE_CHECKING, Final

from inferway_dataplane.core.messages import trace_context
from inferway_dataplane.core.routing import url_rewrite
from inferway_dataplane.core.runtime import Rule
from inferway_dataplane.core.upstreams.backends import Backend
from inferway_dataplane.engine.http1 import serialize

if TYPE_CHECKING:
    from inferway_dataplane.engine.exchange.exchange import Exchange

_ID: Final = re.compile(rb"[A-Za-z0-9._\-]{8,128}")


# What trusted proxies say beside that; from everybody else it is dropped with the head.
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


def is_well_formed_id(value: bytes) -> bool:
    """Whether a request id of a trusted peer may be kept: it goes into logs and headers."""
    return _ID.fullmatch(value) is not None


def request(exchange: "Exchange", rule: Rule, destination: Backend, secret: bytes) -> bytes:
    """The request head, with its blank line. `secret`: what the destination's credential shows, where it has one."""
    head = exchange.head
    if head.sent_to is destination:
        lines = head.sent
    else:
        lines = _lines(exchange, rule, destination, secret)
        if destination.credential is None:  # secrets change, and are kept in as few places as can be
            head.sent_to, head.sent = destination, lines
    return b"%b%bx-request-id: %b\r\ntraceparent: %b\r\n\r\n" % (
        lines,
        _forwarded(exchange),
        exchange.request_id,
        _traceparent(exchange),
    )


def _lines(exchange: "Exchange", rule: Rule, destination: Backend, secret: bytes) -> bytes:
    """What is the same for everybody who sends this head: a pure function of head, rule, destination and secret."""
    head = exchange.head
    path = head.path
    host = destination.host or head.raw_host or b""
    if rule.rewrite is not None:
        if rule.rewrite.path is not None:
            path = url_rewrite.new_path(rule.rewrite.path, path, exchange.prefix)
        if rule.rewrite.hostname is not None:
            host = rule.rewrite.hostname.encode()
    if destination.path:
        path = destination.path + path
    fields = head.passed
    if rule.request_edits is not None:
        fields = rule.request_edits.apply(fields)
    if destination.credential is not None:
        fields = destination.credential.apply(fields, secret)
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


def _forwarded(exchange: "Exchange") -> bytes:
    """X-Forwarded-*: what we saw; before it what trusted proxies saw. What others claim was dropped with their head."""
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


def _traceparent(exchange: "Exchange") -> bytes:
    """The trace goes on under a span of ours, or starts here; sampled where tracing says so."""
    told = trace_context.well_formed(exchange.head.block.traceparent)
    tracing = exchange.gateway.tracing
    trace = exchange.trace_id = told[3:35] if told is not None else exchange.gateway.trace_id(exchange.span_id)
    if tracing is None and told is not None:
        return told[:36] + exchange.span_id + told[52:]
    if tracing is not None and tracing.samples(told):
        exchange.traceparent = b"00-%b-%b-01" % (trace, exchange.span_id)
        return exchange.traceparent
    return b"00-%b-%b-00" % (trace, exchange.span_id)
