"""RateLimit header fields (draft-ietf-httpapi-ratelimit-headers-10) and the legacy X-RateLimit ones."""

from collections import Counter
from collections.abc import Container, Sequence
from math import ceil
from typing import Final, Literal

from inferway_dataplane.core.limits.token_bucket import ROUNDING, Bucket

Style = Literal["Standard", "Legacy", "Off"]


class RateLimitHeaders:
    """The header fields of one rule's limits, with their constant parts built once."""

    __slots__ = ("_buckets", "_items", "_legacy", "_legacy_lines", "_levels", "_standard", "_usual")

    def __init__(self, buckets: Sequence[tuple[Bucket, Style]], *, omitted: Container[bytes] = ()) -> None:
        """`omitted`: fields that the rule's filters remove or replace."""
        self._buckets = tuple(bucket for bucket, _ in buckets)
        self._standard = tuple(index for index, (_, style) in enumerate(buckets) if style == "Standard")
        self._legacy = tuple(index for index, (_, style) in enumerate(buckets) if style == "Legacy")
        standard = [self._buckets[index] for index in self._standard]
        all_names = names_of(self._buckets)
        # Structured-field Strings, in a format for `%`.
        names = [b'"%b"' % all_names[index].encode().replace(b"%", b"%%") for index in self._standard]
        quotas = [
            b"%b;q=%d;w=%d" % (name, bucket.burst, window(bucket)) for name, bucket in zip(names, standard, strict=True)
        ]

        def line(name: bytes, value: bytes, numbers: int) -> bytes:
            """Return the format of a field line. `%.0a` takes a number and writes nothing."""
            return b"%.0a" * numbers if name in omitted else b"%b: %b\r\n" % (name, value)

        policy = line(b"ratelimit-policy", b", ".join(quotas), 0) if names else b""
        items = [name + b";r=%d;t=%d" for name in names]
        self._items = policy + line(b"ratelimit", b", ".join(items), 2 * len(items))
        # Nearly every response has units left in every bucket: one format for all of them.
        items = [name + b";r=%d;t=0" for name in names]
        self._usual = policy + line(b"ratelimit", b", ".join(items), len(items))
        self._legacy_lines = b"".join(line(name, b"%d", 1) for name in _LEGACY)
        self._levels = tuple(
            (index, self._buckets[index].reach, 1 / self._buckets[index].interval) for index in self._standard
        )

    def lines(self, tats: Sequence[float], now: float, refusing: Bucket | None = None, retry_after: int = 0) -> bytes:
        """Build header lines. `tats`: each bucket's theoretical arrival time; `retry_after` (seconds): of `refusing`."""
        if self._legacy or refusing is not None:
            return self._unusual(tats, now, refusing, retry_after)
        left = []
        for index, reach, per_second in self._levels:
            units = (reach - tats[index] + now) * per_second + ROUNDING
            if units < 1:
                return self._unusual(tats, now, refusing, retry_after)
            left.append(units)
        return self._usual % tuple(left)

    def _unusual(self, tats: Sequence[float], now: float, refusing: Bucket | None, retry_after: int) -> bytes:
        levels = [_left_and_reset(bucket, tat - now) for bucket, tat in zip(self._buckets, tats, strict=True)]
        if refusing is not None:
            at = self._buckets.index(refusing)
            # Counted without `ROUNDING`: a refused client must not read that a unit is left.
            spare = refusing.reach - (tats[at] - now) + refusing.tolerance
            levels[at] = (0 if refusing.denies else int(spare / refusing.interval), retry_after)
        lines = b""
        if self._standard:
            lines = self._items % tuple(number for index in self._standard for number in levels[index])
        if self._legacy:
            # The legacy fields describe one limit only: the one with the smallest part left.
            index = min(self._legacy, key=lambda index: levels[index][0] / self._buckets[index].burst)
            lines += self._legacy_lines % (self._buckets[index].burst, *levels[index])
        return lines


_LEGACY: Final = (b"x-ratelimit-limit", b"x-ratelimit-remaining", b"x-ratelimit-reset")


def _left_and_reset(bucket: Bucket, ahead: float) -> tuple[int, int]:
    """Return whole units left and whole seconds until the next (0 if any left)."""
    if bucket.denies:
        return 0, 0
    free = (bucket.reach - ahead) / bucket.interval + ROUNDING
    if free >= 1:
        return int(free), 0
    return 0, ceil((1 - free) * bucket.interval)


def window(bucket: Bucket) -> int:
    """Return the policy's window `w`: the whole seconds in which an empty bucket fills."""
    return max(1, ceil(bucket.burst * bucket.interval - 1e-9))


def names_of(buckets: Sequence[Bucket]) -> list[str]:
    """Name the limits of a rule: `limit`, or `policy/limit` where names repeat."""
    numbers = Counter(bucket.name for bucket in buckets)
    return [bucket.name if numbers[bucket.name] == 1 else f"{bucket.policy}/{bucket.name}" for bucket in buckets]
