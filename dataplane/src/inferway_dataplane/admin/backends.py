"""`/debug/backends`: the backends and endpoints of each rule, with their load and health."""

from typing import Any

from inferway_dataplane.core.runtime import Rule
from inferway_dataplane.core.upstreams.members import Member


def backends_of(rule: Rule, now: float) -> dict[str, Any]:
    """Return one rule as JSON, without secrets. `now`: monotonic seconds."""
    counters = rule.backend_set.counters
    return {
        "route": rule.route,
        "rule": rule.name,
        "inFlight": counters.in_flight,
        "pending": counters.pending,
        "retrying": counters.retrying,
        "panic": rule.backend_set.is_panic,
        "backends": [
            {
                "name": backend.name,
                "problem": backend.problem.code if backend.problem is not None else "",
                "hasCredential": backend.credential is not None,
                "endpoints": [_endpoint(member, now) for member in backend.members],
            }
            for backend in rule.backend_set.backends
        ],
    }


def _endpoint(member: Member, now: float) -> dict[str, Any]:
    if member.is_unhealthy:
        state = "unhealthy"
    elif member.is_probing:
        state = "probing"
    elif member.is_ejected:
        state = "ejected" if now < member.ejected_until else "due"
    else:
        state = "available"
    return {
        "address": member.name,
        "state": state,
        "ejectedFor": round(max(member.ejected_until - now, 0.0), 1) if member.is_ejected else 0,
        "failures": member.failures,
        "active": member.endpoint.active,
        "idle": len(member.endpoint.idle),
        "latencyMs": round(member.ewma * 1000, 3),
    }
