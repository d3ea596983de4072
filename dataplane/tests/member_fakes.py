"""Members and backend sets for tests of the core: endpoints that only count, fixed draws."""

from dataclasses import dataclass
from random import Random

from inferway_contract.document import CircuitBreaker, LoadBalancer
from inferway_dataplane.core.messages import problems
from inferway_dataplane.core.messages.problems import Problem
from inferway_dataplane.core.upstreams import outlier_detection
from inferway_dataplane.core.upstreams.backends import Backend
from inferway_dataplane.core.upstreams.balancing import Draw
from inferway_dataplane.core.upstreams.members import Member, RuleCounters
from inferway_dataplane.core.upstreams.selection import BackendSet, Choice


@dataclass(eq=False)
class Address:
    """An endpoint with the attributes that the core reads."""

    active: int = 0


def members(number: int, counters: RuleCounters | None = None, now: float = 0.0) -> tuple[Member, ...]:
    """Return `number` members of one rule."""
    shared = counters or RuleCounters()
    return tuple(Member(f"10.0.0.{index}:80", Address(), shared, now) for index in range(number))


def no_draw() -> float:
    """For choices without randomness."""
    raise AssertionError("nothing had to be drawn")


def fixed_draws() -> Draw:
    """The same random draws in every run."""
    return Random(7).random


def backend(
    name: str, counters: RuleCounters, number: int = 1, *, problem: Problem | None = None, now: float = 0.0
) -> Backend:
    """Return a backend with `number` endpoints; one without any has a problem."""
    own_members = tuple(Member(f"{name}-{index}", Address(), counters, now) for index in range(number))
    return Backend(name, own_members, None, b"", problem or (None if own_members else problems.NO_ENDPOINTS))


def group(
    *backends: tuple[int, int, Backend],
    counters: RuleCounters,
    balancer: LoadBalancer | None = None,
    breaker: CircuitBreaker | None = None,
    checks: bool = False,
) -> BackendSet:
    """Return a backend set of (weight, priority, backend)."""
    return BackendSet(backends, balancer or LoadBalancer(), breaker or CircuitBreaker(), counters, checks=checks)


def member_of(choice: Choice | Problem) -> Member:
    """The member of a choice."""
    assert not isinstance(choice, Problem), choice
    return choice[1]


def eject(member: Member, backend_set: BackendSet, now: float = 0.0) -> None:
    """Fail until the member is ejected."""
    for _ in range(backend_set.ejection.failures):
        outlier_detection.on_failure(member, now, now, backend_set)
    assert member.is_ejected
