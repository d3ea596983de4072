"""Ejection: who is left alone, for how long, and how it comes back."""

from typing import NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from member_fakes import backend, chosen, eject, fixed_draws, group, no_draw

from inferway_contract.document import CircuitBreaker, LoadBalancer
from inferway_dataplane.core.messages import problems
from inferway_dataplane.core.upstreams import health_state, outlier_detection
from inferway_dataplane.core.upstreams.health_state import CheckRules, HealthCheck
from inferway_dataplane.core.upstreams.members import RuleCounters
from inferway_dataplane.core.upstreams.outlier_detection import FORGET_AFTER, MAX_EJECTION, EjectionRules
from inferway_dataplane.core.upstreams.selection import BackendSet
from inferway_testing.examples import examples

THREE = CircuitBreaker(consecutive_failures=3, open_for=10_000)


def one_of_two(breaker: CircuitBreaker = THREE) -> BackendSet:
    counters = RuleCounters()
    return group((1, 0, backend("a", counters, 2)), counters=counters, breaker=breaker)


def test_failures_in_a_row_eject_and_a_success_between_starts_over() -> None:
    of = one_of_two()
    member = of.members[0]
    outcomes = [
        outlier_detection.on_success(member, 1.0, 1.0)
        if is_good
        else outlier_detection.on_failure(member, 1.0, 1.0, of)
        for is_good in (False, False, True, False, False, False)
    ]
    assert outcomes == [False] * 5 + [True]
    assert member.is_ejected
    assert member.ejected_until == 11.0
    assert not of.is_available(member)


@pytest.mark.parametrize(
    ("percent", "total", "most"),
    [(50, 2, 1), (50, 3, 1), (50, 4, 2), (50, 10, 5), (10, 3, 1), (100, 3, 3), (0, 100, 0), (50, 1, 1), (34, 3, 1)],
)
def test_how_many_may_be_ejected(percent: int, total: int, most: int) -> None:
    assert EjectionRules(CircuitBreaker(max_ejected_percent=percent)).max_ejected(total) == most


def test_u4_no_more_than_the_share_is_ejected() -> None:
    counters = RuleCounters()
    of = group((1, 0, backend("a", counters, 4)), counters=counters)
    eject(of.members[0], of)
    eject(of.members[1], of)
    for _ in range(20):
        assert not outlier_detection.on_failure(of.members[2], 1.0, 1.0, of)
    assert [member.is_ejected for member in of.members] == [True, True, False, False]


def test_u4_the_last_available_member_is_never_ejected() -> None:
    counters = RuleCounters()
    everybody = CircuitBreaker(max_ejected_percent=100)
    of = group((1, 0, backend("a", counters, 3)), counters=counters, breaker=everybody)
    eject(of.members[0], of)
    eject(of.members[1], of)
    for _ in range(20):
        assert not outlier_detection.on_failure(of.members[2], 1.0, 1.0, of)


def test_u4_the_only_member_is_never_ejected() -> None:
    counters = RuleCounters()
    of = group((1, 0, backend("a", counters)), counters=counters)
    for _ in range(20):
        assert not outlier_detection.on_failure(of.members[0], 1.0, 1.0, of)


def test_u4_the_only_primary_is_ejected_in_favour_of_a_fallback_and_both_never_are() -> None:
    counters = RuleCounters()
    of = group((1, 0, backend("a", counters)), (1, 1, backend("b", counters)), counters=counters)
    primary, fallback = of.members
    eject(primary, of)
    for _ in range(20):
        assert not outlier_detection.on_failure(fallback, 1.0, 1.0, of)


def test_a_drained_backend_is_nobodys_alternative() -> None:
    counters = RuleCounters()
    of = group((1, 0, backend("a", counters)), (0, 0, backend("b", counters, 9)), counters=counters)
    for _ in range(20):
        assert not outlier_detection.on_failure(of.members[0], 1.0, 1.0, of)


def test_an_unhealthy_member_is_nobodys_alternative() -> None:
    counters = RuleCounters()
    of = group((1, 0, backend("a", counters, 2)), counters=counters, checks=True)
    health_state.on_check(of.members[1], False, CheckRules(HealthCheck(path="/", unhealthy_threshold=1)), 0.0)
    for _ in range(20):
        assert not outlier_detection.on_failure(of.members[0], 1.0, 1.0, of)


def test_0_percent_ejects_nobody() -> None:
    of = one_of_two(CircuitBreaker(max_ejected_percent=0))
    for _ in range(20):
        assert not outlier_detection.on_failure(of.members[0], 1.0, 1.0, of)


def test_each_ejection_is_twice_as_long_up_to_five_minutes() -> None:
    of = one_of_two()
    member = of.members[0]
    eject(member, of, 0.0)
    lengths = [member.ejected_until]
    for _ in range(8):
        now = member.ejected_until
        assert not outlier_detection.is_due(member, now - 0.001)
        assert outlier_detection.is_due(member, now)
        outlier_detection.begin_probe(member, now)
        assert not outlier_detection.is_due(member, now)
        assert outlier_detection.on_failure(member, now, now, of)
        lengths.append(member.ejected_until - now)
    assert lengths == [10, 20, 40, 80, 160, MAX_EJECTION, MAX_EJECTION, MAX_EJECTION, MAX_EJECTION]


def restored(of: BackendSet, at: float) -> None:
    member = of.members[0]
    outlier_detection.begin_probe(member, at)
    assert outlier_detection.on_success(member, at, at)


def test_a_probe_that_succeeds_restores() -> None:
    of = one_of_two()
    member = of.members[0]
    eject(member, of)
    restored(of, 10.0)
    assert of.is_available(member)
    assert not outlier_detection.on_failure(member, 11.0, 11.0, of)


@pytest.mark.parametrize(("well_for", "length"), [(FORGET_AFTER - 1, 20), (FORGET_AFTER, 10)])
def test_the_doubling_is_forgotten_after_a_calm_time(well_for: float, length: float) -> None:
    of = one_of_two()
    member = of.members[0]
    eject(member, of)
    restored(of, 10.0)
    now = 10.0 + well_for
    eject(member, of, now)
    assert member.ejected_until == now + length


def test_a_probe_whose_client_left_makes_room_for_another() -> None:
    of = one_of_two()
    member = of.members[0]
    eject(member, of)
    outlier_detection.begin_probe(member, 10.0)
    outlier_detection.on_abandoned(member, 5.0)  # an older try
    assert not outlier_detection.is_due(member, 11.0)
    outlier_detection.on_abandoned(member, 10.0)
    assert outlier_detection.is_due(member, 11.0)
    assert member.is_ejected


def test_tries_from_before_say_nothing() -> None:
    of = one_of_two()
    member = of.members[0]
    eject(member, of, 5.0)
    assert not outlier_detection.on_success(member, 4.0, 6.0)
    assert not outlier_detection.on_failure(member, 4.0, 6.0, of)
    assert member.ejected_until == 15.0
    outlier_detection.begin_probe(member, 15.0)
    assert not outlier_detection.on_success(member, 14.0, 16.0)
    assert not outlier_detection.on_failure(member, 14.0, 16.0, of)
    assert member.is_probing
    assert outlier_detection.on_success(member, 15.0, 17.0)
    for _ in range(20):  # the time-outs of what was asked before the ejection
        assert not outlier_detection.on_failure(member, 4.0, 18.0, of)


@pytest.mark.parametrize(("status", "fails"), [(200, False), (404, False), (499, False), (500, True), (503, True)])
def test_which_answers_are_failures(status: int, fails: bool) -> None:
    assert outlier_detection.is_failure(status) is fails


def test_faults_are_the_upstreams_and_not_our_own_refusals() -> None:
    everything = [value for value in vars(problems).values() if isinstance(value, problems.Problem)]
    faults = {problem.code for problem in everything if outlier_detection.is_fault(problem)}
    assert faults == {problem.code for problem in everything if problem.status in (502, 504)}


# --- whatever happens -------------------------------------------------------------------------------------------------


class Try(NamedTuple):
    member: int
    started: float
    is_probe: bool


EVENTS = st.lists(
    st.tuples(st.sampled_from(["begin", "good", "bad", "bad", "bad", "left", "wait"]), st.integers(0, 9)), max_size=120
)


@settings(max_examples=examples(200))
@given(
    st.lists(st.tuples(st.integers(0, 2), st.integers(1, 4)), min_size=1, max_size=3),
    st.integers(0, 100),
    EVENTS,
)
def test_somebody_is_always_available_and_one_probe_is_on_its_way(
    layout: list[tuple[int, int]], percent: int, events: list[tuple[str, int]]
) -> None:
    """Members of several priorities, tried, failing and left in any order: never panic, never more than the share."""
    counters = RuleCounters()
    breaker = CircuitBreaker(consecutive_failures=2, open_for=1_000, max_ejected_percent=percent)
    of = group(
        *[(1, priority, backend(f"b{index}", counters, size)) for index, (priority, size) in enumerate(layout)],
        counters=counters,
        breaker=breaker,
    )
    index = {member: number for number, member in enumerate(of.members)}
    now = 0.0
    tries: list[Try] = []
    for number, (event, choice) in enumerate(events):
        now += 0.001
        if event == "wait":
            now += choice
        elif event == "begin" or not tries:
            member = chosen(of.choose(now, lambda fixed=number: fixed * 0.618 % 1.0))
            tries.append(Try(index[member], now, member.is_probing))
        else:
            one = tries.pop(choice % len(tries))
            member = of.members[one.member]
            match event:
                case "good":
                    assert outlier_detection.on_success(member, one.started, now) is one.is_probe
                case "bad":
                    ejected = outlier_detection.on_failure(member, one.started, now, of)
                    assert ejected or not one.is_probe
                case _:
                    outlier_detection.on_abandoned(member, one.started)
        assert any(of.is_available(member) for member in of.members)
        assert not of.is_panic
        assert sum(member.is_ejected for member in of.members) <= of.ejection.max_ejected(len(of.members))
        probes = [one.member for one in tries if one.is_probe]
        assert sorted(probes) == sorted(number for number, member in enumerate(of.members) if member.is_probing)


@pytest.mark.parametrize("type_", ["RoundRobin", "LeastRequest", "PeakEWMA"])
def test_who_is_due_gets_the_next_request_even_if_it_looks_busy_and_slow(type_: str) -> None:
    counters = RuleCounters()
    of = group(
        (1, 0, backend("a", counters, 9)),
        (1000, 0, backend("b", counters)),
        counters=counters,
        balancer=LoadBalancer.model_validate({"type": type_}),
    )
    sick = of.members[4]
    eject(sick, of)
    sick.endpoint.active, sick.ewma, sick.ewma_at = 50, 60.0, 10.0
    assert chosen(of.choose(10.0, no_draw)) is sick
    draw = fixed_draws()
    assert sick not in [chosen(of.choose(10.0, draw)) for _ in range(200)]
    assert outlier_detection.on_success(sick, 10.0, 11.0)
    assert sick.ewma == 0.0


def test_exactly_one_request_is_the_probe() -> None:
    counters = RuleCounters()
    of = group((1, 0, backend("a", counters)), (1, 1, backend("b", counters)), counters=counters)
    primary, fallback = of.members
    eject(primary, of)
    assert [chosen(of.choose(now, no_draw)) for now in (0.0, 9.9, 10.0, 10.0, 11.0)] == [
        fallback,
        fallback,
        primary,
        fallback,
        fallback,
    ]
