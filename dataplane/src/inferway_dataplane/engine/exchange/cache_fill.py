"""Fills the cache from a response on its way to the client: kept only if it ends cleanly."""

import re
from typing import Final

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
        if head.content_length < 0 and not head.is_chunked and head.status != 204:
            return False  # a close-delimited body may be incomplete without a sign of it (RFC 9112 8)
        clock = exchange.context.clock
        now = clock.now()
        # From the client's request on: a wait for a connection or an earlier try never makes a response look younger.
        fresh = freshness.freshness_of(cache, exchange.head, head, now - exchange.started, clock.wall)
        if fresh is None:
            return False
        self._names = cache_keys.vary_names(head)
        lines = b"%b%b%b: HIT\r\n" % (serialize.status_line(head.status), _kept(lines), cache.status_header)
        self._entry = CacheEntry(head.status, lines, b"", fresh.age, now, now + fresh.lifetime)
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
        variant = cache_keys.variant(self._names, exchange.head, exchange.client.peer_bytes)
        exchange.context.store.put(self._key, entry, self._names, variant)

    def on_broken(self) -> None:
        self._entry = None
        self._pieces.clear()


# Of one exchange: the quota that was left then (RateLimit fields of any spelling), and the upstream's name for it.
_OF_ONE_EXCHANGE: Final = re.compile(rb"[^:]*rate[-_]?limit|x-upstream-request-id$", re.IGNORECASE).match


def _kept(lines: bytes) -> bytes:
    """Return the field lines that a stored response keeps (RFC 9111 3.1)."""
    return b"".join(line for line in lines.splitlines(keepends=True) if not _OF_ONE_EXCHANGE(line.partition(b":")[0]))
