"""Responses that the gateway gives by itself: refusals, direct responses, and stored ones.

Each ends the exchange, and is written in one piece.
"""

import logging

from inferway_dataplane.core.caching.freshness import CacheEntry
from inferway_dataplane.core.messages import problems
from inferway_dataplane.core.messages.problems import Problem
from inferway_dataplane.engine.exchange.exchange import CACHE_STATUS, HIT, Exchange
from inferway_dataplane.engine.http1 import serialize

log = logging.getLogger("inferway")


def refuse(exchange: Exchange, problem: Problem, lines: bytes = b"", extra: dict[str, object] | None = None) -> bool:
    """Respond with a problem. Returns False, so that a stage can end with `return local_reply.refuse(...)`."""
    if problem.allow:
        lines += b"allow: %b\r\n" % problem.allow.encode()
    if problem.status == 503:
        lines += b"retry-after: 1\r\n"
    if problem.closes:
        exchange.close_after()
    content = problems.body(problem, exchange.request_id, extra)
    lines += b"cache-control: no-store\r\ncontent-type: application/problem+json\r\nserver: inferway\r\n"
    return reply(exchange, problem.status, lines, content, problem.code)


def reply(
    exchange: Exchange,
    status: int,
    lines: bytes,
    content: bytes = b"",
    code: str = "",
    *,
    is_preflight: bool = False,
) -> bool:
    """Respond without an upstream. `lines`: whole field lines; `code`: of a problem. Returns False, as `refuse`.

    `is_preflight`: the lines have the CORS fields already.
    """
    if exchange.rule is not None and exchange.rule.cors is not None and not is_preflight:
        lines += serialize.lines(exchange.rule.cors.response_fields(exchange.head))
    if status not in (204, 304):
        lines += b"content-length: %d\r\n" % len(content)
    lines += b"date: %b\r\n" % exchange.context.clock.date
    if exchange.is_head_request:
        content = b""
    exchange.begin_reply(status, exchange.outcome, len(content), code)
    exchange.client.write(serialize.status_line(status) + lines + own_lines(exchange) + content)
    exchange.finish()
    return False


def send_stored(exchange: Exchange, stored: CacheEntry) -> None:
    body = b"" if exchange.is_head_request else stored.body
    exchange.begin_reply(stored.status, HIT, len(body))
    age = stored.age + exchange.started - stored.received
    lines = exchange.limit_lines
    if exchange.rule is not None and exchange.rule.cors is not None:
        lines += serialize.lines(exchange.rule.cors.response_fields(exchange.head))
    if exchange.is_close_after:
        lines += b"connection: close\r\n"
    elif not exchange.head.is_http_1_1:
        lines += b"connection: keep-alive\r\n"
    write = exchange.client.write
    write(b"%bage: %d\r\n%bx-request-id: %b\r\n\r\n%b" % (stored.head, age, lines, exchange.request_id, body))
    exchange.finish()


def own_lines(exchange: Exchange) -> bytes:
    """The field lines that are this exchange's own, with the blank line that ends a head."""
    lines = b"%bx-request-id: %b\r\n" % (exchange.limit_lines, exchange.request_id)
    if exchange.outcome and exchange.rule is not None and exchange.rule.cache is not None:
        lines += b"%b: %b\r\n" % (exchange.rule.cache.status_header, CACHE_STATUS[exchange.outcome])
    if exchange.is_close_after:
        return lines + b"connection: close\r\n\r\n"
    if not exchange.head.is_http_1_1:
        return lines + b"connection: keep-alive\r\n\r\n"
    return lines + b"\r\n"


def break_off(exchange: Exchange, problem: Problem) -> None:
    """End an exchange whose request failed: stop the upstream's part, then respond if that is still possible."""
    if exchange.is_finished:
        return
    try:
        exchange.release()
        if exchange.has_answered:
            exchange.cut(problem)
        else:
            refuse(exchange, problem)
    except Exception:
        log.exception("unexpected error while ending an exchange")
        exchange.cut(problem)


def fail(exchange: Exchange) -> None:
    """End an exchange in which an unexpected error is being handled; it is logged."""
    log.exception("unexpected error in an exchange")
    break_off(exchange, problems.INTERNAL)
