"""Responses that a rule gives by itself: to preflights, redirects, direct responses."""

from inferway_dataplane.core.messages.problems import Problem
from inferway_dataplane.engine.exchange import local_reply
from inferway_dataplane.engine.exchange.exchange import Exchange
from inferway_dataplane.engine.http1 import serialize


def respond(exchange: Exchange) -> bool:
    """Give the rule's own response, if it has one for this request."""
    rule = exchange.rule
    if rule is None or rule.responses is None:
        return True
    response = rule.responses.decide(exchange.head, exchange.prefix)
    if response is None:
        return True
    if isinstance(response, Problem):
        return local_reply.refuse(exchange, response)
    return local_reply.reply(exchange, response.status, serialize.lines(response.fields), response.content)


def preflight(exchange: Exchange) -> bool:
    """Answer a CORS preflight, for a rule with a CORS filter."""
    rule = exchange.rule
    if rule is None or rule.cors is None:
        return True
    lines = serialize.lines(rule.cors.preflight_fields(exchange.head))
    return local_reply.reply(exchange, 204, lines + b"server: inferway\r\n", is_preflight=True)
