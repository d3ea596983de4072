"""The interface of response stores, whatever holds the entries."""

from abc import ABC, abstractmethod

from inferway_dataplane.core.caching.freshness import CacheEntry
from inferway_dataplane.core.messages.request_head import RequestHead


class ResponseStore(ABC):
    """Stored responses by primary key and, where a response varies, by variant (RFC 9111 4.1)."""

    # An abstract class and not a Protocol, because `find` runs for each request of a cached rule.
    __slots__ = ()

    @abstractmethod
    def find(self, key: bytes, head: RequestHead, peer: bytes, now: float) -> CacheEntry | None:
        """Return the fresh response for a request with this primary key.

        `peer`: the address that the request came from; `now`: monotonic seconds.
        """

    @abstractmethod
    def put(self, key: bytes, entry: CacheEntry, names: tuple[bytes, ...], variant: bytes) -> None:
        """Store a response in place of an older one.

        `names`: the request fields that select it (Vary), empty = it does not vary; `variant`: their values
        (`core.caching.keys.variant`). Other names than those stored replace all variants of the key.
        """
