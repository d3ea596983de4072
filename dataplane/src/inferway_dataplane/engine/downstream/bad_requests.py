"""What cannot be read: the one place that decides to refuse bytes that never became a request, and by which problem.

Every refusal here closes: after bytes that have no reading, or two, nobody knows where the next message begins
(RFC 9112 2.2, 11.2). The answer still waits for its turn behind the answers of the requests before it.
"""

from time import monotonic
from typing import TYPE_CHECKING

import httptools

from inferway_dataplane.core.messages import problems
from inferway_dataplane.core.messages.problems import Problem
from inferway_dataplane.core.messages.request_head import FieldBlock, RequestHead
from inferway_dataplane.engine.exchange.exchange import Exchange
from inferway_dataplane.observability.stats import count_in

if TYPE_CHECKING:
    from inferway_dataplane.engine.downstream.connection import ClientConnection


class BadRequest(Exception):  # noqa: N818 - it names what happens
    """Carries a problem out of a parser callback."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.code)
        self.problem = problem


def parser_error(client: "ClientConnection", error: httptools.HttpParserError) -> None:
    """The parser stopped: at what it cannot read, or because one of our callbacks raised.

    Raises what a callback raised, when that was a mistake of ours: the loop's handler logs it.
    """
    cause = error.__context__
    if isinstance(cause, BadRequest):
        refuse(client, cause.problem)
    elif cause is not None and not isinstance(cause, httptools.HttpParserError):
        refuse(client, problems.INTERNAL)  # it costs this connection
        raise cause
    elif isinstance(error, httptools.HttpParserInvalidMethodError):
        refuse(client, problems.UNKNOWN_METHOD)
    else:
        refuse(client, problems.MALFORMED)


def refuse(client: "ClientConnection", problem: Problem) -> None:
    """Answer a request that never became one, after those before it, and close."""
    if client.is_deaf:
        return
    client.is_deaf = True
    count_in(client.gateway.stats.refused, problem.code)
    receiving, client.receiving = client.receiving, None
    if receiving is not None and not receiving.is_finished:
        # Its head was fine and its body is not: the upstream must not see a complete request.
        receiving.is_close_after = True
        if receiving is client.current:
            receiving.break_off(problem)
        else:
            receiving.problem = problem
        return
    exchange = Exchange(client, RequestHead(b"", FieldBlock([], True)), monotonic())
    exchange.problem = problem
    exchange.is_close_after = True
    client.take_turn(exchange)


def check_incomplete(client: "ClientConnection") -> None:
    """A head that is not complete yet: refuse it when it is too large already."""
    problem = size_problem(client)
    settings = client.gateway.settings
    if problem is None and client.fed > settings.max_header_bytes + settings.max_request_line:
        # What was fed is more than what was parsed: one field so long that the parser has not told of it yet.
        problem = problems.HEAD_TOO_LARGE
    if problem is not None:
        refuse(client, problem)


def size_problem(client: "ClientConnection") -> Problem | None:
    """Which limit the parsed part of the current head breaks."""
    settings = client.gateway.settings
    if len(client.line.partition(b"\r\n")[0]) > settings.max_request_line:
        return problems.TARGET_TOO_LONG
    size = sum(len(name) + len(value) + 4 for name, value in client.fields)
    if len(client.fields) > settings.max_header_count or size > settings.max_header_bytes:
        return problems.HEAD_TOO_LARGE
    return None
