"""Cache keys: the primary key of a request, and the variant that Vary selects (RFC 9111, section 4.1)."""

import hmac
from typing import Final
from urllib.parse import unquote_to_bytes

from inferway_contract.document import Cache
from inferway_dataplane.core.messages.request_head import RequestHead
from inferway_dataplane.core.messages.response_head import ResponseHead

_SEPARATOR: Final = b"\x00"  # the parser refuses it everywhere, so no part of a key can hold it


_ABSENT: Final = b"\x01"  # likewise; an absent header is not an empty one


class CacheRules:
    """A rule's cache settings, ready to decide. Times in seconds."""

    __slots__ = (
        "_exclude",
        "_header_names",
        "_host",
        "_include",
        "_is_isolated",
        "_is_plain_query",
        "_prefix",
        "_sort",
        "max_body",
        "max_ttl",
        "status_header",
        "statuses",
        "ttl",
    )

    def __init__(self, cache: Cache, scope: str) -> None:
        """`scope` names route and rule: two rules never share an answer."""
        self.ttl = (cache.ttl or 0) / 1000
        self.max_ttl = cache.max_ttl / 1000
        self.statuses = frozenset(cache.statuses) - {206, 304}
        self.max_body = cache.max_body
        self.status_header = cache.status_header.encode()
        self._prefix = scope.encode()
        self._host = cache.key_host
        self._header_names = tuple(name.lower().encode() for name in cache.key_headers)
        self._is_isolated = cache.identity == "Isolate"
        self._include = frozenset(name.encode() for name in cache.query_include)
        self._exclude = frozenset(name.encode() for name in cache.query_exclude)
        self._sort = cache.query_sort
        self._is_plain_query = not (self._include or self._exclude or self._sort)

    def key(self, head: RequestHead, secret: bytes) -> bytes:
        """The primary cache key of a GET or HEAD request."""
        query = head.query
        if query is not None and not self._is_plain_query:
            query = self._selected(query)
        # Host as it goes upstream, with its port: what an answer says of itself (links, redirects) follows from that.
        host = (head.raw_host or b"").lower() if self._host else b""
        if query is None:
            query = _ABSENT
        if not (self._header_names or head.block.credentials):
            return _SEPARATOR.join((self._prefix, host, head.path, query))
        parts = [self._prefix, host, head.path, query]
        parts += [_ABSENT if (value := head.value(name)) is None else value for name in self._header_names]
        if head.block.credentials and self._is_isolated:
            # Whose answer it is, without keeping the credential itself in the key.
            credentials = _SEPARATOR.join(
                _ABSENT if (value := head.value(name)) is None else value for name in _CREDENTIAL_FIELDS
            )
            parts.append(hmac.digest(secret, credentials, "sha256").hex().encode())
        return _SEPARATOR.join(parts)

    def _selected(self, query: bytes) -> bytes | None:
        kept = []
        for pair in query.split(b"&"):
            name = unquote_to_bytes(_name(pair).replace(b"+", b" "))
            if (name in self._include) if self._include else (name not in self._exclude):
                kept.append(pair)
        if self._sort:
            kept.sort(key=_name)  # values of one name stay in their order: it may mean something
        return b"&".join(kept) if kept else None


def _name(pair: bytes) -> bytes:
    return pair.partition(b"=")[0]


_CREDENTIAL_FIELDS: Final = (b"authorization", b"cookie", b"x-api-key", b"api-key")


def variant(names: tuple[bytes, ...], head: RequestHead) -> bytes:
    """The secondary key: the request's values of the fields that Vary named (RFC 9111 4.1)."""
    return _SEPARATOR.join(_ABSENT if (value := head.value(name)) is None else value for name in names)


def vary_names(answer: ResponseHead) -> tuple[bytes, ...]:
    """The fields that Vary names, lower case, each once, in one order."""
    value = (answer.caching or {}).get(b"vary", b"")
    return tuple(sorted({name.strip(b" \t").lower() for name in value.split(b",")} - {b""}))
