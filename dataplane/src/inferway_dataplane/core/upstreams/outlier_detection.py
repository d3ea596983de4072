"""Ejection: an endpoint that fails again and again is left alone for a while.

    well --failures in a row--> ejected --time is up--> due --a request comes--> probing
     ^                             ^                                               |
     +---------- success ----------|---------------------- failure (twice as long) +

While a member is *due*, the next request of its priority is its probe, and it stays ejected for all others until that one
is answered. A probe whose client leaves makes the member due again. Each ejection is twice as long as the one before, up
to `MAX_EJECTION`; a member that was well for `FORGET_AFTER` starts over.

Whom a result speaks of is told by the time when its try began: tries that began before a member was ejected (or before
it was let in again) say nothing of how it does now, and a long time-out must not undo what a probe has found.

Never ejected: the last available member of a rule, and more than `percent` of its members (but one always may be). All
priorities count together, so the only member of priority 0 goes when another priority has an available one.
"""

from collections.abc import Sequence
from typing import Final, Protocol

from inferway_contract.document import CircuitBreaker
from inferway_dataplane.core.messages import problems
from inferway_dataplane.core.messages.problems import Problem
from inferway_dataplane.core.upstreams.members import Member

MAX_EJECTION: Final = 300.0
"""Seconds that one ejection lasts at most."""

FORGET_AFTER: Final = 300.0
"""Seconds without an ejection after which the doubling is forgotten."""

_MOST_DOUBLINGS: Final = 20


class EjectionRules:
    """When a member is ejected, and for how long."""

    __slots__ = ("failures", "open_for", "percent")

    def __init__(self, breaker: CircuitBreaker) -> None:
        self.failures = breaker.consecutive_failures
        self.open_for = breaker.open_for / 1000
        self.percent = breaker.max_ejected_percent

    def max_ejected(self, members: int) -> int:
        """How many of so many members may be ejected at once. One may, where any may: else small rules had none."""
        return max(1, members * self.percent // 100) if self.percent else 0


class MemberGroup(Protocol):
    """All members of a rule."""

    @property
    def members(self) -> Sequence[Member]: ...
    @property
    def ejection(self) -> EjectionRules: ...
    def is_available(self, member: Member) -> bool: ...


_FAULTS: Final = frozenset(
    (
        problems.ADDRESS_REFUSED,
        problems.BAD_RESPONSE,
        problems.CONNECT_FAILED,
        problems.CONNECT_TIMEOUT,
        problems.DNS_FAILED,
        problems.RESPONSE_HEAD_TOO_LARGE,
        problems.TLS_FAILED,
        problems.UPSTREAM_CLOSED,
        problems.UPSTREAM_TIMEOUT,
    )
)


def is_failure(status: int) -> bool:
    """Whether an answer with this status counts as a failure of its endpoint."""
    return status >= 500


def is_fault(problem: Problem) -> bool:
    """Whether a try that ended with this problem counts as a failure of its endpoint; refusals of our own do not.

    A kept-alive connection that the upstream closed meanwhile (`retry.may_resend`) is no failure: such a try is abandoned.
    """
    return problem in _FAULTS


def on_success(member: Member, started: float, now: float) -> bool:
    """A try that began at `started` was answered well. True when that lets the member in again."""
    if not member.is_ejected:
        member.failures = 0
        return False
    if not _is_of_probe(member, started):
        return False
    member.is_probing = member.is_ejected = False
    member.failures = 0
    member.ewma = 0.0  # how long it took while it failed says nothing of how long it will take
    member.restored_at = now
    member.counters.changes += 1
    return True


def on_failure(member: Member, started: float, now: float, group: MemberGroup) -> bool:
    """A try that began at `started` failed. True when that ejects the member, or ejects it again."""
    if member.is_ejected:
        if not _is_of_probe(member, started):
            return False
        _eject(member, now, group.ejection)
        return True
    if started < member.restored_at:
        return False
    member.failures += 1
    if member.failures < group.ejection.failures or not _may_eject(member, group):
        return False
    if now - member.restored_at >= FORGET_AFTER:
        member.ejections = 0
    _eject(member, now, group.ejection)
    return True


def on_abandoned(member: Member, started: float) -> None:
    """A try that began at `started` ended without saying anything of the member, as when the client left."""
    if _is_of_probe(member, started):
        member.is_probing = False
        member.counters.changes += 1


def begin_probe(member: Member, now: float) -> None:
    """A due member gets its one request."""
    member.is_probing = True
    member.probing_since = now
    member.counters.changes += 1


def is_due(member: Member, now: float) -> bool:
    """Whether an ejected member may be tried with one request."""
    return member.is_ejected and not member.is_probing and now >= member.ejected_until


def _is_of_probe(member: Member, started: float) -> bool:
    return member.is_probing and started >= member.probing_since


def _may_eject(member: Member, group: MemberGroup) -> bool:
    members = group.members
    ejected = sum(other.is_ejected for other in members)
    return ejected < group.ejection.max_ejected(len(members)) and any(
        other is not member and group.is_available(other) for other in members
    )


def _eject(member: Member, now: float, rules: EjectionRules) -> None:
    member.is_ejected = True
    member.is_probing = False
    member.failures = 0
    member.ejected_until = now + min(rules.open_for * (1 << min(member.ejections, _MOST_DOUBLINGS)), MAX_EJECTION)
    member.ejections += 1
    member.counters.changes += 1
