"""Selection: priorities, weights, retries at other members, and panic."""

from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from member_fakes import backend, eject, fixed_draws, group, member_of, no_draw

from inferway_contract.document import HealthCheck, LoadBalancer
from inferway_dataplane.core.messages import problems
from inferway_dataplane.core.messages.problems import Problem
from inferway_dataplane.core.upstreams import health_state, outlier_detection
from inferway_dataplane.core.upstreams.backends import Backend
from inferway_dataplane.core.upstreams.health_state import CheckRules
from inferway_dataplane.core.upstreams.members import Member, RuleCounters
from inferway_dataplane.core.upstreams.selection import BackendSet

CHECK = CheckRules(HealthCheck(path="/", unhealthy_threshold=1))


def outcomes(backend_set: BackendSet, rounds: int, now: float = 0.0) -> Counter[str]:
    """Names backend_set backends, or codes backend_set problems."""
    draw = fixed_draws()
    counts: Counter[str] = Counter()
    for _ in range(rounds):
        choice = backend_set.choose(now, draw)
        counts[choice.code if isinstance(choice, Problem) else choice[0].name] += 1
    return counts


def approximately(expected: dict[str, float]) -> object:
    return pytest.approx(expected, rel=0.1)


def test_choice_of_a_single_member_is_one_object_without_a_draw() -> None:
    counters = RuleCounters()
    backend_set = group((1, 0, backend("a", counters)), counters=counters)
    first = backend_set.choose(0.0, no_draw)
    assert member_of(first).name == "a-0"
    assert backend_set.choose(1.0, no_draw) is first


def test_backends_are_chosen_by_weight() -> None:
    counters = RuleCounters()
    backend_set = group(
        (90, 0, backend("a", counters, 3)),
        (10, 0, backend("b", counters)),
        (0, 0, backend("c", counters)),
        counters=counters,
    )
    assert outcomes(backend_set, 10_000) == approximately({"a": 9000, "b": 1000})


def test_round_robin_takes_backends_in_turn() -> None:
    counters = RuleCounters()
    backend_set = group(
        (2, 0, backend("a", counters, 2)),
        (1, 0, backend("b", counters)),
        counters=counters,
        balancer=LoadBalancer(type="RoundRobin"),
    )
    assert [member_of(backend_set.choose(0.0, no_draw)).name for _ in range(6)] == [
        "a-0",
        "b-0",
        "a-1",
        "a-0",
        "b-0",
        "a-1",
    ]


def test_weight_of_an_unavailable_backend_goes_to_the_others() -> None:
    counters = RuleCounters()
    a, b, c = backend("a", counters), backend("b", counters, 3), backend("c", counters, 0)
    backend_set = group((2, 0, a), (1, 0, b), (7, 0, c), counters=counters)
    assert outcomes(backend_set, 3000) == approximately({"a": 2000, "b": 1000})
    eject(a.members[0], backend_set)
    assert outcomes(backend_set, 3000) == {"b": 3000}


def test_broken_reference_keeps_its_weight() -> None:
    counters = RuleCounters()
    broken = backend("x", counters, 0, problem=problems.BACKEND_NOT_FOUND)
    backend_set = group((1, 0, broken), (3, 0, backend("a", counters)), counters=counters)
    assert outcomes(backend_set, 4000) == approximately({"backend_not_found": 1000, "a": 3000})


@pytest.mark.parametrize("type_", ["RoundRobin", "ConsistentHash"])
def test_broken_reference_keeps_its_weight_with_each_balancer(type_: str) -> None:
    counters = RuleCounters()
    broken = backend("x", counters, 0, problem=problems.BACKEND_NOT_FOUND)
    balancer = LoadBalancer.model_validate({"type": type_})
    backend_set = group((1, 0, broken), (1, 0, backend("a", counters)), counters=counters, balancer=balancer)
    draw = fixed_draws()
    counts = Counter(isinstance(backend_set.choose(0.0, draw, b"%d" % number), Problem) for number in range(4000))
    assert counts == pytest.approx({True: 2000, False: 2000}, rel=0.1)


def test_choice_without_members_is_a_problem() -> None:
    counters = RuleCounters()
    assert group(counters=counters).choose(0.0, no_draw) is problems.NO_BACKEND
    assert group((0, 0, backend("a", counters)), counters=counters).choose(0.0, no_draw) is problems.NO_BACKEND
    nobody = group((1, 0, backend("a", counters, 0)), (1, 1, backend("b", counters, 0)), counters=counters)
    assert nobody.choose(0.0, no_draw) is problems.NO_ENDPOINTS
    assert not nobody.is_panic
    broken = backend("x", counters, 0, problem=problems.BACKEND_NOT_FOUND)
    assert group((1, 0, broken), counters=counters).choose(0.0, no_draw) is problems.BACKEND_NOT_FOUND


# --- priorities -----------------------------------------------------------------------------------------------------------


def test_u4_next_priority_is_used_only_if_none_is_available() -> None:
    counters = RuleCounters()
    a, b = backend("a", counters, 2), backend("b", counters, 2)
    backend_set = group((1, 0, a), (1, 3, b), counters=counters)
    assert outcomes(backend_set, 100) == {"a": 100}
    eject(a.members[0], backend_set)
    assert outcomes(backend_set, 100) == {"a": 100}
    eject(a.members[1], backend_set)
    assert outcomes(backend_set, 100) == {"b": 100}
    assert not backend_set.is_panic
    counts = outcomes(backend_set, 100, now=10.0)  # both are due: one probe each
    assert counts == {"a": 2, "b": 98}
    for member in a.members:
        assert outlier_detection.on_success(member, 10.0, 11.0)
    assert outcomes(backend_set, 100, now=11.0) == {"a": 100}


def test_priority_without_usable_endpoints_is_skipped() -> None:
    counters = RuleCounters()
    broken = backend("x", counters, 0, problem=problems.BACKEND_NOT_FOUND)
    backend_set = group(
        (1, 0, backend("a", counters, 0)), (1, 1, broken), (0, 2, backend("c", counters)), (1, 5, backend("b", counters)),
        counters=counters,
    )  # fmt: skip
    assert outcomes(backend_set, 10) == {"b": 10}


def test_fallback_is_not_probed_while_the_primary_is_healthy() -> None:
    counters = RuleCounters()
    a, b = backend("a", counters, 2), backend("b", counters)
    backend_set = group((1, 0, a), (1, 1, b), counters=counters)
    eject(b.members[0], backend_set)
    assert outcomes(backend_set, 50, now=60.0) == {"a": 50}


# --- panic ----------------------------------------------------------------------------------------------------------------


def test_u5_panic_chooses_all_members_of_the_first_priority() -> None:
    counters = RuleCounters()
    a, b, c = backend("a", counters, 2), backend("b", counters), backend("c", counters)
    backend_set = group((1, 0, a), (1, 0, b), (1, 1, c), counters=counters, checks=True)
    for member in backend_set.members:
        health_state.on_check(member, False, CHECK, 0.0)
    assert outcomes(backend_set, 1000) == approximately({"a": 500, "b": 500})
    assert backend_set.is_panic
    health_state.on_check(c.members[0], True, CHECK, 1.0)
    assert outcomes(backend_set, 10, now=1.0) == {"c": 10}
    assert not backend_set.is_panic


def test_panic_does_not_probe_the_only_member_too_early() -> None:
    counters = RuleCounters()
    a, gone = backend("a", counters), backend("b", counters)
    eject(a.members[0], group((1, 0, a), (1, 0, gone), counters=counters))
    backend_set = group((1, 0, a), counters=counters)  # a newer document, without the other
    assert [member_of(backend_set.choose(1.0, no_draw)) for _ in range(3)] == [a.members[0]] * 3
    assert backend_set.is_panic
    assert not a.members[0].is_probing
    assert member_of(backend_set.choose(10.0, no_draw)).is_probing  # it is due
    assert not backend_set.is_panic
    assert member_of(backend_set.choose(10.5, no_draw)) is a.members[0]  # all others, until the probe ends
    assert backend_set.is_panic
    assert outlier_detection.on_success(a.members[0], 10.0, 11.0)
    assert not isinstance(backend_set.choose(11.0, no_draw), Problem)
    assert not backend_set.is_panic


def test_panic_does_not_probe_any_of_several_members() -> None:
    counters = RuleCounters()
    a, gone = backend("a", counters, 2), backend("b", counters, 2)
    older = group((1, 0, a), (1, 0, gone), counters=counters)
    for member in a.members:
        eject(member, older)
    backend_set = group((1, 0, a), counters=counters)
    assert outcomes(backend_set, 50, now=1.0) == {"a": 50}
    assert backend_set.is_panic
    assert not any(member.is_probing for member in a.members)


def test_next_request_probes_after_the_client_of_a_probe_left() -> None:
    counters = RuleCounters()
    a, b = backend("a", counters), backend("b", counters)
    backend_set = group((1, 0, a), (1, 1, b), counters=counters)
    eject(a.members[0], backend_set)
    assert [member_of(backend_set.choose(now, no_draw)).name for now in (10.0, 10.1)] == ["a-0", "b-0"]
    outlier_detection.on_abandoned(a.members[0], 10.0)
    assert [member_of(backend_set.choose(now, no_draw)).name for now in (10.2, 10.3)] == ["a-0", "b-0"]


# --- further tries --------------------------------------------------------------------------------------------------------


def names(backend_set: BackendSet, avoid: tuple[Member, ...], now: float = 0.0) -> set[str]:
    draw = fixed_draws()
    return {member_of(backend_set.choose(now, draw, None, avoid)).name for _ in range(50)}


def test_retry_avoids_members_already_tried_if_possible() -> None:
    counters = RuleCounters()
    a, b, c = backend("a", counters, 2), backend("b", counters), backend("c", counters)
    broken = backend("x", counters, 0, problem=problems.BACKEND_NOT_FOUND)
    backend_set = group((1, 0, a), (1, 0, b), (9, 0, broken), (1, 1, c), counters=counters)
    assert names(backend_set, a.members[:1]) == {"a-1", "b-0"}
    assert names(backend_set, a.members) == {"b-0"}
    assert names(backend_set, (*a.members, *b.members)) == {"c-0"}
    eject(b.members[0], backend_set)
    assert names(backend_set, a.members) == {"c-0"}
    all_members = (*a.members, *b.members, *c.members)
    lone = group((1, 0, c), counters=counters)
    assert names(lone, all_members) == {"c-0"}


def test_retry_in_panic_avoids_members_already_tried() -> None:
    counters = RuleCounters()
    a = backend("a", counters, 2)
    backend_set = group((1, 0, a), counters=counters, checks=True)
    for member in a.members:
        health_state.on_check(member, False, CHECK, 0.0)
    assert names(backend_set, a.members[:1]) == {"a-1"}
    assert names(backend_set, a.members) == {"a-0", "a-1"}


# --- hashing --------------------------------------------------------------------------------------------------------------


def test_equal_keys_choose_the_same_member_of_all_backends() -> None:
    counters = RuleCounters()
    a, b = backend("a", counters, 3), backend("b", counters, 2)
    backend_set = group((3, 0, a), (1, 0, b), counters=counters, balancer=LoadBalancer(type="ConsistentHash"))
    keys = [b"k%d" % number for number in range(2000)]
    before = {key: member_of(backend_set.choose(0.0, no_draw, key)) for key in keys}
    assert before == {key: member_of(backend_set.choose(5.0, no_draw, key)) for key in keys}
    shares = Counter(member.name[0] for member in before.values())
    assert shares == pytest.approx({"a": 1500, "b": 500}, rel=0.15)
    eject(b.members[0], backend_set)
    after = {key: member_of(backend_set.choose(5.0, no_draw, key)) for key in keys}
    assert {before[key].name for key in keys if before[key] is not after[key]} == {"b-0"}


def test_service_listed_twice_is_chosen_by_key() -> None:
    counters = RuleCounters()
    twice = backend("a", counters, 1)
    backend_set = group((1, 0, twice), (1, 0, twice), counters=counters, balancer=LoadBalancer(type="ConsistentHash"))
    assert len(backend_set.members) == 1
    assert member_of(backend_set.choose(0.0, no_draw, b"k")) is twice.members[0]


# --- views ----------------------------------------------------------------------------------------------------------------


def test_older_runtime_shares_ejections_with_a_newer_one() -> None:
    counters = RuleCounters()
    a = backend("a", counters, 2)
    older, newer = group((1, 0, a), counters=counters), group((1, 0, a), counters=counters)
    assert names(older, ()) == {"a-0", "a-1"}
    eject(a.members[0], newer)
    assert names(older, ()) == {"a-1"}


@given(
    st.lists(st.tuples(st.integers(0, 3), st.integers(0, 2), st.integers(0, 3)), min_size=1, max_size=4),
    st.lists(st.tuples(st.integers(0, 11), st.booleans()), max_size=30),
    st.floats(0, 1, exclude_max=True),
)
def test_choices_agree_with_a_naive_selection(
    layout: list[tuple[int, int, int]], checks: list[tuple[int, bool]], fixed: float
) -> None:
    counters = RuleCounters()
    backends = [
        (weight, priority, backend(f"b{index}", counters, size))
        for index, (weight, priority, size) in enumerate(layout)
    ]
    backend_set = group(*backends, counters=counters, checks=True)
    for step, (index, is_good) in enumerate([(0, True), *checks]):
        if backend_set.members:
            health_state.on_check(backend_set.members[index % len(backend_set.members)], is_good, CHECK, float(step))
        live = [(priority, member) for weight, priority, one in backends if weight for member in one.members]
        well = [(priority, member) for priority, member in live if not member.is_unhealthy]
        candidates = well or live
        counts = backend_set.choose(float(step), lambda: fixed)
        assert backend_set.is_panic is bool(live and not well)
        if not candidates:
            assert isinstance(counts, Problem)
        else:
            first = min(priority for priority, _ in candidates)
            assert member_of(counts) in [member for priority, member in candidates if priority == first]


SIZES = st.lists(st.integers(0, 3), min_size=2, max_size=2)
HAPPENINGS = st.lists(
    st.one_of(
        st.tuples(st.just("document"), SIZES),
        st.tuples(st.sampled_from(["good", "bad", "bad", "left", "try", "try", "again"]), st.integers(0, 20)),
        st.tuples(st.just("check"), st.integers(0, 5)),
        st.tuples(st.just("wait"), st.integers(1, 20)),
    ),
    max_size=80,
)


@given(st.sampled_from(["RoundRobin", "LeastRequest", "PeakEWMA", "ConsistentHash"]), HAPPENINGS)
def test_choices_stay_valid_while_documents_change(type_: str, happenings: list[tuple[str, Any]]) -> None:
    """Members backend_set two priorities are kept while documents add and remove them; old tries end after new documents."""
    counters = RuleCounters()
    listed = [backend("a", counters, 3), backend("b", counters, 3)]
    balancer = LoadBalancer.model_validate({"type": type_})

    def document(sizes: list[int]) -> BackendSet:
        parts = [
            Backend(one.name, one.members[:size], None, b"", None if size else problems.NO_ENDPOINTS)
            for one, size in zip(listed, sizes, strict=True)
        ]
        return group((1, 0, parts[0]), (1, 1, parts[1]), counters=counters, balancer=balancer, checks=True)

    backend_set = document([3, 3])
    draw = fixed_draws()
    now = 0.0
    tries: list[tuple[BackendSet, Member, float, bool]] = []
    for step, (what, how) in enumerate(happenings):
        now += 0.001
        if what == "document":
            backend_set = document(how)
        elif what == "wait":
            now += how
        elif what == "check":
            member = [*listed[0].members, *listed[1].members][how]
            health_state.on_check(member, step % 2 == 0, CHECK, now)
        elif what in ("try", "again"):
            group_of = tries[how % len(tries)][0] if tries and what == "again" else backend_set
            avoid = tuple({one[1]: None for one in tries[:2]}) if what == "again" else ()
            might = [member for member in group_of.members if may_be_chosen(member, now)]
            probing = {member for member in group_of.members if member.is_probing}
            counts = group_of.choose(now, draw, b"%d" % how, avoid)
            if isinstance(counts, Problem):
                assert not group_of.members
                continue
            member = counts[1]
            assert group_of.is_panic is (not might)
            assert member in (might or group_of.members)
            is_probe = member.is_probing and member not in probing
            assert is_probe is (not group_of.is_panic and member.is_ejected)
            if any(other not in avoid for other in might):
                assert member not in avoid
            tries.append((group_of, member, now, is_probe))
        elif tries:
            group_of, member, started, _ = tries.pop(how % len(tries))
            match what:
                case "good":
                    outlier_detection.on_success(member, started, now)
                case "bad":
                    outlier_detection.on_failure(member, started, now, group_of)
                case _:
                    outlier_detection.on_abandoned(member, started)


def may_be_chosen(member: Member, now: float) -> bool:
    due = member.is_ejected and not member.is_probing and now >= member.ejected_until
    return not member.is_unhealthy and (due or not member.is_ejected)
