"""Health checks: what the answers to the gateway's own questions say of an endpoint.

A member is healthy until so many checks in a row failed, and unhealthy until so many in a row succeeded. It starts as
healthy: a gateway that starts anew must not refuse everything until it has asked around.
"""

from inferway_contract.document import HealthCheck
from inferway_dataplane.core.upstreams.members import Member


class CheckRules:
    """A rule's health check. `interval` and `timeout` in seconds."""

    __slots__ = ("definition", "healthy_threshold", "interval", "path", "statuses", "timeout", "unhealthy_threshold")

    def __init__(self, check: HealthCheck) -> None:
        self.definition = check  # tells whether a newer document says the same
        self.path = check.path.encode()
        self.interval = check.interval / 1000
        self.timeout = check.timeout / 1000
        self.healthy_threshold = check.healthy_threshold
        self.unhealthy_threshold = check.unhealthy_threshold
        self.statuses = frozenset(check.expected_statuses)

    def is_good(self, status: int | None) -> bool:
        """Whether this answer is a good one; None = there was none in time."""
        return status in self.statuses


def reset(member: Member) -> None:
    """Nobody asks this member any more: what checks said of it does not count."""
    if member.is_unhealthy:
        member.is_unhealthy = False
        member.counters.changes += 1
    member.good_checks = member.bad_checks = 0


def on_check(member: Member, is_good: bool, rules: CheckRules, now: float) -> bool:
    """One check was answered. True when that changes what is thought of the member."""
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
