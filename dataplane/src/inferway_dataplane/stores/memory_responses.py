"""The memory store of responses: bounded by bytes, evicts the least recently used."""

from collections import OrderedDict
from typing import Final

from inferway_dataplane.core.caching import keys as cache_keys
from inferway_dataplane.core.caching.freshness import CacheEntry
from inferway_dataplane.core.messages.request_head import RequestHead
from inferway_dataplane.stores.response_store import ResponseStore

# Bytes of an entry in addition to its content: objects, dictionary slots, the key's header. Measured, rounded up.
_OVERHEAD: Final = 700
_MOST_VARIANTS: Final = 32


class _Variants:
    """The entry of a key whose responses vary: names of fields, keys of variants."""

    __slots__ = ("keys", "names")

    def __init__(self, names: tuple[bytes, ...]) -> None:
        self.names = names
        self.keys: OrderedDict[bytes, None] = OrderedDict()  # least recently stored first


class MemoryResponses(ResponseStore):
    """Responses in the memory of this process."""

    __slots__ = ("_entries", "bytes", "limit")

    def __init__(self, limit: int) -> None:
        """`limit`: bytes, overhead included."""
        self.limit = limit
        self.bytes = 0  # in use, overhead included
        self._entries: OrderedDict[bytes, CacheEntry | _Variants] = OrderedDict()  # least recently used first

    def __len__(self) -> int:
        return len(self._entries)

    def find(self, key: bytes, head: RequestHead, peer: bytes, now: float) -> CacheEntry | None:
        """Return the fresh response for a request; remove one that has expired."""
        entry = self._entries.get(key)
        if type(entry) is _Variants:
            self._entries.move_to_end(key)  # its eviction would remove all variants
            key = _variant_key(key, cache_keys.variant(entry.names, head, peer))
            entry = self._entries.get(key)
        if type(entry) is not CacheEntry:
            return None
        if entry.expires <= now:
            self._remove(key)
            return None
        self._entries.move_to_end(key)
        return entry

    def put(self, key: bytes, entry: CacheEntry, names: tuple[bytes, ...], variant: bytes) -> None:
        """Store a response; evict others unless it can never fit."""
        if entry.size + 2 * (len(key) + _OVERHEAD) + len(variant) > self.limit:
            self._remove(_variant_key(key, variant) if names else key)
            return
        if names:
            variants = self._entries.get(key)
            if type(variants) is not _Variants or variants.names != names:
                self._remove(key)
                variants = _Variants(names)
                self._insert(key, variants, 0)
            variant_key = _variant_key(key, variant)
            variants.keys[variant_key] = None
            variants.keys.move_to_end(variant_key)
            while len(variants.keys) > _MOST_VARIANTS:
                self._remove(variants.keys.popitem(last=False)[0])
            self._entries.move_to_end(key)
            key = variant_key
        self._remove(key)
        self._insert(key, entry, entry.size)
        while self.bytes > self.limit and self._entries:
            self._remove(next(iter(self._entries)))

    def _insert(self, key: bytes, entry: CacheEntry | _Variants, size: int) -> None:
        self._entries[key] = entry
        self.bytes += size + len(key) + _OVERHEAD

    def _remove(self, key: bytes) -> None:
        entry = self._entries.pop(key, None)
        if entry is None:
            return
        self.bytes -= (entry.size if type(entry) is CacheEntry else 0) + len(key) + _OVERHEAD
        if type(entry) is _Variants:
            for variant_key in entry.keys:
                self._remove(variant_key)


def _variant_key(key: bytes, variant: bytes) -> bytes:
    """Build the key of one variant; it is longer than every primary key."""
    return key + variant
