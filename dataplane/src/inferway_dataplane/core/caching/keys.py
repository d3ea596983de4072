"""A rule's cache settings and cache keys: primary key and variant (RFC 9111 2, 4.1)."""

import hmac
from typing import Final
from urllib.parse import unquote_to_bytes

from inferway_contract.document import Cache
from inferway_dataplane.core.messages.field_kinds import CREDENTIAL_FIELDS
from inferway_dataplane.core.messages.request_head import RequestHead
from inferway_dataplane.core.messages.response_head import ResponseHead

_SEPARATOR: Final = b"\x00"  # refused by the parser everywhere, so no part of a key contains it
_ABSENT: Final = b"\x01"  # likewise; an absent header differs from an empty one


class CacheRules:
    """The cache settings of a rule. `ttl` and `max_ttl` in seconds, `max_body` in bytes."""

    __slots__ = (
        "_exclude", "_header_names", "_host", "_include", "_is_isolated", "_is_plain_query", "_prefix", "_sort",
        "max_body", "max_ttl", "status_header", "statuses", "ttl",
    )  # fmt: skip

    def __init__(self, cache: Cache, scope: str) -> None:
        """`scope` names route and rule: two rules never share a response."""
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
        """Build the primary key of a GET or HEAD; `secret` keys the digest of credentials."""
        query = head.query
        if query is not None and not self._is_plain_query:
            query = self._selected(query)
        # Host as sent upstream, with its port: links and redirects in a response depend on it.
        host = (head.raw_host or b"").lower() if self._host else b""
        if query is None:
            query = _ABSENT
        if not (self._header_names or head.block.credentials):
            return _SEPARATOR.join((self._prefix, host, head.path, query))
        parts = [self._prefix, host, head.path, query]
        parts += [_ABSENT if (value := head.value(name)) is None else value for name in self._header_names]
        if head.block.credentials and self._is_isolated:
            # The key contains a digest of the credentials, never the credentials themselves.
            credentials = _SEPARATOR.join(
                _ABSENT if (value := head.value(name)) is None else value for name in CREDENTIAL_FIELDS
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
            kept.sort(key=_name)  # stable: values of one name keep their order, which may matter
        return b"&".join(kept) if kept else None


def _name(pair: bytes) -> bytes:
    return pair.partition(b"=")[0]


def variant(names: tuple[bytes, ...], head: RequestHead) -> bytes:
    """Build the secondary key from the fields that Vary names (RFC 9111 4.1)."""
    return _SEPARATOR.join(_ABSENT if (value := head.value(name)) is None else value for name in names)


def vary_names(response: ResponseHead) -> tuple[bytes, ...]:
    """Return the fields that Vary names: lower case, sorted, without duplicates."""
    value = (response.caching or {}).get(b"vary", b"")
    return tuple(sorted({name.strip(b" \t").lower() for name in value.split(b",")} - {b""}))
