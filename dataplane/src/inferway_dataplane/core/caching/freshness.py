"""Stored responses and their freshness: what a shared cache may store, and for how long (RFC 9111).

A stored response is used only while it is fresh. Its age counts on the monotonic clock from the moment it was received,
starting at the age it had then: what its Age field reports, and the time that the upstream took (RFC 9111 4.2.3).
"""

import re
from collections.abc import Callable
from http import HTTPStatus
from typing import Final, NamedTuple

from inferway_contract import values
from inferway_dataplane.core.caching import keys
from inferway_dataplane.core.caching.keys import CacheRules
from inferway_dataplane.core.messages import response_head
from inferway_dataplane.core.messages.request_head import RequestHead
from inferway_dataplane.core.messages.response_head import ResponseHead

# RFC 9111 1.2.2: an implementation's largest delta-seconds may be 2^31.
_LARGEST: Final = 1 << 31


def parse_directives(value: bytes) -> dict[bytes, bytes | None]:
    """Parse Cache-Control into lower-case directives and arguments (RFC 9111 5.2).

    A directive that is repeated with another argument, or has blanks at its equals sign, gets an invalid argument.
    """
    arguments: dict[bytes, bytes | None] = {}
    # An equal item changes nothing, and 32 KiB hold thousands of them.
    for item in dict.fromkeys(_split_outside_quotes(value)):
        name, mark, argument = item.strip().partition(b"=")
        bare = name.strip().lower()
        if not bare:
            continue
        read: bytes | None = None
        if mark:
            is_quoted = len(argument) > 1 and argument[:1] == argument[-1:] == b'"'
            read = argument[1:-1] if is_quoted else argument
            read = read if name == name.rstrip() else _INVALID
        # RFC 9111 4.2.1: of several values the first counts, or the response is stale, which is the careful choice.
        arguments[bare] = read if arguments.get(bare, read) == read else _INVALID
    return arguments


_INVALID: Final = b"="
_ITEM: Final = re.compile(rb'(?:[^",]|"[^"]*")+')


def _split_outside_quotes(value: bytes) -> list[bytes]:
    # With an odd number of quotes, or escaped ones, treat none as quoting: otherwise a quote could hide a `no-store`.
    if value.count(b'"') % 2 or b'"' not in value or b"\\" in value:
        return value.split(b",")
    items: list[bytes] = _ITEM.findall(value)
    return items


def delta_seconds(argument: bytes | None) -> int | None:
    """Parse a delta-seconds argument (RFC 9111 1.2.2), capped; None unless it is a whole number."""
    if argument is None or not argument.isdigit():
        return None
    return min(int(argument.lstrip(b"0")[:12] or b"0"), _LARGEST)


def request_forbids(head: RequestHead) -> tuple[bool, bool]:
    """Whether the request forbids (using a stored response, storing the new one)."""
    control = head.value(b"cache-control")
    if control is None:
        # RFC 9111 5.4: Pragma counts only where Cache-Control is absent.
        return b"no-cache" in parse_directives(head.value(b"pragma") or b""), False
    directives = parse_directives(control)
    if b"no-store" in directives:
        return True, True
    return b"no-cache" in directives or delta_seconds(directives.get(b"max-age")) == 0, False


class CacheUse(NamedTuple):
    """How one request may use the cache."""

    reads: bool
    """A stored response may answer it."""
    bypass: str
    """Why the cache is not used, as the metric's label; empty: it is."""


USE: Final = CacheUse(True, "")
REFRESH: Final = CacheUse(False, "")
_METHOD: Final = CacheUse(False, "method")
_BODY: Final = CacheUse(False, "body")
_DROPPED: Final = CacheUse(False, "connection")
_NO_STORE: Final = CacheUse(False, "request")


def decide(head: RequestHead) -> CacheUse:
    """Decide how a request may use the cache of its rule."""
    block = head.block
    if head.method != b"GET" and head.method != b"HEAD":
        return _METHOD
    if block.has_body:
        return _BODY
    if block.has_dropped:
        # The upstream does not get a field that is part of the key: its response is not for the clients that send it.
        return _DROPPED
    if not block.caching:
        return USE
    no_use, no_store = request_forbids(head)
    if no_store:
        return _NO_STORE
    return REFRESH if no_use else USE


class Freshness(NamedTuple):
    """How long a new response may be reused, and how old it is already. Seconds."""

    lifetime: float
    age: float


def freshness_of(
    cache: CacheRules, head: RequestHead, response: ResponseHead, delay: float, wall: Callable[[], float]
) -> Freshness | None:
    """Decide whether a new response is stored, and for how long; None = it is not.

    `delay`: seconds from the request to the response's head; `wall` returns Unix time.
    """
    fields = response.caching or {}
    directives = parse_directives(fields[b"cache-control"]) if b"cache-control" in fields else {}
    if not _may_store(cache, head, response, directives):
        return None
    age = corrected_age(response, delay)
    fresh = _origin_lifetime(directives, fields, response, wall)
    if fresh is None:
        # An origin's own freshness makes a response of any status reusable (RFC 9111 3); the rule's, those it lists.
        if response.status not in cache.statuses:
            return None
        fresh = cache.ttl
    elif fresh:
        age = max(age, _apparent_age(response, wall))
    lifetime = min(fresh, cache.max_ttl) - age
    return Freshness(lifetime, age) if lifetime > 0 else None


def _may_store(
    cache: CacheRules, head: RequestHead, response: ResponseHead, directives: dict[bytes, bytes | None]
) -> bool:
    """Decide whether a response may be stored, apart from its freshness (RFC 9111 3, 3.5, 5.2.2)."""
    status = response.status
    if (
        status in values.NEVER_STORED
        or response.has_cookie
        or b"no-cache" in directives  # needs validation before each use, which the gateway cannot do
        or (response.caching is not None and _is_always_varying(response))
    ):
        return False
    if b"must-understand" in directives:
        # RFC 9111 5.2.2.3: it takes the place of no-store where the status is understood.
        if status not in _UNDERSTOOD:
            return False
    elif b"no-store" in directives:
        return False
    if b"private" in directives and not (cache.stores_private and keys.is_authenticated(head.block)):
        return False
    if status != 200 and head.block.caching and any(head.value(name) is not None for name in _OF_ONE_REQUEST):
        # A refused range or precondition concerns this request alone (416, 412, 400 ...).
        return False
    if cache.is_isolated or not head.block.credentials or head.value(b"authorization") is None:
        return True
    # RFC 9111 3.5: a response to Authorization may be shared only if the origin allows it.
    return b"public" in directives or b"s-maxage" in directives or b"must-revalidate" in directives


_OF_ONE_REQUEST: Final = (
    b"range", b"if-range", b"if-match", b"if-none-match", b"if-modified-since", b"if-unmodified-since",
)  # fmt: skip
_UNDERSTOOD: Final = frozenset(status.value for status in HTTPStatus)


def _is_always_varying(response: ResponseHead) -> bool:
    names = keys.vary_names(response)
    return any(name in keys.ALWAYS_VARYING or b"*" in name for name in names)


def _origin_lifetime(
    directives: dict[bytes, bytes | None],
    fields: dict[bytes, bytes],
    response: ResponseHead,
    wall: Callable[[], float],
) -> float | None:
    """Apply s-maxage, max-age, Expires (RFC 9111 4.2.1); None when absent, 0 when malformed."""
    for name in (b"s-maxage", b"max-age"):
        if name in directives:
            return delta_seconds(directives[name]) or 0
    expires = fields.get(b"expires")
    if expires is None:
        return None
    until = response_head.parse_http_date(expires)
    if until is None:
        return 0
    # The clock stands in for a missing or invalid Date.
    since = response_head.parse_http_date(response.date) if response.date is not None else None
    return max(until - (wall() if since is None else since), 0.0)


def corrected_age(response: ResponseHead, delay: float) -> float:
    """Return the age of a new response in seconds (RFC 9111 4.2.3, corrected_age_value; 5.1).

    `delay`: as for `freshness_of`. A malformed Age is ignored.
    """
    return (_age_value(response) or 0) + max(delay, 0.0)


def _age_value(response: ResponseHead) -> int | None:
    return None if response.age is None else delta_seconds(response.age.split(b",")[0].strip())


def _apparent_age(response: ResponseHead, wall: Callable[[], float]) -> float:
    """Return the seconds since Date, where no cache on the way has sent an Age (RFC 9111 4.2.3).

    The freshness of an origin counts from then; the `ttl` of a rule does not depend on the clocks of upstreams.
    """
    if response.date is None or _age_value(response) is not None:
        return 0.0
    date = response_head.parse_http_date(response.date)
    seconds = 0.0 if date is None else int(wall()) - date
    # A Date has no fractions: a difference of one second means nothing.
    return seconds if seconds > 1 else 0.0


class CacheEntry:
    """A stored response. `head`: status line, field lines and cache status, without the fields of one exchange (Age)."""

    __slots__ = ("age", "body", "expires", "head", "received", "size", "status")

    def __init__(self, status: int, head: bytes, body: bytes, age: float, received: float, expires: float) -> None:
        self.status = status
        self.head = head
        self.body = body
        self.age = age  # seconds old when it was received
        self.received = received  # monotonic seconds
        self.expires = expires  # monotonic seconds
        self.size = len(head) + len(body)
