"""The decision of a rule's limits about one request: admitted by all, or refused by one and taken from none."""

from collections.abc import Sequence
from math import ceil
from typing import NamedTuple

from inferway_dataplane.core.limits import token_bucket
from inferway_dataplane.core.limits.keys import KeyOf
from inferway_dataplane.core.limits.ratelimit_headers import RateLimitHeaders, names_of
from inferway_dataplane.core.limits.token_bucket import SHARED_KEY, Bucket
from inferway_dataplane.core.messages.request_head import RequestHead

RuleLimit = tuple[Bucket, KeyOf | None]
"""A limit's buckets, and the reader of its key; None = one bucket for all requests."""


class LimitRefusal(NamedTuple):
    """The refusing limit with the longest wait."""

    bucket: Bucket
    retry_after: int
    """Seconds; 0 = waiting does not help."""
    lines: bytes
    """Field lines of the response."""
    violated: tuple[str, ...]
    """Every limit that refuses, by its name in RateLimit-Policy."""


def decide(
    limits: Sequence[RuleLimit], headers: RateLimitHeaders | None, head: RequestHead, client_ip: str, now: float
) -> bytes | LimitRefusal:
    """Take from every limit, or from none; returns the field lines of the response, or the refusal.

    `headers`: None = the response has no such fields. `now`: monotonic seconds. Raises `AmbiguousKey`.
    """
    checks: list[token_bucket.LimitCheck] = []
    for bucket, key_of in limits:
        checks.append((bucket, SHARED_KEY if key_of is None else key_of(head, client_ip), 1))
    refusing, tats = token_bucket.check(checks, now)
    if refusing is None:
        return b"" if headers is None else headers.lines(tats, now)
    tat = next(tat for (bucket, _, _), tat in zip(checks, tats, strict=True) if bucket is refusing)
    wait = tat - now + refusing.interval - refusing.reach
    retry_after = 0 if refusing.denies else max(1, ceil(wait - 1e-9))
    lines = b"" if headers is None else headers.lines(tats, now, refusing, retry_after)
    violated = tuple(
        name
        for name, (bucket, _, cost), tat in zip(names_of([bucket for bucket, _ in limits]), checks, tats, strict=True)
        if tat + cost * bucket.interval - now - bucket.reach > bucket.tolerance
    )
    return LimitRefusal(refusing, retry_after, lines, violated)
