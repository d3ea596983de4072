"""Health state: the number of checks in a row that changes a member's health."""

import pytest
from member_fakes import backend, group, members

from inferway_contract.document import HealthCheck
from inferway_dataplane.core.upstreams import health_state
from inferway_dataplane.core.upstreams.health_state import CheckRules
from inferway_dataplane.core.upstreams.members import RuleCounters

RULES = CheckRules(HealthCheck(path="/healthz?deep=1", healthy_threshold=2, unhealthy_threshold=3))


@pytest.mark.parametrize(
    ("checks", "verdicts"),
    [  # + passed, - failed; h healthy, U unhealthy
        ("++++", "hhhh"),
        ("--+--+", "hhhhhh"),
        ("---", "hhU"),
        ("---+-++", "hhUUUUh"),
        ("---++--+---", "hhUUhhhhhhU"),
    ],
)
def test_health_state_changes_after_a_streak_of_checks(checks: str, verdicts: str) -> None:
    (member,) = members(1)
    health = ""
    before = False
    for now, sign in enumerate(checks):
        changed = health_state.on_check(member, sign == "+", RULES, float(now))
        assert changed is (member.is_unhealthy is not before)
        before = member.is_unhealthy
        health += "U" if before else "h"
    assert health == verdicts
    changes = sum(one != other for one, other in zip("h" + verdicts, verdicts, strict=False))
    assert member.counters.changes == changes


def test_health_state_restored_restarts_the_slow_start() -> None:
    (member,) = members(1)
    for now in range(3):
        health_state.on_check(member, False, RULES, float(now))
    for now in (7.0, 8.0):
        health_state.on_check(member, True, RULES, now)
    assert member.warm_since == 8.0


def test_health_check_passes_on_expected_statuses_only() -> None:
    rules = CheckRules(HealthCheck(path="/", expected_statuses=(200, 204)))
    assert [status in rules.statuses for status in (200, 204, 302, 503, None)] == [True, True, False, False, False]
    assert (RULES.path, RULES.interval, RULES.timeout) == (b"/healthz?deep=1", 5.0, 1.0)


def test_health_state_is_ignored_without_a_health_check() -> None:
    counters = RuleCounters()
    shared = backend("a", counters, 2)
    checked = group((1, 0, shared), counters=counters, checks=True)
    unchecked = group((1, 0, shared), counters=counters)
    for now in range(3):
        health_state.on_check(shared.members[0], False, RULES, float(now))
    assert checked.available_of(shared) == 1
    assert unchecked.available_of(shared) == 2


def test_health_state_is_forgotten_when_checks_stop() -> None:
    (member,) = members(1)
    for now in range(4):
        health_state.on_check(member, False, RULES, float(now))
    changes = member.counters.changes
    health_state.reset(member)
    assert (member.is_unhealthy, member.counters.changes) == (False, changes + 1)
    # The counts start at 0 when a later document enables the check again.
    assert [health_state.on_check(member, False, RULES, float(now)) for now in (8, 9, 10)] == [False, False, True]
