"""Storing an answer while it goes to the client: collected piece by piece, kept only when it ended cleanly."""

from time import monotonic, time
from typing import TYPE_CHECKING

from inferway_dataplane.core.caching import freshness
from inferway_dataplane.core.caching import keys as cache_keys
from inferway_dataplane.core.caching.entry import CacheEntry
from inferway_dataplane.core.messages.response_head import ResponseHead
from inferway_dataplane.engine.http1 import serialize

if TYPE_CHECKING:
    from inferway_dataplane.engine.exchange.exchange import Exchange


def begin(exchange: "Exchange", answer: ResponseHead, head: bytes) -> None:
    """Decide whether to store, and start to collect. `head`: the field lines that a stored answer repeats."""
    rule = exchange.rule
    if rule is None or rule.cache is None or exchange.is_head_request:
        return
    cache = rule.cache
    if answer.content_length > cache.max_body:
        return
    if answer.content_length < 0 and not answer.is_chunked:
        return  # only the end of the connection would say that it is whole, and that says nothing (RFC 9112 8)
    lifetime = freshness.lifetime(cache, exchange.head, answer, time)
    if lifetime <= 0:
        return
    now = monotonic()
    names = cache_keys.vary_names(answer)
    head = b"%b%b%b: HIT\r\n" % (serialize.status_line(answer.status), head, cache.status_header)
    stored = CacheEntry(answer.status, head, b"", freshness.age(answer), now, now + lifetime)
    exchange.pending_store = (stored, names)
    exchange.collected = []
    exchange.collected_size = 0


def collect(exchange: "Exchange", data: bytes) -> None:
    """Keep a piece, until it is more than the rule allows to be stored."""
    if exchange.collected is None or exchange.rule is None or exchange.rule.cache is None:
        return
    exchange.collected_size += len(data)
    if exchange.collected_size > exchange.rule.cache.max_body:
        exchange.collected = None
    else:
        exchange.collected.append(data)


def keep(exchange: "Exchange") -> None:
    """The answer is complete: store it."""
    if exchange.collected is None or exchange.cache_key is None or exchange.pending_store is None:
        return
    stored, names = exchange.pending_store
    stored.body = b"".join(exchange.collected)
    if stored.status != 204:
        stored.head += b"content-length: %d\r\n" % len(stored.body)
    stored.size = len(stored.head) + len(stored.body)
    exchange.gateway.store.put(exchange.cache_key, stored, names, cache_keys.variant(names, exchange.head))
