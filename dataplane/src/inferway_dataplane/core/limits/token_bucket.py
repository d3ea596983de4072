"""Token buckets by GCRA: pure arithmetic over one number for each key.

Theory. A bucket of capacity `burst` that fills at one unit every `interval` seconds is the same as a clock that runs
ahead: its *theoretical arrival time* (TAT) is when the bucket will be full again. Each unit pushes the TAT on by
`interval`; a request is admitted when the TAT would be at most `burst * interval` ahead of now. One float for a key, no
timer refills anything, and a key whose TAT has passed is a full bucket that need not be remembered.

All limits of a request are judged together: every one must admit, and a refusal takes from none.
Times are seconds of one monotonic clock, handed in.
"""

from collections import OrderedDict
from collections.abc import Sequence
from math import inf
from typing import Final, NamedTuple

# Sums of binary fractions drift: after months of uptime a monotonic clock has steps of nanoseconds, and a full burst
# adds up hundreds of them. This much is forgiven, at most a thousandth of a unit, and nothing else.
_TOLERANCE: Final = 1e-6
# What is told of a level is cut to whole units; the clock's own grain must not cost one.
_GRAIN: Final = 1e-3


class Level(NamedTuple):
    """One bucket after one question. Seconds; `retry` is -1 where waiting does not help or is not needed."""

    limited: bool
    remaining: int
    reset: float
    retry: float


class Bucket:
    """All buckets of one limit: one for each key, the least recently used forgotten beyond `max_keys`."""

    __slots__ = (
        "burst",
        "denies",
        "dropped",
        "evicted",
        "grain",
        "interval",
        "max_keys",
        "name",
        "policy",
        "reach",
        "tats",
    )

    def __init__(self, policy: str, name: str, requests: int, per: float, burst: int, max_keys: int) -> None:
        self.policy = policy
        self.name = name
        self.burst = burst
        self.max_keys = max_keys
        self.denies = requests == 0  # a rate of 0 admits nothing, ever
        self.interval = per / requests if requests else per
        self.reach = -inf if self.denies else burst * self.interval  # how far ahead of now the TAT may be
        self.grain = min(_TOLERANCE, self.interval / 1000)  # seconds by which an admission may come early
        self.tats: OrderedDict[object, float] = OrderedDict()
        self.evicted = 0  # keys forgotten for want of room
        self.dropped = 0  # requests refused

    def level(self, key: object, now: float, cost: int, limited: bool) -> Level:
        """What the bucket of `key` holds now, told for a question of `cost` that was answered `limited`."""
        if self.denies:
            return Level(True, 0, 0.0, -1)
        ahead = max(self.tats.get(key, now) - now, 0.0)
        remaining = int((self.reach - ahead) / self.interval + _GRAIN)
        retry = -1.0
        if limited and cost <= self.burst:
            retry = ahead + cost * self.interval - self.reach
        return Level(limited, remaining, ahead, retry)

    def take(self, key: object, now: float, cost: int = 1) -> Level:
        """Ask one bucket alone, and take `cost` if it admits (0 = peek)."""
        refusing, _ = check(((self, key, cost),), now)
        return self.level(key, now, cost, refusing is not None)

    def forget_idle(self, now: float, at_most: int) -> int:
        """Drop up to `at_most` full buckets from the least recently used end; how many went."""
        tats = self.tats
        gone = 0
        while tats and gone < at_most:
            key = next(iter(tats))
            if tats[key] > now:
                break
            del tats[key]
            gone += 1
        return gone

    def inherit(self, older: "Bucket", now: float) -> None:
        """Take over the levels of an older form of this limit. Nobody's bucket gets fuller by a change of the limit.

        The tokens a key still had stay its own, up to the new burst; a bucket that was full starts full.
        """
        if (older.interval, older.burst, older.denies) == (self.interval, self.burst, self.denies):
            self.tats = older.tats
        elif not (older.denies or self.denies):
            for key, tat in older.tats.items():
                if tat > now:
                    tokens = min(older.burst - (tat - now) / older.interval, self.burst)
                    self.tats[key] = now + (self.burst - tokens) * self.interval
        self.evicted, self.dropped = older.evicted, older.dropped
        while len(self.tats) > self.max_keys:
            self.tats.popitem(last=False)
            self.evicted += 1


SHARED_KEY: Final = ()
"""The key of a limit that has one bucket for all. (None is another: a header that is absent.)"""

LimitCheck = tuple[Bucket, object, int]
"""A bucket, the key within it, and the cost in units."""


def check(questions: Sequence[LimitCheck], now: float) -> tuple[Bucket | None, list[float]]:
    """Admit by all or by none.

    Returns the bucket that refuses (the one to wait longest for; None = admitted), and for each question the TAT of its
    bucket: with the cost taken when admitted, untouched when refused.
    """
    tats: list[float] = []
    for bucket, key, cost in questions:
        tat = bucket.tats.get(key, now)
        if tat < now:
            tat = now
        tat += cost * bucket.interval
        if tat - now - bucket.reach > bucket.grain:
            return _longest(questions, now)
        tats.append(tat)
    # Only now is anything taken: a request that another limit refuses must not even cost some key its room.
    for (bucket, key, cost), tat in zip(questions, tats, strict=True):
        if cost:
            known = bucket.tats
            known[key] = tat
            if key is not SHARED_KEY:  # the one key of a limit without keys needs no order
                known.move_to_end(key)
                if len(known) > bucket.max_keys:
                    known.popitem(last=False)
                    bucket.evicted += 1
    return None, tats


def _longest(questions: Sequence[LimitCheck], now: float) -> tuple[Bucket, list[float]]:
    """Of the buckets that refuse, the one to wait longest for; what never succeeds outweighs every wait."""
    tats = [max(bucket.tats.get(key, now), now) for bucket, key, _ in questions]
    waits = [
        inf if bucket.denies or cost > bucket.burst else tat + cost * bucket.interval - now - bucket.reach
        for (bucket, _, cost), tat in zip(questions, tats, strict=True)
    ]
    return questions[waits.index(max(waits))][0], tats
