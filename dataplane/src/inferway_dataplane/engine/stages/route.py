"""The first steps of every request: its ids, a place among those in flight, and its rule."""

from inferway_dataplane.core.messages import problems
from inferway_dataplane.core.messages.problems import Problem
from inferway_dataplane.core.messages.request_head import RequestHead
from inferway_dataplane.core.routing.compiled_match import CompiledMatch
from inferway_dataplane.core.rule import Rule
from inferway_dataplane.core.runtime import Runtime
from inferway_dataplane.engine.exchange import local_reply
from inferway_dataplane.engine.exchange.exchange import Exchange
from inferway_dataplane.observability.stats import count_in


def admit(exchange: Exchange) -> bool:
    """Refuse where more requests are in flight than the process takes; `identify` has counted this one."""
    context = exchange.context
    if context.in_flight <= context.max_in_flight:
        return True
    count_in(context.stats.shed, "in_flight" if context.max_in_flight else "memory")
    return local_reply.refuse(exchange, problems.SHED)


def route(exchange: Exchange) -> bool:
    """Find the rule. The runtime is read once, here."""
    if exchange.problem is not None:
        return local_reply.refuse(exchange, exchange.problem)
    runtime = exchange.context.runtime
    if runtime is None:
        return local_reply.refuse(exchange, problems.NO_ROUTE)
    head = exchange.head
    if head.is_for_gateway:
        return local_reply.reply(exchange, 204, b"allow: %b\r\nserver: inferway\r\n" % problems.ALLOW)
    if head.runtime is runtime:
        entry = head.entry
    else:
        entry = _select(head, runtime)
    if entry is None:
        return local_reply.refuse(exchange, head.refusal or problems.NO_ROUTE)
    rule = exchange.take_rule(entry)
    if rule.problem is not None:
        return local_reply.refuse(exchange, rule.problem)
    body = exchange.body
    if head.block.content_length > rule.max_request_body or (body is not None and body.size > rule.max_request_body):
        return local_reply.refuse(exchange, problems.BODY_TOO_LARGE)
    return True


def _select(head: RequestHead, runtime: Runtime) -> CompiledMatch[Rule] | None:
    """Select the rule of a head that is new to the runtime, and keep it in the head; None = refused by `head.refusal`."""
    head.runtime, head.cache_key = runtime, None
    selected = runtime.table.select(head)
    if isinstance(selected, Problem):
        head.entry, head.refusal = None, selected
        return None
    head.entry = selected
    return selected
