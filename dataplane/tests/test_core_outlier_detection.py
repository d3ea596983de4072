"""Outlier detection: which members are ejected, for how long, and how they are restored."""

from typing import NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from member_fakes import backend, eject, fixed_draws, group, member_of, no_draw

from inferway_contract.document import CircuitBreaker, LoadBalancer
from inferway_dataplane.core.messages import problems
from inferway_dataplane.core.upstreams import health_state, outlier_detection
from inferway_dataplane.core.upstreams.health_state import CheckRules, HealthCheck
from inferway_dataplane.core.upstreams.members import RuleCounters
from inferway_dataplane.core.upstreams.outlier_detection import FORGET_AFTER, MAX_EJECTION, EjectionRules
from inferway_dataplane.core.upstreams.selection import BackendSet
from inferway_testing.examples import examples

THREE = CircuitBreaker(consecutive_failures=3, open_for=10_000)


def group_of_two(breaker: CircuitBreaker = THREE) -> BackendSet:
    counters = RuleCounters()
    return group((1, 0, backend("a", counters, 2)), counters=counters, breaker=breaker)


def test_ejection_needs_consecutive_failures() -> None:
    backend_set = group_of_two()
    member = backend_set.members[0]
    outcomes = [
        outlier_detection.on_success(member, 1.0, 1.0)
        if is_good
        else outlier_detection.on_failure(member, 1.0, 1.0, backend_set)
        for is_good in (False, False, True, False, False, False)
    ]
    assert outcomes == [False] * 5 + [True]
    assert member.is_ejected
    assert member.ejected_until == 11.0
    assert not backend_set.is_available(member)


@pytest.mark.parametrize(
    ("percent", "total", "most"),
    [(50, 2, 1), (50, 3, 1), (50, 4, 2), (50, 10, 5), (10, 3, 1), (100, 3, 3), (0, 100, 0), (50, 1, 1), (34, 3, 1)],
)
def test_ejection_maximum_follows_max_ejected_percent(percent: int, total: int, most: int) -> None:
    assert EjectionRules(CircuitBreaker(max_ejected_percent=percent)).max_ejected(total) == most


def test_u4_ejection_stops_at_max_ejected_percent() -> None:
    counters = RuleCounters()
    backend_set = group((1, 0, backend("a", counters, 4)), counters=counters)
    eject(backend_set.members[0], backend_set)
    eject(backend_set.members[1], backend_set)
    for _ in range(20):
        assert not outlier_detection.on_failure(backend_set.members[2], 1.0, 1.0, backend_set)
    assert [member.is_ejected for member in backend_set.members] == [True, True, False, False]


def test_u4_last_available_member_is_never_ejected() -> None:
    counters = RuleCounters()
    up_to_all = CircuitBreaker(max_ejected_percent=100)
    backend_set = group((1, 0, backend("a", counters, 3)), counters=counters, breaker=up_to_all)
    eject(backend_set.members[0], backend_set)
    eject(backend_set.members[1], backend_set)
    for _ in range(20):
        assert not outlier_detection.on_failure(backend_set.members[2], 1.0, 1.0, backend_set)


def test_u4_only_member_is_never_ejected() -> None:
    counters = RuleCounters()
    backend_set = group((1, 0, backend("a", counters)), counters=counters)
    for _ in range(20):
        assert not outlier_detection.on_failure(backend_set.members[0], 1.0, 1.0, backend_set)


def test_u4_primary_and_fallback_are_never_both_ejected() -> None:
    counters = RuleCounters()
    backend_set = group((1, 0, backend("a", counters)), (1, 1, backend("b", counters)), counters=counters)
    primary, fallback = backend_set.members
    eject(primary, backend_set)
    for _ in range(20):
        assert not outlier_detection.on_failure(fallback, 1.0, 1.0, backend_set)


def test_drained_backend_does_not_permit_an_ejection() -> None:
    counters = RuleCounters()
    backend_set = group((1, 0, backend("a", counters)), (0, 0, backend("b", counters, 9)), counters=counters)
    for _ in range(20):
        assert not outlier_detection.on_failure(backend_set.members[0], 1.0, 1.0, backend_set)


def test_unhealthy_member_does_not_permit_an_ejection() -> None:
    counters = RuleCounters()
    backend_set = group((1, 0, backend("a", counters, 2)), counters=counters, checks=True)
    health_state.on_check(backend_set.members[1], False, CheckRules(HealthCheck(path="/", unhealthy_threshold=1)), 0.0)
    for _ in range(20):
        assert not outlier_detection.on_failure(backend_set.members[0], 1.0, 1.0, backend_set)


def test_max_ejected_percent_of_0_ejects_no_member() -> None:
    backend_set = group_of_two(CircuitBreaker(max_ejected_percent=0))
    for _ in range(20):
        assert not outlier_detection.on_failure(backend_set.members[0], 1.0, 1.0, backend_set)


def test_ejection_time_doubles_up_to_five_minutes() -> None:
    backend_set = group_of_two()
    member = backend_set.members[0]
    eject(member, backend_set, 0.0)
    lengths = [member.ejected_until]
    for _ in range(8):
        now = member.ejected_until
        assert not outlier_detection.is_due(member, now - 0.001)
        assert outlier_detection.is_due(member, now)
        outlier_detection.begin_probe(member, now)
        assert not outlier_detection.is_due(member, now)
        assert outlier_detection.on_failure(member, now, now, backend_set)
        lengths.append(member.ejected_until - now)
    assert lengths == [10, 20, 40, 80, 160, MAX_EJECTION, MAX_EJECTION, MAX_EJECTION, MAX_EJECTION]


def restore_first(backend_set: BackendSet, at: float) -> None:
    member = backend_set.members[0]
    outlier_detection.begin_probe(member, at)
    assert outlier_detection.on_success(member, at, at)


def test_successful_probe_restores_the_member() -> None:
    backend_set = group_of_two()
    member = backend_set.members[0]
    eject(member, backend_set)
    restore_first(backend_set, 10.0)
    assert backend_set.is_available(member)
    assert not outlier_detection.on_failure(member, 11.0, 11.0, backend_set)


@pytest.mark.parametrize(("well_for", "length"), [(FORGET_AFTER - 1, 20), (FORGET_AFTER, 10)])
def test_ejection_time_is_reset_after_a_healthy_period(well_for: float, length: float) -> None:
    backend_set = group_of_two()
    member = backend_set.members[0]
    eject(member, backend_set)
    restore_first(backend_set, 10.0)
    now = 10.0 + well_for
    eject(member, backend_set, now)
    assert member.ejected_until == now + length


def test_probe_of_a_disconnected_client_permits_another() -> None:
    backend_set = group_of_two()
    member = backend_set.members[0]
    eject(member, backend_set)
    outlier_detection.begin_probe(member, 10.0)
    outlier_detection.on_abandoned(member, 5.0)  # an older try
    assert not outlier_detection.is_due(member, 11.0)
    outlier_detection.on_abandoned(member, 10.0)
    assert outlier_detection.is_due(member, 11.0)
    assert member.is_ejected


def test_tries_begun_before_the_ejection_do_not_count() -> None:
    backend_set = group_of_two()
    member = backend_set.members[0]
    eject(member, backend_set, 5.0)
    assert not outlier_detection.on_success(member, 4.0, 6.0)
    assert not outlier_detection.on_failure(member, 4.0, 6.0, backend_set)
    assert member.ejected_until == 15.0
    outlier_detection.begin_probe(member, 15.0)
    assert not outlier_detection.on_success(member, 14.0, 16.0)
    assert not outlier_detection.on_failure(member, 14.0, 16.0, backend_set)
    assert member.is_probing
    assert outlier_detection.on_success(member, 15.0, 17.0)
    for _ in range(20):  # timeouts backend_set tries that began before the ejection
        assert not outlier_detection.on_failure(member, 4.0, 18.0, backend_set)


@pytest.mark.parametrize(("status", "fails"), [(200, False), (404, False), (499, False), (500, True), (503, True)])
def test_is_failure_depends_on_the_status(status: int, fails: bool) -> None:
    assert outlier_detection.is_failure(status) is fails


def test_is_fault_covers_502_and_504_problems_only() -> None:
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
def test_tries_in_any_order_leave_a_member_available(
    layout: list[tuple[int, int]], percent: int, events: list[tuple[str, int]]
) -> None:
    """Members backend_set several priorities, tried, failing and abandoned in any order: no panic, no more ejected than allowed."""
    counters = RuleCounters()
    breaker = CircuitBreaker(consecutive_failures=2, open_for=1_000, max_ejected_percent=percent)
    backend_set = group(
        *[(1, priority, backend(f"b{index}", counters, size)) for index, (priority, size) in enumerate(layout)],
        counters=counters,
        breaker=breaker,
    )
    index = {member: number for number, member in enumerate(backend_set.members)}
    now = 0.0
    tries: list[Try] = []
    for number, (event, choice) in enumerate(events):
        now += 0.001
        if event == "wait":
            now += choice
        elif event == "begin" or not tries:
            member = member_of(backend_set.choose(now, lambda fixed=number: fixed * 0.618 % 1.0))
            tries.append(Try(index[member], now, member.is_probing))
        else:
            one = tries.pop(choice % len(tries))
            member = backend_set.members[one.member]
            match event:
                case "good":
                    assert outlier_detection.on_success(member, one.started, now) is one.is_probe
                case "bad":
                    ejected = outlier_detection.on_failure(member, one.started, now, backend_set)
                    assert ejected or not one.is_probe
                case _:
                    outlier_detection.on_abandoned(member, one.started)
        assert any(backend_set.is_available(member) for member in backend_set.members)
        assert not backend_set.is_panic
        assert sum(member.is_ejected for member in backend_set.members) <= backend_set.ejection.max_ejected(
            len(backend_set.members)
        )
        probes = [one.member for one in tries if one.is_probe]
        assert sorted(probes) == sorted(
            number for number, member in enumerate(backend_set.members) if member.is_probing
        )


@pytest.mark.parametrize("type_", ["RoundRobin", "LeastRequest", "PeakEWMA"])
def test_due_member_gets_the_next_request_though_it_looks_busy(type_: str) -> None:
    counters = RuleCounters()
    backend_set = group(
        (1, 0, backend("a", counters, 9)),
        (1000, 0, backend("b", counters)),
        counters=counters,
        balancer=LoadBalancer.model_validate({"type": type_}),
    )
    sick = backend_set.members[4]
    eject(sick, backend_set)
    sick.endpoint.active, sick.ewma, sick.ewma_at = 50, 60.0, 10.0
    assert member_of(backend_set.choose(10.0, no_draw)) is sick
    draw = fixed_draws()
    assert sick not in [member_of(backend_set.choose(10.0, draw)) for _ in range(200)]
    assert outlier_detection.on_success(sick, 10.0, 11.0)
    assert sick.ewma == 0.0


def test_exactly_one_request_probes_a_due_member() -> None:
    counters = RuleCounters()
    backend_set = group((1, 0, backend("a", counters)), (1, 1, backend("b", counters)), counters=counters)
    primary, fallback = backend_set.members
    eject(primary, backend_set)
    assert [member_of(backend_set.choose(now, no_draw)) for now in (0.0, 9.9, 10.0, 10.0, 11.0)] == [
        fallback,
        fallback,
        primary,
        fallback,
        fallback,
    ]
