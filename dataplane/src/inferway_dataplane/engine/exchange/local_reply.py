"""Answers that the gateway gives by itself: refusals, direct responses, and what the store had.

Each ends the exchange. All of them are written in one piece.
"""

from typing import TYPE_CHECKING

from inferway_dataplane.core.caching.entry import CacheEntry
from inferway_dataplane.core.messages import problems
from inferway_dataplane.core.messages.problems import Problem
from inferway_dataplane.engine.http1 import serialize

if TYPE_CHECKING:
    from inferway_dataplane.engine.exchange.exchange import Exchange


def refuse(exchange: "Exchange", problem: Problem, lines: bytes = b"", extra: dict[str, object] | None = None) -> bool:
    """Answer with a problem. Returns False, so that a stage can end with `return replies.refuse(...)`."""
    exchange.code = problem.code
    if problem.allow:
        lines += b"allow: %b\r\n" % problem.allow.encode()
    if problem.status == 503:
        lines += b"retry-after: 1\r\n"
    if problem.closes:
        exchange.is_close_after = True
    content = problems.body(problem, exchange.request_id, extra)
    lines += b"cache-control: no-store\r\n"
    return answer(exchange, problem.status, lines, b"application/problem+json", content)


def answer(exchange: "Exchange", status: int, lines: bytes, content_type: bytes = b"", content: bytes = b"") -> bool:
    """Answer without an upstream. `lines` are whole field lines. Returns False: the stages are done."""
    if exchange.rule is not None and exchange.rule.cors is not None and status != 204:
        lines += serialize.lines(exchange.rule.cors.response_fields(exchange.head))
    if content_type:
        lines += b"content-type: %b\r\n" % content_type
    if status not in (204, 304):
        lines += b"content-length: %d\r\n" % len(content)
    head = serialize.status_line(status) + lines + b"date: %b\r\nserver: inferway\r\n" % exchange.gateway.date
    _begin(exchange, status)
    data = head + own_lines(exchange)
    if content and not exchange.is_head_request:
        exchange.bytes_sent = len(content)
        data += content
    exchange.client.write(data)
    exchange.finish()
    return False


def put_stored(exchange: "Exchange", stored: CacheEntry) -> None:
    """Answer from the store."""
    exchange.outcome = "HIT"
    _begin(exchange, stored.status)
    client = exchange.client
    age = stored.age + exchange.started - stored.received
    lines = exchange.limit_lines
    if exchange.rule is not None and exchange.rule.cors is not None:
        lines += serialize.lines(exchange.rule.cors.response_fields(exchange.head))
    if exchange.is_close_after or client.is_closing:
        exchange.is_close_after = True
        lines += b"connection: close\r\n"
    elif not exchange.head.is_http_1_1:
        lines += b"connection: keep-alive\r\n"
    body = b"" if exchange.is_head_request else stored.body
    exchange.bytes_sent = len(body)
    client.transport.write(
        b"%bage: %d\r\n%bx-request-id: %b\r\n\r\n%b" % (stored.head, age, lines, exchange.request_id, body)
    )
    exchange.finish()


def _begin(exchange: "Exchange", status: int) -> None:
    exchange.status = status
    exchange.has_answered = True
    if not exchange.is_request_complete and not exchange.client.may_drain(exchange):
        exchange.is_close_after = True


def own_lines(exchange: "Exchange") -> bytes:
    """The field lines that are this exchange's own, with the blank line that ends a head."""
    lines = b"%bx-request-id: %b\r\n" % (exchange.limit_lines, exchange.request_id)
    if exchange.outcome is not None and exchange.rule is not None and exchange.rule.cache is not None:
        lines += b"%b: %b\r\n" % (exchange.rule.cache.status_header, exchange.outcome.encode())
    if exchange.is_close_after or exchange.client.is_closing:
        exchange.is_close_after = True
        return lines + b"connection: close\r\n\r\n"
    if not exchange.head.is_http_1_1:
        return lines + b"connection: keep-alive\r\n\r\n"
    return lines + b"\r\n"
