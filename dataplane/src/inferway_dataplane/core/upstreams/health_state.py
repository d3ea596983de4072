"""The health of members by active health checks.

A member becomes unhealthy after `unhealthy_threshold` failed checks in a row, and healthy again after `healthy_threshold`
passed ones. It starts healthy, so that a new gateway serves requests before its first checks.
"""

from inferway_contract.document import HealthCheck
from inferway_dataplane.core.upstreams.members import Member


class CheckRules:
    """The health check of a rule. `interval` and `timeout` in seconds."""

    __slots__ = ("definition", "healthy_threshold", "interval", "path", "statuses", "timeout", "unhealthy_threshold")

    def __init__(self, check: HealthCheck) -> None:
        self.definition = check  # equal in a newer document = the check is unchanged
        self.path = check.path.encode()
        self.interval = check.interval / 1000
        self.timeout = check.timeout / 1000
        self.healthy_threshold = check.healthy_threshold
        self.unhealthy_threshold = check.unhealthy_threshold
        self.statuses = frozenset(check.expected_statuses)  # of a check that passed


def reset(member: Member) -> None:
    """Discard the results of checks, after a member is no longer checked."""
    if member.is_unhealthy:
        member.is_unhealthy = False
        member.counters.changes += 1
    member.good_checks = member.bad_checks = 0


def on_check(member: Member, is_good: bool, rules: CheckRules, now: float) -> bool:
    """Count the result of one check; True if the member's health changed."""
    if is_good:
        member.bad_checks = 0
        member.good_checks += 1
        if not member.is_unhealthy or member.good_checks < rules.healthy_threshold:
            return False
        member.restored_at = now
        member.failures = 0
    else:
        member.good_checks = 0
        member.bad_checks += 1
        if member.is_unhealthy or member.bad_checks < rules.unhealthy_threshold:
            return False
    member.is_unhealthy = not is_good
    member.counters.changes += 1
    return True
