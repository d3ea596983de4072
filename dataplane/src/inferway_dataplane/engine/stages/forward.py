"""The last stage: send the request to an upstream."""

from inferway_dataplane.core.messages import problems
from inferway_dataplane.engine.exchange import local_reply
from inferway_dataplane.engine.exchange.exchange import Exchange
from inferway_dataplane.engine.exchange.upstream_request import UpstreamRequest
from inferway_dataplane.engine.http1 import serialize
from inferway_dataplane.observability.stats import count_in


def forward(exchange: Exchange) -> bool:
    rule = exchange.rule
    if rule is None:
        return local_reply.refuse(exchange, problems.NO_ROUTE)
    started, clock = exchange.started, exchange.context.clock
    # A request that has waited for its turn, or in a stage, begins now: that wait is not part of its time limits.
    now = started if clock.coarse_now <= started else clock.now()
    request = UpstreamRequest(exchange, rule, now)
    if not rule.breaker.enter():
        count_in(exchange.stats.upstream_errors, problems.OVERLOAD.code)
        return local_reply.refuse(exchange, problems.OVERLOAD)
    exchange.wait_for(request)  # it leaves the breaker; nothing may come between
    if exchange.head.block.expects_continue and not exchange.is_request_complete:
        exchange.client.write(serialize.CONTINUE)
    request.begin(now)
    return False
