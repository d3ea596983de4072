"""What may be stored, for how long, and under which key (RFC 9111, as a shared cache). Decisions only.

A stored answer is used only while it is fresh. Freshness is counted on the monotonic clock from the moment the answer
was received, starting at the age it already had (RFC 9111 4.2.3).
"""

import hmac
from collections.abc import Callable
from typing import Final
from urllib.parse import unquote_to_bytes

from inferway_contract.document import Cache
from inferway_dataplane.core.messages import http_dates
from inferway_dataplane.core.messages.request_head import RequestHead, ResponseHead

# RFC 9111 1.2.2: an implementation's largest delta-seconds may be 2^31.
_LARGEST: Final = 1 << 31
_SEPARATOR: Final = b"\x00"  # the parser refuses it everywhere, so no part of a key can hold it
_ABSENT: Final = b"\x01"  # likewise; an absent header is not an empty one


def directives(value: bytes) -> dict[bytes, bytes | None]:
    """A Cache-Control value as lower-case directives and their arguments; of a repeated one the first counts."""
    found: dict[bytes, bytes | None] = {}
    for item in _split_outside_quotes(value):
        name, mark, argument = item.partition(b"=")
        name = name.strip().lower()
        if name:
            found.setdefault(name, argument.strip(b' \t"') if mark else None)
    return found


def _split_outside_quotes(value: bytes) -> list[bytes]:
    # An odd quote leaves open what is quoted: then nothing is, for a hidden `no-store` is the worse mistake.
    if value.count(b'"') % 2 or b'"' not in value:
        return value.split(b",")
    items, quoted = [b""], False
    for part in value.split(b'"'):
        if quoted:
            items[-1] += b'"' + part + b'"'
        else:
            first, *rest = part.split(b",")
            items[-1] += first
            items.extend(rest)
        quoted = not quoted
    return items


def seconds(argument: bytes | None) -> int | None:
    """A delta-seconds argument (RFC 9111 1.2.2), cut to its largest; None when it is no whole number."""
    if argument is None or not argument.isdigit():
        return None
    return min(int(argument[:12]), _LARGEST)


def request_forbids(head: RequestHead) -> tuple[bool, bool]:
    """Whether the request forbids (using a stored answer, storing the new one)."""
    if not head.block.caching:
        return False, False
    control = head.value(b"cache-control")
    if control is None:
        # RFC 9111 5.4: Pragma counts only where Cache-Control is absent.
        return (head.value(b"pragma") or b"").lower() == b"no-cache", False
    told = directives(control)
    if b"no-store" in told:
        return True, True
    return b"no-cache" in told or seconds(told.get(b"max-age")) == 0, False


def lifetime(cache: "CacheRules", head: RequestHead, answer: ResponseHead, wall: Callable[[], float]) -> float:
    """For how many seconds from now the answer may be served to others; 0 = it is not stored.

    `wall` gives Unix time, and is asked only where Expires has to be compared with a date.
    """
    told: dict[bytes, bytes | None] = {}
    fields = answer.caching or {}
    if b"cache-control" in fields:
        told = directives(fields[b"cache-control"])
    if (
        answer.status not in cache.statuses
        or answer.has_cookie
        or b"no-store" in told
        or b"private" in told
        or b"no-cache" in told  # would need validation before each use: not stored until there is validation
        or b"*" in fields.get(b"vary", b"")
    ):
        return 0.0
    # RFC 9111 3.5: an answer to Authorization is for others only where the origin says so.
    may_share = b"public" in told or b"s-maxage" in told or b"must-revalidate" in told
    if head.block.credentials and not may_share and head.value(b"authorization") is not None:
        return 0.0
    fresh = _origin_lifetime(told, fields, answer, wall)
    if fresh is None:
        fresh = cache.ttl
    return max(min(fresh, cache.max_ttl) - age(answer), 0.0)


def _origin_lifetime(
    told: dict[bytes, bytes | None], fields: dict[bytes, bytes], answer: ResponseHead, wall: Callable[[], float]
) -> float | None:
    """RFC 9111 4.2.1: s-maxage, max-age, Expires; None when the origin does not say. Invalid values are stale."""
    for name in (b"s-maxage", b"max-age"):
        if name in told:
            return seconds(told[name]) or 0
    expires = fields.get(b"expires")
    if expires is None:
        return None
    until = http_dates.timestamp(expires)
    if until is None:
        return 0
    since = http_dates.timestamp(answer.date) if answer.date is not None else None
    return max(until - (wall() if since is None else since), 0.0)


def age(answer: ResponseHead) -> int:
    """The age an answer has when it arrives; an invalid Age is none (RFC 9111 5.1)."""
    first = answer.age.split(b",")[0].strip() if answer.age is not None else None
    return seconds(first) or 0


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
