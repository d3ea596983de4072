"""Rate limits: take from every limit of the rule, or from none and refuse."""

from inferway_dataplane.core.limits import decision
from inferway_dataplane.core.limits.key_values import AmbiguousKey
from inferway_dataplane.core.messages import problems
from inferway_dataplane.engine.exchange import local_reply
from inferway_dataplane.engine.exchange.exchange import Exchange


def limit(exchange: Exchange) -> bool:
    rule = exchange.rule
    if rule is None:
        return True
    try:
        result = decision.decide(rule.limits, rule.limit_headers, exchange.head, exchange.client_ip, exchange.started)
    except AmbiguousKey as error:
        return local_reply.refuse(exchange, problems.AMBIGUOUS_KEY, extra={error.kind: error.name})
    if isinstance(result, bytes):
        exchange.set_limit_lines(result)
        return True
    bucket = result.bucket
    bucket.dropped += 1
    exchange.set_limit_lines(result.lines)
    # The draft's member has a hyphen (draft-ietf-httpapi-ratelimit-headers-10, problem type quota-exceeded).
    extra: dict[str, object] = {
        "violated-policies": result.violated,
        "limit": bucket.name,
        "policy": bucket.policy,
    }
    lines = b""
    if result.retry_after:
        extra["retryAfter"] = result.retry_after
        lines = b"retry-after: %d\r\n" % result.retry_after
    return local_reply.refuse(exchange, problems.RATE_LIMITED, lines, extra)
