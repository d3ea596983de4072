"""Outlier detection: a member that fails repeatedly is ejected for a while.

    well --failures in a row--> ejected --time is up--> due --next request--> probing
     ^                             ^                                            |
     +---------- success ----------|------------------- failure (twice as long) +

While a member is *due*, the next request of its priority is its probe; for all other requests it stays ejected until the
probe ends. A probe whose client leaves makes the member due again. Each ejection lasts twice as long as the one before, up
to `MAX_EJECTION`; a member that was well for `FORGET_AFTER` starts with the shortest again.

A result counts only if its try began after the member's last ejection or restoration: an older try does not show the
member's present state, and its late timeout must not undo the result of a probe.

Each priority counts for itself. While another priority has an available member, all members of a priority may be ejected:
its requests have a place to go. Otherwise at most `percent` of them (but always one) may be, and never the last available
one. A `percent` of 0 ejects none.
"""

from collections.abc import Sequence
from typing import Final, Protocol

from inferway_contract.document import CircuitBreaker
from inferway_dataplane.core.messages import problems
from inferway_dataplane.core.messages.problems import Problem
from inferway_dataplane.core.upstreams.members import Member

MAX_EJECTION: Final = 300.0
"""Seconds of the longest ejection."""

FORGET_AFTER: Final = 300.0
"""Seconds without an ejection after which the doubling starts again."""

_MOST_DOUBLINGS: Final = 20


class EjectionRules:
    """When a member is ejected, and for how long (`open_for`: seconds of the first ejection)."""

    __slots__ = ("failures", "open_for", "percent")

    def __init__(self, breaker: CircuitBreaker) -> None:
        self.failures = breaker.consecutive_failures
        self.open_for = breaker.open_for / 1000
        self.percent = breaker.max_ejected_percent

    def max_ejected(self, members: int) -> int:
        """Return how many of a priority's `members` may be ejected at once: at least one, if any."""
        return max(1, members * self.percent // 100) if self.percent else 0


class MemberGroup(Protocol):
    """All members of a rule."""

    @property
    def members(self) -> Sequence[Member]: ...
    @property
    def ejection(self) -> EjectionRules: ...
    def is_available(self, member: Member) -> bool: ...
    def peers_of(self, member: Member) -> Sequence[Member]:
        """The members of this member's priority, itself included."""


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


_OF_THE_REQUEST: Final = frozenset((501, 505))
"""Statuses about a request's method or version: a client could eject every endpoint with them."""


def is_failure(status: int) -> bool:
    """Whether a response with this status counts as a failure of its endpoint."""
    return status >= 500 and status not in _OF_THE_REQUEST


def is_fault(problem: Problem) -> bool:
    """Whether a try with this problem counts as a failure of its endpoint."""
    # The gateway's own refusals do not. Nor does a closed kept-alive connection (`retry.may_resend`): that try is abandoned.
    return problem in _FAULTS


def on_success(member: Member, started: float, now: float) -> bool:
    """Count a successful try that began at `started`; True if it restores the member."""
    if not member.is_ejected:
        member.failures = 0
        return False
    if not _is_of_probe(member, started):
        return False
    member.is_probing = member.is_ejected = False
    member.failures = 0
    member.ewma = 0.0  # latency measured during failures does not predict the next
    member.restored_at = now
    member.counters.changes += 1
    return True


def on_failure(member: Member, started: float, now: float, group: MemberGroup) -> bool:
    """Count a failed try that began at `started`; True if it ejects the member (again)."""
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
    """End a try that began at `started` without a result (client left)."""
    if _is_of_probe(member, started):
        member.is_probing = False
        member.counters.changes += 1


def begin_probe(member: Member, now: float) -> None:
    """Make the next request of a due member its probe."""
    member.is_probing = True
    member.probing_since = now
    member.counters.changes += 1


def is_due(member: Member, now: float) -> bool:
    """Whether an ejected member may be probed."""
    return member.is_ejected and not member.is_probing and now >= member.ejected_until


def _is_of_probe(member: Member, started: float) -> bool:
    return member.is_probing and started >= member.probing_since


def _may_eject(member: Member, group: MemberGroup) -> bool:
    rules, peers = group.ejection, group.peers_of(member)
    if not rules.percent:
        return False
    is_alone = True
    for other in group.members:
        if other is not member and group.is_available(other):
            if other not in peers:
                return True
            is_alone = False
    return not is_alone and sum(other.is_ejected for other in peers) < rules.max_ejected(len(peers))


def _eject(member: Member, now: float, rules: EjectionRules) -> None:
    member.is_ejected = True
    member.is_probing = False
    member.failures = 0
    member.ejected_until = now + min(rules.open_for * (1 << min(member.ejections, _MOST_DOUBLINGS)), MAX_EJECTION)
    member.ejections += 1
    member.counters.changes += 1
