"""Ways to balance among the members of a backend: turns, loads, latencies, hashes, and slow starts."""

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
def test_one_member_needs_no_draw(type_: str) -> None:
    own = members(1)
    balancer = balancing.balancer_of(LoadBalancer.model_validate({"type": type_}), own)
    assert balancer.pick(own, no_draw, 0.0, b"key") is own[0]


@given(st.sampled_from(TYPES), st.integers(1, 9), st.data())
def test_a_choice_is_one_of_those_who_may_be_chosen(type_: str, number: int, data: st.DataObject) -> None:
    own = members(number)
    balancer = balancing.balancer_of(LoadBalancer.model_validate({"type": type_, "slow_start": 5_000}), own)
    draw = fixed_draws()
    for now in range(8):
        some = tuple(data.draw(st.sets(st.sampled_from(own), min_size=1).map(sorted_by_name)))
        for member in own:
            member.endpoint.active = data.draw(st.integers(0, 5))
        assert balancer.pick(some, draw, float(now), data.draw(st.none() | st.binary(max_size=3))) in some


def sorted_by_name(some: set[Member]) -> list[Member]:
    return sorted(some, key=lambda member: member.name)


# --- turns --------------------------------------------------------------------------------------------------------------


def test_members_take_turns_also_when_one_goes() -> None:
    own = members(3)
    balancer = round_robin.RoundRobin()
    picked = [own.index(balancer.pick(own, no_draw, 0.0, None)) for _ in range(5)]
    assert picked == [0, 1, 2, 0, 1]
    two = (own[0], own[2])
    assert Counter(balancer.pick(two, no_draw, 0.0, None).name for _ in range(10)) == {own[0].name: 5, own[2].name: 5}


class Option:
    def __init__(self, name: str, weight: int) -> None:
        self.name, self.weight, self.credit = name, weight, 0


def test_turns_by_weight_are_spread_evenly() -> None:
    options = [Option("a", 5), Option("b", 1), Option("c", 1)]
    assert "".join(round_robin.take_by_weight(options).name for _ in range(14)) == "aabacaa" * 2


@given(st.lists(st.integers(1, 9), min_size=1, max_size=6), st.integers(0, 60))
def test_turns_never_stray_from_the_weights(weights: list[int], turns: int) -> None:
    options = [Option(str(index), weight) for index, weight in enumerate(weights)]
    found = Counter(round_robin.take_by_weight(options).name for _ in range(turns))
    for option in options:
        # After every stretch each got its share, give or take less than it has with all others.
        assert abs(found[option.name] - turns * option.weight / sum(weights)) < len(weights)
    assert sum(option.credit for option in options) == 0


# --- latencies ------------------------------------------------------------------------------------------------------------


def test_a_slow_answer_counts_at_once_and_fast_ones_slowly() -> None:
    (member,) = members(1)
    peak_ewma.observe(member, 0.1, 0.0)
    peak_ewma.observe(member, 2.0, 1.0)
    assert member.ewma == 2.0
    peak_ewma.observe(member, 0.1, 2.0)
    assert member.ewma == pytest.approx(0.1 + 1.9 * math.exp(-1 / DECAY))
    for now in range(3, 60):
        peak_ewma.observe(member, 0.1, float(now))
    assert member.ewma == pytest.approx(0.1, abs=0.02)


def test_the_faster_member_gets_the_request_until_it_has_more_to_do() -> None:
    fast, slow = own = members(2)
    peak_ewma.observe(fast, 0.1, 0.0)
    peak_ewma.observe(slow, 0.35, 0.0)
    balancer = peak_ewma.PeakEwma()
    picked = []
    for _ in range(6):
        member = balancer.pick(own, lambda: 0.3, 0.0, None)
        member.endpoint.active += 1
        picked.append("fast" if member is fast else "slow")
    # 0.1 0.2 0.3 | 0.35 | 0.4 0.5, in order of cost
    assert picked == ["fast", "fast", "fast", "slow", "fast", "fast"]


def test_who_is_not_known_gets_one_request_and_no_herd() -> None:
    known, unknown = own = members(2)
    peak_ewma.observe(known, 0.2, 0.0)
    balancer = peak_ewma.PeakEwma()
    assert balancer.pick(own, lambda: 0.3, 0.0, None) is unknown
    unknown.endpoint.active = 1
    known.endpoint.active = 50
    assert balancer.pick(own, lambda: 0.3, 0.0, None) is known


def test_who_was_slow_once_is_tried_again() -> None:
    fast, slow = members(2)
    peak_ewma.observe(slow, 5.0, 0.0)
    is_slower = []
    for now in (0.0, 20.0, 40.0, 60.0):
        peak_ewma.observe(fast, 0.1, now)
        is_slower.append(peak_ewma.cost(slow, now) > peak_ewma.cost(fast, now))
    assert is_slower == [True, True, False, False]


def test_who_fails_at_once_does_not_look_fast() -> None:
    good, refusing = members(2)
    peak_ewma.observe(good, 0.5, 0.0)
    peak_ewma.observe_failure(refusing, 0.001, 0.0)
    assert peak_ewma.cost(refusing, 0.0) > peak_ewma.cost(good, 0.0)
    for now in range(20):
        peak_ewma.observe_failure(refusing, 0.001, float(now))
    assert refusing.ewma == 60.0


# --- hashes ---------------------------------------------------------------------------------------------------------------

KEYS = [b"session-%d" % number for number in range(4000)]


def owners(own: tuple[Member, ...], among: tuple[Member, ...] | None = None) -> dict[bytes, str]:
    balancer = ConsistentHash(own)
    return {key: balancer.pick(among or own, no_draw, 0.0, key).name for key in KEYS}


@pytest.mark.parametrize("number", [2, 3, 5, 10, 20])
def test_when_a_member_goes_only_its_keys_move(number: int) -> None:
    own = members(number)
    before = owners(own)
    for after in (owners(own[1:]), owners(own, own[1:])):  # gone from the document; only not available
        moved = [key for key in KEYS if before[key] != after[key]]
        assert all(before[key] == own[0].name for key in moved)
        assert len(moved) == sum(name == own[0].name for name in before.values())
        assert 0.5 / number < len(moved) / len(KEYS) < 1.6 / number
        if number > 2:
            assert len({after[key] for key in moved}) > 1


def test_the_order_of_members_does_not_matter() -> None:
    own = members(5)
    assert owners(own) == owners(own[::-1])


@settings(max_examples=examples(50))
@given(st.integers(1, 12), st.lists(st.tuples(st.integers(0, 5), st.booleans()), max_size=150))
def test_no_member_takes_more_than_its_bound(number: int, events: list[tuple[int, bool]]) -> None:
    own = members(number)
    balancer = ConsistentHash(own)
    for key, ends in events:  # few keys, so that they pile up
        if ends:
            busy = [member for member in own if member.endpoint.active]
            if busy:
                busy[0].endpoint.active -= 1
            continue
        total = sum(member.endpoint.active for member in own) + 1
        member = balancer.pick(own, no_draw, 0.0, b"%d" % key)
        member.endpoint.active += 1
        assert member.endpoint.active <= ceil(FACTOR * total / number)


def test_a_hot_key_stays_until_its_member_is_full_and_then_goes_on_to_the_same_next() -> None:
    own = members(4)
    balancer = ConsistentHash(own)
    home = balancer.pick(own, no_draw, 0.0, b"hot")
    for member in own:
        member.endpoint.active = 8
    assert balancer.pick(own, no_draw, 0.0, b"hot") is home  # 9 of at most ceil(1.25 * 33 / 4) = 11
    home.endpoint.active = 12  # of at most ceil(1.25 * 37 / 4)
    second = balancer.pick(own, no_draw, 0.0, b"hot")
    assert second is not home
    assert balancer.pick(own, no_draw, 0.0, b"hot") is second


def test_without_a_key_the_less_loaded_of_two() -> None:
    own = members(2)
    own[0].endpoint.active = 5
    balancer = ConsistentHash(own)
    assert all(balancer.pick(own, lambda draw=draw: draw / 10, 0.0, None) is own[1] for draw in range(10))


class HashedOption:
    def __init__(self, name: str, weight: int) -> None:
        self.name, self.weight, self.seed = name, weight, name.encode()


def test_backends_get_keys_by_weight_and_lose_only_their_own() -> None:
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
def test_the_share_grows_linearly(seconds: float, share: float) -> None:
    (member,) = members(1, now=100.0)
    start = SlowStart(round_robin.RoundRobin(), 10.0)
    assert start.share(member, 100.0 + seconds) == pytest.approx(share)


@pytest.mark.parametrize(
    ("type_", "age", "part"),
    [  # of all requests to four members; a turn that is passed over is everybody's
        *[
            ("RoundRobin", age, share / (3 + share))
            for age, share in ((0.0, 0.1), (5.0, 0.5), (7.5, 0.75), (10.0, 1.0))
        ],
        *[("LeastRequest", age, share / 4) for age, share in ((0.0, 0.1), (5.0, 0.5), (7.5, 0.75), (10.0, 1.0))],
    ],
)
def test_a_new_member_gets_its_share(type_: str, age: float, part: float) -> None:
    old = members(3, now=-1000.0)
    (new,) = members(1)
    new.name = "new"
    balancer = balancing.balancer_of(LoadBalancer.model_validate({"type": type_, "slow_start": 10_000}), (*old, new))
    draw, rounds = fixed_draws(), 8000
    found = Counter(balancer.pick((*old, new), draw, age, None).name for _ in range(rounds))
    assert found["new"] == pytest.approx(rounds * part, rel=0.1)


def test_members_that_are_all_new_share_evenly() -> None:
    own = members(4)
    balancer = balancing.balancer_of(LoadBalancer(type="LeastRequest", slow_start=10_000), own)
    draw = fixed_draws()
    found = Counter(balancer.pick(own, draw, 1.0, None).name for _ in range(8000))
    assert all(number == pytest.approx(2000, rel=0.1) for number in found.values())


def test_a_restored_member_starts_slowly_again() -> None:
    (member,) = members(1, now=0.0)
    member.restored_at = 100.0
    assert SlowStart(round_robin.RoundRobin(), 10.0).share(member, 105.0) == pytest.approx(0.5)
