"""Token buckets: the reference table, several limits at once, bounded memory, changes of a limit, and two models."""

from fractions import Fraction
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inferway_dataplane.core.limits.token_bucket import ROUNDING, SHARED_KEY, Bucket, LimitCheck, check
from inferway_dataplane.core.steps import completed


def bucket(requests: int = 1, per: float = 1.0, burst: int = 5, max_keys: int = 1000, name: str = "l") -> Bucket:
    return Bucket("demo/p", name, requests, per, burst, max_keys)


def admits(checks: list[LimitCheck], now: float) -> bool:
    return check(checks, now)[0] is None


class Level(NamedTuple):
    """One bucket after one check. Seconds; `retry` is -1 where waiting does not help or is not needed."""

    limited: bool
    remaining: int
    reset: float
    retry: float


def _inherit(newer: Bucket, older: Bucket, now: float) -> None:
    newer.inherit(older, now)
    completed(newer.converting())


def take(bucket: Bucket, key: object, now: float, cost: int = 1) -> Level:
    """Check one bucket alone; cost 0 = peek."""
    refusing, (tat,) = check([(bucket, key, cost)], now)
    return level_of(bucket, tat, now, cost, limited=refusing is not None)


def level_of(bucket: Bucket, tat: float, now: float, cost: int, *, limited: bool) -> Level:
    """Read a bucket's level from the arrival time that `check` returned."""
    if bucket.denies:
        return Level(True, 0, 0.0, -1)
    ahead = tat - now
    retry = ahead + cost * bucket.interval - bucket.reach if limited and cost <= bucket.burst else -1.0
    return Level(limited, int((bucket.reach - ahead) / bucket.interval + ROUNDING), ahead, retry)


def spend(limit: Bucket, key: object, now: float) -> int:
    """Return the number of units admitted at one moment."""
    count = 0
    while admits([(limit, key, 1)], now):
        count += 1
    return count


# --- R1: the table of vectors.md, all rows on one key -------------------------------------------------------------------

TABLE = [  # t, cost, limited, remaining, reset, retry
    (0, 6, True, 5, 0, -1),
    (0, 1, False, 4, 1, -1),
    (0, 1, False, 3, 2, -1),
    (0, 1, False, 2, 3, -1),
    (0, 1, False, 1, 4, -1),
    (0, 1, False, 0, 5, -1),
    (0, 1, True, 0, 5, 1),
    (3.0, 1, False, 2, 3.0, -1),
    (3.1, 1, False, 1, 3.9, -1),
    (4.0, 1, False, 1, 4.0, -1),
    (8.0, 1, False, 4, 1.0, -1),
    (9.5, 1, False, 4, 1.0, -1),
    (9.5, 0, False, 4, 1.0, -1),
    (9.5, 2, False, 2, 3.0, -1),
    (9.5, 5, True, 2, 3.0, 3.0),
    (15.0, 6, True, 5, 0, -1),
]


@pytest.mark.parametrize("start", [0.0, 1.0, 12345.678, 5e6, 3e7], ids="uptime {:g}".format)
@pytest.mark.parametrize("key", [None, "k"])
def test_r1_bucket_follows_the_reference_vectors(start: float, key: object) -> None:
    limit = bucket()
    for t, cost, limited, remaining, reset, retry in TABLE:
        level = take(limit, key, start + t, cost)
        assert (level.limited, level.remaining) == (limited, remaining), (t, cost)
        assert level.reset == pytest.approx(reset, abs=1e-6)
        assert level.retry == pytest.approx(retry, abs=1e-6)


@pytest.mark.parametrize("now", [0.0, 1.0, 5e6, 1e7, 3e7], ids="uptime {:g}".format)
@pytest.mark.parametrize(("requests", "burst"), [(150, 300), (20, 40), (7, 5), (1, 1), (1000, 999), (3, 1_000)])
def test_full_bucket_admits_its_burst_at_any_uptime(now: float, requests: int, burst: int) -> None:
    assert spend(bucket(requests, 1.0, burst), "k", now) == burst


def test_peek_takes_no_tokens_and_stores_no_key() -> None:
    limit = bucket()
    assert take(limit, "k", 0.0, 0).remaining == 5
    assert not limit.tats


# --- several limits -------------------------------------------------------------------------------------------------------


def test_rejection_by_one_limit_takes_tokens_from_none() -> None:
    wide, narrow = bucket(burst=10), bucket(burst=1)
    both: list[LimitCheck] = [(wide, "k", 1), (narrow, "k", 1)]
    assert check(both, 0.0) == (None, [1.0, 1.0])
    assert check(both, 0.0) == (narrow, [1.0, 1.0])
    assert take(wide, "k", 0.0, 0).remaining == 9
    assert take(narrow, "k", 0.0, 0).remaining == 0


def test_order_of_the_limits_does_not_matter() -> None:
    wide, narrow = bucket(burst=10), bucket(burst=1)
    assert admits([(narrow, "k", 1), (wide, "k", 1)], 0.0)
    assert not admits([(narrow, "k", 1), (wide, "k", 1)], 0.0)
    assert take(wide, "k", 0.0, 0).remaining == 9


def test_limit_with_the_longest_wait_is_reported() -> None:
    second, minute, never = bucket(burst=1), bucket(per=60.0, burst=1), bucket(requests=0)
    assert admits([(second, None, 1), (minute, None, 1)], 0.0)
    assert check([(second, None, 1), (minute, None, 1)], 0.0)[0] is minute
    assert check([(minute, None, 1), (second, None, 1)], 0.0)[0] is minute
    assert check([(minute, None, 1), (never, None, 1), (second, None, 1)], 0.0)[0] is never


@pytest.mark.case("R7")
def test_r7_cost_above_the_burst_is_rejected_without_a_retry() -> None:
    limit = bucket(burst=2)
    level = take(limit, "k", 0.0, 3)
    assert (level.limited, level.retry) == (True, -1)
    assert take(limit, "k", 1000.0, 3).limited


def test_r7_limit_of_0_requests_denies_all_without_a_retry() -> None:
    limit = bucket(requests=0)
    for t in (0.0, 1.0, 1e6):
        assert take(limit, "k", t) == (True, 0, 0.0, -1)
    assert not limit.tats


def test_check_returns_the_arrival_time_of_each_bucket() -> None:
    one, other = bucket(), bucket(per=2.0)
    refusing, tats = check([(one, "a", 2), (other, "b", 1)], 100.0)
    assert (refusing, tats) == (None, [102.0, 102.0])
    refusing, tats = check([(one, "a", 9), (other, "c", 1)], 101.0)
    assert (refusing, tats) == (one, [102.0, 101.0])


# --- memory -----------------------------------------------------------------------------------------------------------------


def test_r6_bucket_keeps_at_most_max_keys() -> None:
    limit = bucket(max_keys=100)
    for number in range(20_000):
        take(limit, number, 0.0)
    assert len(limit.tats) == 100
    assert limit.evicted == 19_900
    assert list(limit.tats) == list(range(19_900, 20_000))


def test_least_recently_used_key_is_evicted() -> None:
    limit = bucket(max_keys=2)
    take(limit, "a", 0.0)
    take(limit, "b", 0.0)
    take(limit, "a", 0.0)
    take(limit, "c", 0.0)  # b goes
    assert take(limit, "a", 0.0, 0).remaining == 3
    assert take(limit, "b", 0.0, 0).remaining == 5
    assert limit.evicted == 1


def test_key_that_is_refused_all_the_time_stays() -> None:
    limit = bucket(1, 3600.0, 1, max_keys=4)
    assert not take(limit, "abuser", 0.0).limited
    for number in range(20):
        take(limit, f"other-{number}", 0.0)
        assert take(limit, "abuser", 0.0).limited
    assert len(limit.tats) == 4


def test_key_refused_by_another_limit_counts_as_used() -> None:
    by_key, shared = bucket(max_keys=2), bucket(1, 3600.0, 2, name="global")
    for key in ("a", "b", "a"):
        check([(by_key, key, 1), (shared, SHARED_KEY, 1)], 0.0)
    assert list(by_key.tats) == ["b", "a"]


def test_rejected_key_is_not_stored() -> None:
    limit = bucket(burst=1, max_keys=2)
    for key in ("a", "b", "a", "b"):
        take(limit, key, 0.0)
    take(limit, "c", 0.0, cost=9)
    assert list(limit.tats) == ["a", "b"]


@pytest.mark.parametrize("is_first", [True, False], ids=["keyed first", "keyed last"])
def test_r6_rejection_by_another_limit_evicts_no_key(is_first: bool) -> None:
    by_key, shared = bucket(max_keys=2), bucket(burst=2, name="global")
    checks: list[list[LimitCheck]] = [[(by_key, key, 1), (shared, None, 1)] for key in "abcd"]
    for limit in checks:
        check(limit if is_first else limit[::-1], 0.0)
    assert dict(by_key.tats) == {"a": 1.0, "b": 1.0}
    assert by_key.evicted == 0


def test_very_high_rate_still_limits() -> None:
    assert spend(bucket(10**9, 1.0, 1), "k", 0.0) == 1
    assert spend(bucket(10**6, 1.0, 10), "k", 1000.0) == 10


def test_idle_keys_are_removed_least_recently_used_first() -> None:
    limit = bucket()
    for number in range(4):
        take(limit, number, float(number))
    assert limit.forget_idle(2.5, 10) == 2  # the buckets of 0 and 1 are full again
    assert list(limit.tats) == [2, 3]
    assert limit.forget_idle(100.0, 1) == 1
    assert limit.forget_idle(100.0, 10) == 1
    assert limit.forget_idle(100.0, 10) == 0
    assert limit.evicted == 0


# --- R7: changes ------------------------------------------------------------------------------------------------------------

CHANGES = {  # (requests, per, burst) before, tokens spent, after -> tokens right after the change
    "nothing": ((1, 1.0, 5), 3, (1, 1.0, 5), 2),
    "the same rate, written otherwise": ((1, 1.0, 5), 3, (60, 60.0, 5), 2),
    "burst raised": ((1, 1.0, 5), 3, (1, 1.0, 10), 2),
    "burst lowered above the level": ((1, 1.0, 5), 3, (1, 1.0, 3), 2),
    "burst lowered below the level": ((1, 1.0, 5), 1, (1, 1.0, 2), 2),
    "rate raised": ((1, 1.0, 5), 3, (10, 1.0, 5), 2),
    "rate lowered": ((1, 1.0, 5), 3, (1, 60.0, 5), 2),
    "empty stays empty": ((1, 1.0, 5), 5, (100, 1.0, 50), 0),
    "full starts full": ((1, 1.0, 5), 0, (1, 1.0, 50), 50),
}


@pytest.mark.parametrize(("before", "spent", "after", "left"), CHANGES.values(), ids=CHANGES)
def test_r7_changed_limit_is_never_refilled(
    before: tuple[int, float, int], spent: int, after: tuple[int, float, int], left: int
) -> None:
    older, newer = bucket(*before), bucket(*after)
    for _ in range(spent):
        assert admits([(older, "k", 1)], 100.0)
    _inherit(newer, older, 100.0)
    assert spend(newer, "k", 100.0) == left


def test_counters_survive_a_changed_limit() -> None:
    older = bucket(max_keys=1)
    take(older, "a", 0.0)
    take(older, "b", 0.0)
    older.dropped = 7
    newer = bucket(burst=9)
    _inherit(newer, older, 0.0)
    assert (newer.evicted, newer.dropped) == (1, 7)


def test_r6_lowered_max_keys_applies_at_once() -> None:
    for burst in (5, 6):
        older, newer = bucket(max_keys=100), bucket(max_keys=10, burst=burst)
        for number in range(100):
            take(older, number, 0.0)
        _inherit(newer, older, 0.0)
        assert list(newer.tats) == list(range(90, 100))
        assert newer.evicted == 90


def test_r7_limit_changes_to_and_from_deny_all() -> None:
    open_, closed = bucket(), bucket(requests=0)
    take(open_, "k", 0.0)
    _inherit(closed, open_, 0.0)
    assert take(closed, "k", 0.0).limited
    reopened = bucket()
    _inherit(reopened, closed, 0.0)
    assert not take(reopened, "k", 0.0).limited


# --- properties -------------------------------------------------------------------------------------------------------------


class TokenBucket:
    """The same limit as a level that rises, up to the burst."""

    def __init__(self, rate: Fraction, burst: int) -> None:
        self.rate, self.burst = rate, burst
        self.level, self.at = Fraction(burst), Fraction(0)

    def take(self, now: Fraction, cost: int) -> bool:
        self.level = min(self.level + (now - self.at) * self.rate, Fraction(self.burst))
        self.at = now
        if cost > self.level:
            return False
        self.level -= cost
        return True


# Eighths of seconds, and intervals of a power of two: every sum is exact, so the two must agree exactly.
steps = st.lists(st.tuples(st.integers(0, 24), st.integers(0, 4), st.sampled_from("ab")), max_size=60)


@given(steps, st.sampled_from([1, 2, 4, 8]), st.integers(1, 6), st.sampled_from([0, 1 << 20]))
def test_gcra_and_a_token_bucket_admit_the_same(
    trace: list[tuple[int, int, str]], requests: int, burst: int, start: int
) -> None:
    limit = bucket(requests, 1.0, burst)
    models = {key: TokenBucket(Fraction(requests), burst) for key in "ab"}
    eighths = start * 8
    for model in models.values():
        model.at = Fraction(start)
    for wait, cost, key in trace:
        eighths += wait
        level = take(limit, key, eighths / 8, cost)
        assert level.limited is not models[key].take(Fraction(eighths, 8), cost)
        assert level.remaining == int(models[key].level)


times = st.lists(st.floats(0, 2, allow_nan=False), min_size=1, max_size=80)


@given(times, st.integers(1, 50), st.floats(0.1, 10), st.integers(1, 8), st.floats(0, 1e6))
def test_any_window_admits_at_most_rate_times_t_plus_burst(
    waits: list[float], requests: int, per: float, burst: int, start: float
) -> None:
    limit = bucket(requests, per, burst)
    now, admitted = start, []
    for wait in waits:
        now += wait / requests
        if not take(limit, "k", now).limited:
            admitted.append(now)
    for first, since in enumerate(admitted):
        for last in range(first, len(admitted)):
            bound = (admitted[last] - since) * requests / per + burst
            assert last - first + 1 <= bound + 0.002  # a thousandth of a unit at each end


@given(steps, st.integers(1, 3), st.integers(1, 3))
def test_several_limits_admit_only_if_each_limit_admits(
    trace: list[tuple[int, int, str]], burst: int, other_burst: int
) -> None:
    one, other = bucket(1, 1.0, burst), bucket(1, 2.0, other_burst)
    now = 0.0
    for wait, cost, key in trace:
        now += wait / 8
        would = not take(one, key, now, 0).limited and take(one, key, now, 0).remaining >= cost
        would &= take(other, None, now, 0).remaining >= cost
        assert admits([(one, key, cost), (other, None, cost)], now) is would


@given(
    st.integers(0, 8), st.tuples(st.integers(1, 4), st.integers(1, 8)), st.tuples(st.integers(1, 4), st.integers(1, 8))
)
def test_changed_limit_never_fills_a_used_bucket(spent: int, before: tuple[int, int], after: tuple[int, int]) -> None:
    older, newer = bucket(before[0], 1.0, before[1]), bucket(after[0], 1.0, after[1])
    used = sum(admits([(older, "k", 1)], 0.0) for _ in range(spent))
    left = before[1] - used
    _inherit(newer, older, 0.0)
    assert spend(newer, "k", 0.0) == (min(left, after[1]) if used else after[1])


@given(st.lists(st.sampled_from("abcdef"), max_size=30), st.data())
def test_levels_read_before_their_conversion_are_the_same(spent: str, data: st.DataObject) -> None:
    """Keys are used between the steps, in the order in which they may be: before, in and after their turn."""
    older, newer = bucket(1, 1.0, 5), bucket(2, 1.0, 8)
    for key in spent:
        admits([(older, key, 1)], 0.0)
    left = {key: 8 if (count := min(spent.count(key), 5)) == 0 else 5 - count for key in "abcdef"}
    newer.inherit(older, 0.0)
    for _ in newer.converting(keys_a_step=2):
        for key in data.draw(st.lists(st.sampled_from("abcdef"), max_size=4)):
            assert admits([(newer, key, 1)], 0.0) is (left[key] > 0)
            left[key] = max(left[key] - 1, 0)
    assert {key: spend(newer, key, 0.0) for key in "abcdef"} == left


def test_full_bucket_keeps_the_keys_used_most_recently() -> None:
    older, newer = bucket(1, 1.0, 5), bucket(2, 1.0, 5, max_keys=4)
    for key in "abcdefg":
        take(older, key, 0.0)
    newer.inherit(older, 0.0)
    converting = newer.converting(keys_a_step=2)
    next(converting)
    take(newer, "a", 0.0)
    completed(converting)
    assert list(newer.tats) == ["e", "f", "g", "a"]
    assert newer.evicted == 3
