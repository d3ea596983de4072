"""Fills the cache from a response on its way to the client: kept only if it ends cleanly."""

from inferway_dataplane.core.caching import freshness
from inferway_dataplane.core.caching import keys as cache_keys
from inferway_dataplane.core.caching.freshness import CacheEntry
from inferway_dataplane.core.caching.keys import CacheRules
from inferway_dataplane.core.messages.response_head import ResponseHead
from inferway_dataplane.engine.exchange.exchange import Exchange
from inferway_dataplane.engine.exchange.hooks import ResponseTap
from inferway_dataplane.engine.http1 import serialize


class CacheFill(ResponseTap):
    """Collects one response for the store."""

    __slots__ = ("_cache", "_entry", "_exchange", "_key", "_names", "_pieces", "_size")

    def __init__(self, exchange: Exchange, cache: CacheRules, key: bytes) -> None:
        self._exchange = exchange
        self._cache = cache
        self._key = key
        self._entry: CacheEntry | None = None  # None: it is not stored
        self._names: tuple[bytes, ...] = ()
        self._pieces: list[bytes] = []
        self._size = 0

    def on_head(self, head: ResponseHead, lines: bytes) -> bool:
        exchange, cache = self._exchange, self._cache
        if exchange.is_head_request or head.content_length > cache.max_body:
            return False
        if head.content_length < 0 and not head.is_chunked:
            return False  # a close-delimited body may be incomplete without a sign of it (RFC 9112 8)
        clock = exchange.context.clock
        lifetime = freshness.lifetime(cache, exchange.head, head, clock.wall)
        if lifetime <= 0:
            return False
        now = clock.now()
        self._names = cache_keys.vary_names(head)
        lines = b"%b%b%b: HIT\r\n" % (serialize.status_line(head.status), lines, cache.status_header)
        self._entry = CacheEntry(head.status, lines, b"", freshness.age(head), now, now + lifetime)
        return True

    def on_body(self, data: bytes) -> None:
        """Keep a piece, until they are more than the rule allows to be stored."""
        if self._entry is None:
            return
        self._size += len(data)
        if self._size > self._cache.max_body:
            self._entry = None
            self._pieces.clear()
        else:
            self._pieces.append(data)

    def on_end(self) -> None:
        entry, exchange = self._entry, self._exchange
        if entry is None:
            return
        entry.body = b"".join(self._pieces)
        if entry.status != 204:
            entry.head += b"content-length: %d\r\n" % len(entry.body)
        entry.size = len(entry.head) + len(entry.body)
        exchange.context.store.put(self._key, entry, self._names, cache_keys.variant(self._names, exchange.head))

    def on_broken(self) -> None:
        self._entry = None
        self._pieces.clear()
