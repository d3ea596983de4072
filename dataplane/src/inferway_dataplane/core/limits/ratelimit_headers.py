"""What clients are told of their limits: RateLimit fields (draft-ietf-httpapi-ratelimit-headers-10) or the legacy ones."""

from collections.abc import Sequence
from math import ceil
from typing import Final, Literal

from inferway_dataplane.core.limits.token_bucket import Bucket

Style = Literal["Standard", "Legacy", "Off"]

# The clock's own grain must not cost a unit of what is told.
_GRAIN: Final = 1e-3


class RateLimitHeaders:
    """The header fields of one rule's limits. What does not change with the request is made once."""

    __slots__ = ("_buckets", "_items", "_legacy", "_levels", "_plain", "_standard")

    def __init__(self, buckets: Sequence[tuple[Bucket, Style]]) -> None:
        self._buckets = tuple(bucket for bucket, _ in buckets)
        self._standard = tuple(index for index, (_, style) in enumerate(buckets) if style == "Standard")
        self._legacy = tuple(index for index, (_, style) in enumerate(buckets) if style == "Legacy")
        standard = [self._buckets[index] for index in self._standard]
        names = [name.replace(b"%", b"%%") for name in _labels(standard)]
        quotas = [
            b"%b;q=%d;w=%d" % (name, bucket.burst, window(bucket)) for name, bucket in zip(names, standard, strict=True)
        ]
        policy = b"ratelimit-policy: " + b", ".join(quotas) + b"\r\nratelimit: " if names else b""
        self._items = policy + b", ".join(name + b";r=%d;t=%d" for name in names) + b"\r\n"
        # Nearly every answer tells that something is left in every bucket: one format for all of it.
        self._plain = policy + b", ".join(name + b";r=%d;t=0" for name in names) + b"\r\n"
        self._levels = tuple(
            (index, self._buckets[index].reach, 1 / self._buckets[index].interval) for index in self._standard
        )

    def lines(self, tats: Sequence[float], now: float, refusing: Bucket | None = None, retry_after: int = 0) -> bytes:
        """Header lines. `tats`: each bucket's theoretical arrival time; `refusing` tells `retry_after` (seconds)."""
        if self._legacy or refusing is not None:
            return self._unusual(tats, now, refusing, retry_after)
        left = []
        for index, reach, per_second in self._levels:
            units = (reach - tats[index] + now) * per_second + _GRAIN
            if units < 1:
                return self._unusual(tats, now, refusing, retry_after)
            left.append(units)
        return self._plain % tuple(left)

    def _unusual(self, tats: Sequence[float], now: float, refusing: Bucket | None, retry_after: int) -> bytes:
        counters_of = [_standing(bucket, tat - now) for bucket, tat in zip(self._buckets, tats, strict=True)]
        if refusing is not None:
            at = self._buckets.index(refusing)
            # Counted without grain: who is refused must not read that a unit is left.
            counters_of[at] = (_whole(refusing, tats[at] - now), retry_after)
        lines = b""
        if self._standard:
            lines = self._items % tuple(number for index in self._standard for number in counters_of[index])
        if self._legacy:
            # One set of legacy fields can tell of one limit only: the one nearest to its end.
            index = min(self._legacy, key=lambda index: counters_of[index][0] / self._buckets[index].burst)
            lines += b"x-ratelimit-limit: %d\r\nx-ratelimit-remaining: %d\r\nx-ratelimit-reset: %d\r\n" % (
                self._buckets[index].burst,
                *counters_of[index],
            )
        return lines


def _standing(bucket: Bucket, ahead: float) -> tuple[int, int]:
    """Whole units left, and whole seconds until there is one more (0 while any is left)."""
    if bucket.denies:
        return 0, 0
    free = (bucket.reach - ahead) / bucket.interval + _GRAIN
    if free >= 1:
        return int(free), 0
    return 0, ceil((1 - free) * bucket.interval)


def _whole(bucket: Bucket, ahead: float) -> int:
    return 0 if bucket.denies else int((bucket.reach - ahead + bucket.grain) / bucket.interval)


def window(bucket: Bucket) -> int:
    """The window `w` of the policy: the whole seconds in which an empty bucket fills."""
    return max(1, ceil(bucket.burst * bucket.interval - 1e-9))


def _labels(buckets: Sequence[Bucket]) -> list[bytes]:
    """Structured-field Strings: the limit's name, or `policy/limit` where policies share a name."""
    names = [bucket.name for bucket in buckets]
    return [
        b'"%b"' % (name if names.count(name) == 1 else f"{bucket.policy}/{name}").encode()
        for name, bucket in zip(names, buckets, strict=True)
    ]
