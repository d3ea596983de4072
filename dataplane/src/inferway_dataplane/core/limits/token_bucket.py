"""Token buckets by GCRA (generic cell rate algorithm): arithmetic over one number per key.

A bucket of capacity `burst` that fills by one unit every `interval` seconds is equivalent to a clock that runs ahead: its
*theoretical arrival time* (TAT) is when the bucket will be full again. Each unit adds `interval` to the TAT; a request is
admitted if the TAT would then be at most `burst * interval` ahead of now. Each key costs one float, no timer refills
buckets, and a key whose TAT has passed is a full bucket that need not be kept.

All limits of a request are checked together: every limit must admit, and a refusal takes from none.
Times are seconds of one monotonic clock, passed as arguments.
"""

from collections import OrderedDict
from collections.abc import Sequence
from math import inf
from typing import Any, Final

from inferway_dataplane.core.steps import Steps, completed

# Seconds. Sums of binary fractions drift: after months of uptime a monotonic clock has steps of nanoseconds, and a full
# burst adds up hundreds of them. This much is tolerated, but at most a thousandth of a unit.
_TOLERANCE: Final = 1e-6
# Units added before a level is rounded down: the clock's rounding must not cost a unit.
ROUNDING: Final = 1e-3
_KEYS_A_STEP: Final = 5_000


class Bucket:
    """The buckets of one limit by key; at `max_keys` the least recently used goes."""

    __slots__ = (
        "burst", "denies", "dropped", "evicted", "interval", "max_keys", "name", "policy", "reach", "tats",
        "tolerance",
    )  # fmt: skip

    def __init__(self, policy: str, name: str, requests: int, per: float, burst: int, max_keys: int) -> None:
        self.policy = policy
        self.name = name
        self.burst = burst
        self.max_keys = max_keys
        self.denies = requests == 0  # a rate of 0 admits no request
        self.interval = per / requests if requests else per  # seconds in which one unit is added
        self.reach = -inf if self.denies else burst * self.interval  # seconds by which the TAT may be ahead of now
        self.tolerance = min(_TOLERANCE, self.interval / 1000)  # seconds by which an admission may come early
        self.tats: OrderedDict[object, float] = OrderedDict()  # by key; least recently used first
        self.evicted = 0  # keys dropped at `max_keys`
        self.dropped = 0  # requests refused

    def forget_idle(self, now: float, at_most: int) -> int:
        """Drop up to `at_most` full buckets from the least recently used end; return their number."""
        tats = self.tats
        gone = 0
        while tats and gone < at_most:
            key = next(iter(tats))
            if tats[key] > now:
                break
            del tats[key]
            gone += 1
        return gone

    def has_terms_of(self, other: "Bucket") -> bool:
        """Whether both admit the same, so that one may stand for the other."""
        return (self.interval, self.burst, self.denies, self.max_keys) == (
            other.interval,
            other.burst,
            other.denies,
            other.max_keys,
        )

    def inherit(self, older: "Bucket", now: float) -> None:
        """Take over the levels of an older version of this limit, in no time: keys are converted when they are used.

        From now on no request is charged to the older one. `converting` is to follow.
        """
        completed(older.converting())  # nothing to do, unless that was broken off
        if (older.interval, older.burst, older.denies) == (self.interval, self.burst, self.denies):
            self.tats = older.tats
        elif not (older.denies or self.denies):
            self.tats = _Inherited(self, older, now)
        self.evicted, self.dropped = older.evicted, older.dropped

    def converting(self, keys_a_step: int = _KEYS_A_STEP) -> Steps[None]:
        """Convert all inherited levels, some keys a step."""
        if isinstance(self.tats, _Inherited):
            yield from self.tats.converting(keys_a_step)
        while len(self.tats) > self.max_keys:
            for _ in range(min(keys_a_step, len(self.tats) - self.max_keys)):
                self.tats.popitem(last=False)
                self.evicted += 1
            yield
        if isinstance(self.tats, _Inherited) and len(self.tats) <= _KEYS_A_STEP:
            self.tats = OrderedDict(self.tats)  # which is faster


class _Inherited(OrderedDict[object, float]):
    """The levels of a bucket that inherits: what is not there yet is converted from the older bucket's when it is read.

    A change fills no bucket: a key keeps its remaining tokens, up to the new burst; a full bucket starts full.
    """

    def __init__(self, newer: Bucket, older: Bucket, now: float) -> None:
        super().__init__()
        self._newer = newer
        self._terms = older.interval, older.burst
        self._older = older.tats
        self._now = now

    def get(self, key: object, default: Any = None) -> Any:
        """Return the arrival time of a key."""
        if self._older and key not in self:
            tat = self._converted(key)
            if tat is not None:
                self[key] = tat
                if len(self) > self._newer.max_keys:
                    self.popitem(last=False)
                    self._newer.evicted += 1
        return super().get(key, default)

    def converting(self, keys_a_step: int) -> Steps[None]:
        """Convert the remaining keys, the most recently used first, which is the last to be evicted."""
        while self._older:
            for _ in range(min(keys_a_step, len(self._older))):
                key = next(reversed(self._older))
                tat = self._converted(key)
                if tat is None or key in self:
                    continue
                if len(self) < self._newer.max_keys:
                    self[key] = tat
                    self.move_to_end(key, last=False)
                else:
                    self._newer.evicted += 1
            yield

    def _converted(self, key: object) -> float | None:
        """Take a key out of the older levels; None = its bucket is full, or it has none."""
        now = self._now
        tat = self._older.get(key, now)
        self._older.pop(key, None)
        if tat <= now:
            return None
        interval, burst = self._terms
        tokens = min(burst - (tat - now) / interval, self._newer.burst)
        return now + (self._newer.burst - tokens) * self._newer.interval


SHARED_KEY: Final = ()
"""The key of a limit with one bucket for all requests. (None is the key of an absent header.)"""

LimitCheck = tuple[Bucket, object, int]
"""A bucket, the key within it, and the cost in units."""


def check(checks: Sequence[LimitCheck], now: float) -> tuple[Bucket | None, list[float]]:
    """Admit a request by all limits or by none.

    Returns the refusing bucket with the longest wait (None = admitted), and the TAT of each check's bucket: after the
    cost is taken when admitted, unchanged when refused.
    """
    tats: list[float] = []
    for bucket, key, cost in checks:
        tat = bucket.tats.get(key, now)
        if tat < now:
            tat = now
        tat += cost * bucket.interval
        if tat - now - bucket.reach > bucket.tolerance:
            _mark_used(checks)
            return _longest_wait(checks, now)
        tats.append(tat)
    # Taken only after all limits admit: a refused request must not evict a key either.
    for (bucket, key, cost), tat in zip(checks, tats, strict=True):
        if cost:
            bucket_tats = bucket.tats
            bucket_tats[key] = tat
            if key is not SHARED_KEY:  # the only key of its limit: no order, no eviction
                bucket_tats.move_to_end(key)
                if len(bucket_tats) > bucket.max_keys:
                    bucket_tats.popitem(last=False)
                    bucket.evicted += 1
    return None, tats


def _mark_used(checks: Sequence[LimitCheck]) -> None:
    """Count the keys of a refused request as used, so that a key that is asked for all the time is never forgotten."""
    for bucket, key, _ in checks:
        if key is not SHARED_KEY and key in bucket.tats:
            bucket.tats.move_to_end(key)


def _longest_wait(checks: Sequence[LimitCheck], now: float) -> tuple[Bucket, list[float]]:
    """Return the refusing bucket with the longest wait; one that never admits outweighs every wait."""
    tats = [max(bucket.tats.get(key, now), now) for bucket, key, _ in checks]
    waits = [
        inf if bucket.denies or cost > bucket.burst else tat + cost * bucket.interval - now - bucket.reach
        for (bucket, _, cost), tat in zip(checks, tats, strict=True)
    ]
    return checks[waits.index(max(waits))][0], tats
