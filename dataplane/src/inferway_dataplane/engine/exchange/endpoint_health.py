"""What the result of a try means for its endpoint: counted by the core, measured and logged here."""

import logging

from inferway_dataplane.core.rule import Rule
from inferway_dataplane.core.upstreams import outlier_detection
from inferway_dataplane.core.upstreams.balancing import peak_ewma
from inferway_dataplane.core.upstreams.members import Member

log = logging.getLogger("inferway")


def on_response(rule: Rule, member: Member, status: int, tried_at: float, now: float) -> None:
    """The final head of a response came. `tried_at`, `now`: monotonic seconds."""
    if outlier_detection.is_failure(status):
        _count_failure(rule, member, tried_at, now)
    elif outlier_detection.on_success(member, tried_at, now):
        log.info(
            "an endpoint is available again",
            extra={"endpoint": member.name, "rule": rule.name, "route": rule.route},
        )


def on_no_response(rule: Rule, member: Member, tried_at: float, now: float) -> None:
    """The endpoint is at fault that there is no response."""
    if rule.backend_set.measures_latency:
        peak_ewma.observe_failure(member, now - tried_at, now)
    _count_failure(rule, member, tried_at, now)


def _count_failure(rule: Rule, member: Member, tried_at: float, now: float) -> None:
    if outlier_detection.on_failure(member, tried_at, now, rule.backend_set):
        seconds = round(member.ejected_until - now, 1)
        log.warning(
            "ejected an endpoint",
            extra={"endpoint": member.name, "rule": rule.name, "route": rule.route, "seconds": seconds},
        )
