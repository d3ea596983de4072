"""What clients are told of their limits: RateLimit fields (draft-ietf-httpapi-ratelimit-headers-10) or the legacy ones."""

from collections.abc import Sequence
from math import ceil
from typing import Final, Literal

from inferway_dataplane.core.limits import Bucket

# The clock's own grain must not cost a unit of what is told.
_GRAIN: Final = 1e-3

Style = Literal["Standard", "Legacy", "Off"]


class Telling:
    """The header fields of one rule's limits. What does not change with the request is made once."""

    __slots__ = ("_formats", "_legacy", "_policy", "_standard")

    def __init__(self, buckets: Sequence[tuple[Bucket, Style]]) -> None:
        names = _labels([bucket for bucket, style in buckets if style == "Standard"])
        self._standard = tuple(index for index, (_, style) in enumerate(buckets) if style == "Standard")
        self._legacy = tuple(index for index, (_, style) in enumerate(buckets) if style == "Legacy")
        formats = [b"%b;r=%%d;t=%%d" % name.replace(b"%", b"%%") for name in names]
        self._formats = tuple(zip(formats, self._standard, strict=True))
        items = [
            b"%b;q=%d;w=%d" % (name, buckets[index][0].burst, window(buckets[index][0]))
            for name, index in zip(names, self._standard, strict=True)
        ]
        self._policy = b"ratelimit-policy: " + b", ".join(items) + b"\r\nratelimit: " if items else b""

    def lines(self, levels: Sequence[tuple[Bucket, float]], refusing: Bucket | None, retry_after: int) -> bytes:
        """Header lines. `levels`: each bucket with the seconds until it is full; `refusing` tells `retry_after`."""
        lines = b""
        if self._policy:
            items = []
            for text, index in self._formats:
                bucket, ahead = levels[index]
                free = (bucket.reach - ahead) / bucket.interval + _GRAIN
                if free >= 1 and not bucket.denies:
                    items.append(text % (free, 0))
                else:
                    items.append(text % (0, retry_after if bucket is refusing else _standing(bucket, ahead)[1]))
            lines = self._policy + b", ".join(items) + b"\r\n"
        if self._legacy:
            # One set of legacy fields can tell of one limit only: the one nearest to its end.
            index = min(self._legacy, key=lambda index: _standing(*levels[index])[0] / levels[index][0].burst)
            bucket, ahead = levels[index]
            remaining, wait = _standing(bucket, ahead)
            wait = retry_after if bucket is refusing else wait
            lines += b"x-ratelimit-limit: %d\r\nx-ratelimit-remaining: %d\r\nx-ratelimit-reset: %d\r\n" % (
                bucket.burst,
                remaining,
                wait,
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


def window(bucket: Bucket) -> int:
    """The window `w` of the policy: the whole seconds in which an empty bucket fills."""
    return max(1, ceil(bucket.reach - 1e-9))


def _labels(buckets: Sequence[Bucket]) -> list[bytes]:
    """Structured-field Strings: the limit's name, or `policy/limit` where policies share a name."""
    names = [bucket.name for bucket in buckets]
    return [
        b'"%b"' % (name if names.count(name) == 1 else f"{bucket.policy}/{name}").encode()
        for name, bucket in zip(names, buckets, strict=True)
    ]
