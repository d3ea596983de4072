"""Members and groups for tests of the core: endpoints that only count, draws that are known."""

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
    """An endpoint, as far as the core looks at it."""

    active: int = 0


def members(number: int, counters: RuleCounters | None = None, now: float = 0.0) -> tuple[Member, ...]:
    """So many members of one rule."""
    shared = counters or RuleCounters()
    return tuple(Member(f"10.0.0.{index}:80", Address(), shared, now) for index in range(number))


def no_draw() -> float:
    """For choices in which there is nothing to be drawn."""
    raise AssertionError("nothing had to be drawn")


def fixed_draws() -> Draw:
    """The same draws in every run, spread as chance spreads them."""
    return Random(7).random


def backend(
    name: str, counters: RuleCounters, number: int = 1, *, problem: Problem | None = None, now: float = 0.0
) -> Backend:
    """A backend with so many endpoints; one without any answers with its problem."""
    own = tuple(Member(f"{name}-{index}", Address(), counters, now) for index in range(number))
    return Backend(name, own, None, b"", problem or (None if own else problems.NO_ENDPOINTS))


def group(
    *backends: tuple[int, int, Backend],
    counters: RuleCounters,
    balancer: LoadBalancer | None = None,
    breaker: CircuitBreaker | None = None,
    checks: bool = False,
) -> BackendSet:
    """A group of (weight, priority, destination)."""
    return BackendSet(backends, balancer or LoadBalancer(), breaker or CircuitBreaker(), counters, checks=checks)


def chosen(found: Choice | Problem) -> Member:
    """The member of a choice."""
    assert not isinstance(found, Problem), found
    return found[1]


def eject(member: Member, of: BackendSet, now: float = 0.0) -> None:
    """Fail as often as it takes."""
    for _ in range(of.ejection.failures):
        outlier_detection.on_failure(member, now, now, of)
    assert member.is_ejected
