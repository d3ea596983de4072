"""Outlier detection: which members are ejected, for how long, and how they are restored."""

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


def test_u4_dead_tier_is_left_for_an_available_fallback() -> None:
    counters = RuleCounters()
    backend_set = group((1, 0, backend("a", counters, 3)), (1, 1, backend("b", counters)), counters=counters)
    *primaries, fallback = backend_set.members
    for member in primaries:
        eject(member, backend_set)
    assert [member_of(backend_set.choose(1.0, no_draw)) for _ in range(5)] == [fallback] * 5
    for number, member in enumerate(primaries):  # one probe each, and the traffic returns
        assert member_of(backend_set.choose(10.0 + number, no_draw)) is member
        assert outlier_detection.on_success(member, 10.0 + number, 11.0 + number)
    assert member_of(backend_set.choose(14.0, fixed_draws())) in primaries


def test_u4_maximum_counts_within_a_priority() -> None:
    counters = RuleCounters()
    backend_set = group(
        (1, 0, backend("a", counters, 4)), (1, 1, backend("b", counters, 8)), counters=counters, checks=True
    )
    primaries, fallbacks = backend_set.members[:4], backend_set.members[4:]
    for member in fallbacks:
        health_state.on_check(member, False, CheckRules(HealthCheck(path="/", unhealthy_threshold=1)), 0.0)
    for member in primaries[:2]:
        eject(member, backend_set)
    for member in primaries[2:]:
        assert not any(outlier_detection.on_failure(member, 1.0, 1.0, backend_set) for _ in range(20))


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


@pytest.mark.parametrize(
    ("status", "fails"),
    [(200, False), (404, False), (429, False), (499, False), (500, True), (501, False), (503, True), (505, False)],
)
def test_is_failure_depends_on_the_status(status: int, fails: bool) -> None:
    assert outlier_detection.is_failure(status) is fails


def test_is_fault_covers_502_and_504_problems_only() -> None:
    everything = [value for value in vars(problems).values() if isinstance(value, problems.Problem)]
    faults = {problem.code for problem in everything if outlier_detection.is_fault(problem)}
    assert faults == {problem.code for problem in everything if problem.status in (502, 504)}


# --- whatever happens -------------------------------------------------------------------------------------------------


class Seat:
    """A member as the naive reference sees it."""

    def __init__(self, tier: int) -> None:
        self.tier = tier
        self.failures = 0
        self.doublings = 0
        self.until: float | None = None  # end of its ejection; None = not ejected
        self.probe: float | None = None  # start of the probe under way
        self.since = -1e9  # its last restoration
        self.unhealthy = False

    @property
    def available(self) -> bool:
        return self.until is None and not self.unhealthy


class Reference:
    """The rules of docs/upstreams.md, written down as naively as possible."""

    def __init__(self, tiers: list[int], percent: int) -> None:
        self.seats = [Seat(tier) for tier in tiers]
        self.percent = percent

    def candidates(self, now: float) -> tuple[bool, set[int]]:
        """Whether there is panic, and the members that may get the next request."""
        for tier in sorted({seat.tier for seat in self.seats}):
            usable = {
                number
                for number, seat in enumerate(self.seats)
                if seat.tier == tier
                and not seat.unhealthy
                and (seat.until is None or (seat.probe is None and now >= seat.until))
            }
            due = {number for number in usable if self.seats[number].until is not None}
            if usable:
                return False, due or usable
        first = min(seat.tier for seat in self.seats)
        return True, {number for number, seat in enumerate(self.seats) if seat.tier == first}

    def fail(self, seat: Seat, started: float, now: float) -> None:
        if seat.until is not None:
            if seat.probe is not None and started >= seat.probe:
                self.eject(seat, now)
            return
        if started < seat.since:
            return
        seat.failures += 1
        elsewhere = any(other.available for other in self.seats if other.tier != seat.tier)
        nearby = [other for other in self.seats if other.tier == seat.tier]
        is_last = not any(other.available for other in nearby if other is not seat)
        out = sum(other.until is not None for other in nearby)
        has_place = out < max(1, len(nearby) * self.percent // 100)
        if seat.failures >= 2 and self.percent and (elsewhere or (has_place and not is_last)):
            if now - seat.since >= FORGET_AFTER:
                seat.doublings = 0
            self.eject(seat, now)

    def eject(self, seat: Seat, now: float) -> None:
        seat.until, seat.probe, seat.failures = now + min(2.0**seat.doublings, MAX_EJECTION), None, 0
        seat.doublings += 1

    def succeed(self, seat: Seat, started: float, now: float) -> None:
        if seat.until is None:
            seat.failures = 0
        elif seat.probe is not None and started >= seat.probe:
            seat.until, seat.probe, seat.failures, seat.since = None, None, 0, now

    def check(self, seat: Seat, is_good: bool, now: float) -> None:
        if is_good and seat.unhealthy:
            seat.since, seat.failures = now, 0
        seat.unhealthy = not is_good


EVENTS = st.lists(
    st.tuples(
        st.sampled_from(["begin", "begin", "good", "bad", "bad", "bad", "left", "wait", "check"]), st.integers(0, 9)
    ),
    max_size=120,
)


@settings(max_examples=examples(200))
@given(
    st.lists(st.tuples(st.integers(0, 2), st.integers(1, 4)), min_size=1, max_size=4),
    st.integers(0, 100),
    st.booleans(),
    EVENTS,
)
def test_members_follow_a_naive_reference_of_the_rules(
    layout: list[tuple[int, int]], percent: int, checks: bool, events: list[tuple[str, int]]
) -> None:
    """Members of several priorities: tried, failing, abandoned, checked, in any order."""
    counters = RuleCounters()
    breaker = CircuitBreaker(consecutive_failures=2, open_for=1_000, max_ejected_percent=percent)
    layout = sorted(layout)
    backend_set = group(
        *[(1, priority, backend(f"b{index}", counters, size)) for index, (priority, size) in enumerate(layout)],
        counters=counters,
        breaker=breaker,
        checks=checks,
    )
    members = backend_set.members
    reference = Reference([priority for priority, size in layout for _ in range(size)], percent)
    rules = CheckRules(HealthCheck(path="/", unhealthy_threshold=1))
    now = 0.0
    tries: list[tuple[int, float]] = []
    for number, (event, choice) in enumerate(events):
        now += 0.001
        if event == "wait":
            now += choice
        elif event == "check":
            if checks:
                seat = reference.seats[choice % len(members)]
                health_state.on_check(members[choice % len(members)], number % 3 > 0, rules, now)
                reference.check(seat, number % 3 > 0, now)
        elif event == "begin" or not tries:
            member = member_of(backend_set.choose(now, lambda fixed=number: fixed * 0.618 % 1.0))
            is_panic, candidates = reference.candidates(now)
            index = members.index(member)
            assert backend_set.is_panic is is_panic
            assert index in candidates
            if reference.seats[index].until is not None and not is_panic:
                reference.seats[index].probe = now
            tries.append((index, now))
        else:
            index, started = tries.pop(choice % len(tries))
            seat, member = reference.seats[index], members[index]
            match event:
                case "good":
                    outlier_detection.on_success(member, started, now)
                    reference.succeed(seat, started, now)
                case "bad":
                    outlier_detection.on_failure(member, started, now, backend_set)
                    reference.fail(seat, started, now)
                case _:
                    outlier_detection.on_abandoned(member, started)
                    if seat.probe is not None and started >= seat.probe:
                        seat.probe = None
        assert [member.is_ejected for member in members] == [seat.until is not None for seat in reference.seats]
        assert [member.is_probing for member in members] == [seat.probe is not None for seat in reference.seats]
        assert [m.ejected_until for m in members if m.is_ejected] == pytest.approx(
            [seat.until for seat in reference.seats if seat.until is not None]
        )
        if not checks:
            # Ejection alone never causes a panic.
            assert any(backend_set.is_available(member) for member in members)


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
