"""The response cache: answer from the store, or fill it from the upstream's response."""

from inferway_dataplane.core.caching import freshness
from inferway_dataplane.engine.exchange import local_reply
from inferway_dataplane.engine.exchange.cache_fill import CacheFill
from inferway_dataplane.engine.exchange.exchange import BYPASS, MISS, Exchange
from inferway_dataplane.observability.stats import count_in


def cache(exchange: Exchange) -> bool:
    rule = exchange.rule
    if rule is None or rule.cache is None:
        return True
    client = exchange.client
    if client.private is not None:
        # The connection to the server may be a user's, whatever the request's fields are.
        exchange.set_outcome(BYPASS)
        count_in(exchange.stats.bypasses, "private_connection")
        return True
    head = exchange.head
    use = freshness.decide(head)
    if use.bypass:
        exchange.set_outcome(BYPASS)
        count_in(exchange.stats.bypasses, use.bypass)
        return True
    context = exchange.context
    key = head.cache_key
    if key is None:
        key = head.cache_key = rule.cache.key(head, exchange.prefix, context.secret)
    if use.reads:
        stored = context.store.find(key, head, client.peer_bytes, exchange.started)
        if stored is not None:
            rule.stats.fresh_hits += 1
            local_reply.send_stored(exchange, stored)
            return False
    rule.stats.misses += 1
    exchange.set_outcome(MISS)
    exchange.add_tap(CacheFill(exchange, rule.cache, key))
    return True
