"""Getting an answer: a connection to an endpoint, the request on it, and whether it may be sent once more.

Everything is a synchronous callback where an idle connection waits; only a new connection is a task.
"""

import asyncio
import logging
from time import monotonic
from typing import TYPE_CHECKING, Final

from inferway_dataplane.core import problems
from inferway_dataplane.core.problems import Problem
from inferway_dataplane.engine import replies
from inferway_dataplane.engine.endpoints import ConnectFailed, Endpoint
from inferway_dataplane.engine.upstream import UpstreamConnection
from inferway_dataplane.observe import count_in

if TYPE_CHECKING:
    from inferway_dataplane.engine.exchange import Exchange

log = logging.getLogger("inferway")

_IDEMPOTENT: Final = frozenset((b"GET", b"HEAD", b"OPTIONS", b"PUT", b"DELETE"))


def send(exchange: "Exchange", endpoint: Endpoint, request: bytes) -> None:
    """Send the request on an idle connection, or wait for a new one."""
    exchange.request_bytes = request
    connection = endpoint.take()
    if connection is not None:
        _use(exchange, connection)
    else:
        exchange.connecting = asyncio.get_running_loop().create_task(_connect(exchange, endpoint))


async def _connect(exchange: "Exchange", endpoint: Endpoint) -> None:
    rule = exchange.own_rule()
    try:
        remaining = exchange.started + rule.request_timeout - monotonic()
        connection = await endpoint.connect(min(rule.connect_timeout, max(remaining, 0.001)))
    except ConnectFailed as failure:
        exchange.connecting = None
        count_in(exchange.stats.upstream_errors, failure.problem.code)
        if not exchange.is_finished:
            replies.refuse(exchange, failure.problem)
        return
    except Exception:
        # A mistake of ours, or of a library below: it costs this request, is told, and nobody waits for ever.
        log.exception("a connection failed in a way that is not foreseen")
        exchange.connecting = None
        if not exchange.is_finished:
            replies.refuse(exchange, problems.INTERNAL)
        return
    exchange.connecting = None
    if exchange.is_finished:
        connection.transport.close()
    else:
        _use(exchange, connection)


def _use(exchange: "Exchange", connection: UpstreamConnection) -> None:
    rule = exchange.own_rule()
    exchange.upstream = connection
    now = exchange.sent_at = monotonic()
    data = exchange.request_bytes
    if exchange.body is not None:
        data += b"".join(exchange.body)
        exchange.body = None
        exchange.client.resume("body")
    deadline = min(now + rule.backend_timeout, exchange.started + rule.request_timeout)
    if exchange.client.is_write_paused:
        connection.pause()
    connection.start(exchange, data, deadline, rule.stream_idle, rule.max_response_header)


def on_broken(exchange: "Exchange", problem: Problem, *, unanswered: bool) -> None:
    """The upstream connection failed under us."""
    connection, exchange.upstream = exchange.upstream, None
    if exchange.is_finished:
        return
    if connection is not None and unanswered and connection.is_reused and _may_resend(exchange, problem):
        # RFC 9110 9.2.2: it closed while we were sending; nobody has seen the request, or it does no harm twice.
        exchange.is_resent = True
        exchange.connecting = asyncio.get_running_loop().create_task(_connect(exchange, connection.endpoint))
        return
    count_in(exchange.stats.upstream_errors, problem.code)
    if exchange.has_answered:
        # The client has a part of the answer: it must see that the end is missing.
        exchange.cut_answer(problem)
    else:
        replies.refuse(exchange, problem)


def _may_resend(exchange: "Exchange", problem: Problem) -> bool:
    return (
        problem is problems.UPSTREAM_CLOSED
        and not exchange.is_resent
        and not exchange.head.block.has_body
        and exchange.head.method in _IDEMPOTENT
    )


def release(exchange: "Exchange") -> None:
    """Nobody wants the answer any more: end the try that is under way."""
    if exchange.connecting is not None:
        exchange.connecting.cancel()
        exchange.connecting = None
    if exchange.upstream is not None:
        connection, exchange.upstream = exchange.upstream, None
        connection.abandon()
