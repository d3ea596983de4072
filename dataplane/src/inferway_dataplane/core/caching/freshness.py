"""What may be stored, for how long, and under which key (RFC 9111, as a shared cache). Decisions only.

A stored answer is used only while it is fresh. Freshness is counted on the monotonic clock from the moment the answer
was received, starting at the age it already had (RFC 9111 4.2.3).
"""

from collections.abc import Callable
from typing import Final

from inferway_dataplane.core.caching.keys import CacheRules
from inferway_dataplane.core.messages import http_dates
from inferway_dataplane.core.messages.request_head import RequestHead
from inferway_dataplane.core.messages.response_head import ResponseHead

# RFC 9111 1.2.2: an implementation's largest delta-seconds may be 2^31.
_LARGEST: Final = 1 << 31


def parse_directives(value: bytes) -> dict[bytes, bytes | None]:
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


def delta_seconds(argument: bytes | None) -> int | None:
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
    told = parse_directives(control)
    if b"no-store" in told:
        return True, True
    return b"no-cache" in told or delta_seconds(told.get(b"max-age")) == 0, False


def lifetime(cache: "CacheRules", head: RequestHead, answer: ResponseHead, wall: Callable[[], float]) -> float:
    """For how many seconds from now the answer may be served to others; 0 = it is not stored.

    `wall` gives Unix time, and is asked only where Expires has to be compared with a date.
    """
    told: dict[bytes, bytes | None] = {}
    fields = answer.caching or {}
    if b"cache-control" in fields:
        told = parse_directives(fields[b"cache-control"])
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
            return delta_seconds(told[name]) or 0
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
    return delta_seconds(first) or 0
