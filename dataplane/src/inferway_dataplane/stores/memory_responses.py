"""The memory store: stored answers, least recently used first out, bounded by bytes."""

from collections import OrderedDict
from typing import Final

from inferway_dataplane.core.caching import keys as cache_keys
from inferway_dataplane.core.caching.entry import CacheEntry
from inferway_dataplane.core.messages.request_head import RequestHead

# What an entry costs beside its bytes: objects, dictionary slots, the key's header. Measured once, rounded up.
_OVERHEAD: Final = 700
_MOST_VARIANTS: Final = 32


class _Variants:
    """What stands at a primary key whose answers vary: the fields to vary by, and which variants there are."""

    __slots__ = ("keys", "names")

    def __init__(self, names: tuple[bytes, ...]) -> None:
        self.names = names
        self.keys: OrderedDict[bytes, None] = OrderedDict()


class MemoryResponses:
    """Answers by primary key and, where the answer varies, by variant."""

    def __init__(self, limit: int) -> None:
        """`limit`: bytes, overhead included."""
        self.limit = limit
        self.bytes = 0
        self._entries: OrderedDict[bytes, CacheEntry | _Variants] = OrderedDict()

    def __len__(self) -> int:
        return len(self._entries)

    def find(self, key: bytes, head: RequestHead, now: float) -> CacheEntry | None:
        """The stored answer for a request with this primary key, when there is one and it is fresh."""
        found = self._entries.get(key)
        if found is None:
            return None
        if type(found) is _Variants:
            return self.get(variant_key(key, cache_keys.variant(found.names, head)), now)
        if type(found) is CacheEntry and found.expires > now:
            self._entries.move_to_end(key)
            return found
        self._remove(key)
        return None

    def vary(self, key: bytes) -> tuple[bytes, ...]:
        """The request fields that select a variant of this key."""
        found = self._entries.get(key)
        if type(found) is not _Variants:
            return ()
        self._entries.move_to_end(key)  # as used as its variants are, which go with it
        return found.names

    def get(self, key: bytes, now: float) -> CacheEntry | None:
        """The stored answer when it is fresh; one that is not goes."""
        found = self._entries.get(key)
        if type(found) is not CacheEntry:
            return None
        if found.expires <= now:
            self._remove(key)
            return None
        self._entries.move_to_end(key)
        return found

    def put(self, key: bytes, stored: CacheEntry, names: tuple[bytes, ...], variant: bytes) -> None:
        """Store an answer, in place of what was there. Older entries go until it fits; nothing goes for what never can."""
        if stored.size + 2 * (len(key) + _OVERHEAD) + len(variant) + 1 > self.limit:
            self._remove(variant_key(key, variant) if names else key)
            return
        if names:
            varied = self._entries.get(key)
            if type(varied) is not _Variants or varied.names != names:
                self._remove(key)
                varied = _Variants(names)
                self._insert(key, varied, 0)
            own = variant_key(key, variant)
            varied.keys[own] = None
            varied.keys.move_to_end(own)
            while len(varied.keys) > _MOST_VARIANTS:
                self._remove(varied.keys.popitem(last=False)[0])
            self._entries.move_to_end(key)
            key = own
        self._remove(key)
        self._insert(key, stored, stored.size)
        while self.bytes > self.limit and self._entries:
            self._remove(next(iter(self._entries)))

    def _insert(self, key: bytes, entry: CacheEntry | _Variants, size: int) -> None:
        self._entries[key] = entry
        self.bytes += size + len(key) + _OVERHEAD

    def _remove(self, key: bytes) -> None:
        found = self._entries.pop(key, None)
        if found is None:
            return
        self.bytes -= (found.size if type(found) is CacheEntry else 0) + len(key) + _OVERHEAD
        if type(found) is _Variants:
            for own in found.keys:
                self._remove(own)


def variant_key(key: bytes, variant: bytes) -> bytes:
    """The key of one variant; the separator occurs in no primary key."""
    return key + b"\x02" + variant
