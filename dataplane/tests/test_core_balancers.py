"""Balancers: round robin, least request, peak EWMA, consistent hashing and slow start."""

import math
from collections import Counter
from math import ceil

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from member_fakes import fixed_draws, members, no_draw

from inferway_contract.document import LoadBalancer
from inferway_dataplane.core.upstreams import balancing
from inferway_dataplane.core.upstreams.balancing import consistent_hash, peak_ewma, round_robin
from inferway_dataplane.core.upstreams.balancing.consistent_hash import FACTOR, ConsistentHash
from inferway_dataplane.core.upstreams.balancing.peak_ewma import DECAY
from inferway_dataplane.core.upstreams.balancing.slow_start import MIN_SHARE, SlowStart
from inferway_dataplane.core.upstreams.members import Member
from inferway_testing.examples import examples

TYPES = ("RoundRobin", "LeastRequest", "PeakEWMA", "ConsistentHash")


@pytest.mark.parametrize("type_", TYPES)
def test_balancer_of_one_member_uses_no_draw(type_: str) -> None:
    pool = members(1)
    balancer = balancing.balancer_of(LoadBalancer.model_validate({"type": type_}), pool)
    assert balancer.pick(pool, no_draw, 0.0, b"key") is pool[0]


@given(st.sampled_from(TYPES), st.integers(1, 9), st.data())
def test_balancer_picks_one_of_the_available_members(type_: str, number: int, data: st.DataObject) -> None:
    pool = members(number)
    balancer = balancing.balancer_of(LoadBalancer.model_validate({"type": type_, "slow_start": 5_000}), pool)
    draw = fixed_draws()
    for now in range(8):
        some = tuple(data.draw(st.sets(st.sampled_from(pool), min_size=1).map(sorted_by_name)))
        for member in pool:
            member.endpoint.active = data.draw(st.integers(0, 5))
        assert balancer.pick(some, draw, float(now), data.draw(st.none() | st.binary(max_size=3))) in some


def sorted_by_name(some: set[Member]) -> list[Member]:
    return sorted(some, key=lambda member: member.name)


# --- turns --------------------------------------------------------------------------------------------------------------


def test_round_robin_alternates_after_a_member_is_removed() -> None:
    pool = members(3)
    balancer = round_robin.RoundRobin()
    picked = [pool.index(balancer.pick(pool, no_draw, 0.0, None)) for _ in range(5)]
    assert picked == [0, 1, 2, 0, 1]
    two = (pool[0], pool[2])
    assert Counter(balancer.pick(two, no_draw, 0.0, None).name for _ in range(10)) == {pool[0].name: 5, pool[2].name: 5}


class Option:
    def __init__(self, name: str, weight: int) -> None:
        self.name, self.weight, self.credit = name, weight, 0


def test_weighted_round_robin_spreads_turns_evenly() -> None:
    options = [Option("a", 5), Option("b", 1), Option("c", 1)]
    assert "".join(round_robin.take_by_weight(options).name for _ in range(14)) == "aabacaa" * 2


@given(st.lists(st.integers(1, 9), min_size=1, max_size=6), st.integers(0, 60))
def test_weighted_round_robin_stays_close_to_the_weights(weights: list[int], turns: int) -> None:
    options = [Option(str(index), weight) for index, weight in enumerate(weights)]
    counts = Counter(round_robin.take_by_weight(options).name for _ in range(turns))
    for option in options:
        # After every run each option has its share, within less than the sum of the other weights.
        assert abs(counts[option.name] - turns * option.weight / sum(weights)) < len(weights)
    assert sum(option.credit for option in options) == 0


# --- latencies ------------------------------------------------------------------------------------------------------------


def test_peak_ewma_rises_at_once_and_decays_slowly() -> None:
    (member,) = members(1)
    peak_ewma.observe(member, 0.1, 0.0)
    peak_ewma.observe(member, 2.0, 1.0)
    assert member.ewma == 2.0
    peak_ewma.observe(member, 0.1, 2.0)
    assert member.ewma == pytest.approx(0.1 + 1.9 * math.exp(-1 / DECAY))
    for now in range(3, 60):
        peak_ewma.observe(member, 0.1, float(now))
    assert member.ewma == pytest.approx(0.1, abs=0.02)


def test_peak_ewma_picks_the_faster_member_until_it_is_busier() -> None:
    fast, slow = pool = members(2)
    peak_ewma.observe(fast, 0.1, 0.0)
    peak_ewma.observe(slow, 0.35, 0.0)
    balancer = peak_ewma.PeakEwma()
    picked = []
    for _ in range(6):
        member = balancer.pick(pool, lambda: 0.3, 0.0, None)
        member.endpoint.active += 1
        picked.append("fast" if member is fast else "slow")
    # 0.1 0.2 0.3 | 0.35 | 0.4 0.5, in order of cost
    assert picked == ["fast", "fast", "fast", "slow", "fast", "fast"]


def test_peak_ewma_sends_a_new_member_one_request_at_a_time() -> None:
    measured, unmeasured = pool = members(2)
    peak_ewma.observe(measured, 0.2, 0.0)
    balancer = peak_ewma.PeakEwma()
    assert balancer.pick(pool, lambda: 0.3, 0.0, None) is unmeasured
    unmeasured.endpoint.active = 1
    measured.endpoint.active = 50
    assert balancer.pick(pool, lambda: 0.3, 0.0, None) is measured


def test_peak_ewma_forgets_a_slow_response_within_40_s() -> None:
    fast, slow = members(2)
    peak_ewma.observe(slow, 5.0, 0.0)
    is_slower = []
    for now in (0.0, 20.0, 40.0, 60.0):
        peak_ewma.observe(fast, 0.1, now)
        is_slower.append(peak_ewma.cost(slow, now) > peak_ewma.cost(fast, now))
    assert is_slower == [True, True, False, False]


def test_peak_ewma_does_not_prefer_a_fast_failing_member() -> None:
    good, refusing = members(2)
    peak_ewma.observe(good, 0.5, 0.0)
    peak_ewma.observe_failure(refusing, 0.001, 0.0)
    assert peak_ewma.cost(refusing, 0.0) > peak_ewma.cost(good, 0.0)
    for now in range(20):
        peak_ewma.observe_failure(refusing, 0.001, float(now))
    assert refusing.ewma == 60.0


# --- hashes ---------------------------------------------------------------------------------------------------------------

KEYS = [b"session-%d" % number for number in range(4000)]


def owners(pool: tuple[Member, ...], among: tuple[Member, ...] | None = None) -> dict[bytes, str]:
    balancer = ConsistentHash(pool)
    return {key: balancer.pick(among or pool, no_draw, 0.0, key).name for key in KEYS}


@pytest.mark.parametrize("number", [2, 3, 5, 10, 20])
def test_consistent_hash_moves_only_keys_of_a_removed_member(number: int) -> None:
    pool = members(number)
    before = owners(pool)
    for after in (owners(pool[1:]), owners(pool, pool[1:])):  # removed from the document; only unavailable
        moved = [key for key in KEYS if before[key] != after[key]]
        assert all(before[key] == pool[0].name for key in moved)
        assert len(moved) == sum(name == pool[0].name for name in before.values())
        assert 0.5 / number < len(moved) / len(KEYS) < 1.6 / number
        if number > 2:
            assert len({after[key] for key in moved}) > 1


def test_consistent_hash_ignores_the_order_of_members() -> None:
    pool = members(5)
    assert owners(pool) == owners(pool[::-1])


@settings(max_examples=examples(50))
@given(st.integers(1, 12), st.lists(st.tuples(st.integers(0, 5), st.booleans()), max_size=150))
def test_consistent_hash_never_exceeds_the_load_bound(number: int, events: list[tuple[int, bool]]) -> None:
    pool = members(number)
    balancer = ConsistentHash(pool)
    for key, ends in events:  # few keys, so that their requests accumulate
        if ends:
            busy = [member for member in pool if member.endpoint.active]
            if busy:
                busy[0].endpoint.active -= 1
            continue
        total = sum(member.endpoint.active for member in pool) + 1
        member = balancer.pick(pool, no_draw, 0.0, b"%d" % key)
        member.endpoint.active += 1
        assert member.endpoint.active <= ceil(FACTOR * total / number)


def test_consistent_hash_spills_a_hot_key_to_one_next_member() -> None:
    pool = members(4)
    balancer = ConsistentHash(pool)
    home = balancer.pick(pool, no_draw, 0.0, b"hot")
    for member in pool:
        member.endpoint.active = 8
    assert balancer.pick(pool, no_draw, 0.0, b"hot") is home  # 9 of at most ceil(1.25 * 33 / 4) = 11
    home.endpoint.active = 12  # of at most ceil(1.25 * 37 / 4)
    second = balancer.pick(pool, no_draw, 0.0, b"hot")
    assert second is not home
    assert balancer.pick(pool, no_draw, 0.0, b"hot") is second


def test_consistent_hash_without_a_key_picks_the_less_loaded() -> None:
    pool = members(2)
    pool[0].endpoint.active = 5
    balancer = ConsistentHash(pool)
    assert all(balancer.pick(pool, lambda draw=draw: draw / 10, 0.0, None) is pool[1] for draw in range(10))


class HashedOption:
    def __init__(self, name: str, weight: int) -> None:
        self.name, self.weight, self.seed = name, weight, name.encode()


def test_rendezvous_gives_keys_by_weight_and_moves_few() -> None:
    options = [HashedOption("a", 5), HashedOption("b", 3), HashedOption("c", 2)]
    before = {key: consistent_hash.rendezvous(options, key).name for key in KEYS}
    shares = Counter(before.values())
    for option in options:
        expected = len(KEYS) * option.weight / 10
        assert abs(shares[option.name] - expected) < 5 * math.sqrt(expected)
    after = {key: consistent_hash.rendezvous(options[:2], key).name for key in KEYS}
    assert all(before[key] in (after[key], "c") for key in KEYS)
    shifted = [HashedOption("a", 5), HashedOption("b", 3), HashedOption("c", 1)]
    drained = {key: consistent_hash.rendezvous(shifted, key).name for key in KEYS}
    assert {before[key] for key in KEYS if before[key] != drained[key]} == {"c"}


# --- slow starts ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("seconds", "share"),
    [(-1.0, MIN_SHARE), (0.0, MIN_SHARE), (1.0, 0.1), (2.5, 0.25), (9.0, 0.9), (10.0, 1.0), (99.0, 1.0)],
)
def test_slow_start_share_grows_linearly(seconds: float, share: float) -> None:
    (member,) = members(1, now=100.0)
    start = SlowStart(round_robin.RoundRobin(), 10.0)
    assert start.share(member, 100.0 + seconds) == pytest.approx(share)


@pytest.mark.parametrize(
    ("type_", "age", "part"),
    [  # of all requests to four members; a skipped turn is shared by all
        *[
            ("RoundRobin", age, share / (3 + share))
            for age, share in ((0.0, 0.1), (5.0, 0.5), (7.5, 0.75), (10.0, 1.0))
        ],
        *[("LeastRequest", age, share / 4) for age, share in ((0.0, 0.1), (5.0, 0.5), (7.5, 0.75), (10.0, 1.0))],
    ],
)
def test_slow_start_member_gets_its_reduced_share(type_: str, age: float, part: float) -> None:
    old = members(3, now=-1000.0)
    (new,) = members(1)
    new.name = "new"
    balancer = balancing.balancer_of(LoadBalancer.model_validate({"type": type_, "slow_start": 10_000}), (*old, new))
    draw, rounds = fixed_draws(), 8000
    counts = Counter(balancer.pick((*old, new), draw, age, None).name for _ in range(rounds))
    assert counts["new"] == pytest.approx(rounds * part, rel=0.1)


def test_slow_start_of_all_members_shares_evenly() -> None:
    pool = members(4)
    balancer = balancing.balancer_of(LoadBalancer(type="LeastRequest", slow_start=10_000), pool)
    draw = fixed_draws()
    counts = Counter(balancer.pick(pool, draw, 1.0, None).name for _ in range(8000))
    assert all(number == pytest.approx(2000, rel=0.1) for number in counts.values())


def test_slow_start_begins_again_for_a_restored_member() -> None:
    (member,) = members(1, now=0.0)
    member.restored_at = 100.0
    assert SlowStart(round_robin.RoundRobin(), 10.0).share(member, 105.0) == pytest.approx(0.5)
