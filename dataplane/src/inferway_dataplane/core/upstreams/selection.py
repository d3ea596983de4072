"""Selection: the member for the next try of a request.

1. The lowest priority with an available member takes the request. Weight 0 never takes one.
2. Within it a backend is chosen by weight among those with an available member. A backend whose reference is invalid keeps
   its weight: its share of requests gets its problem and moves to no other backend.
3. The balancer chooses one of the backend's available members.
4. A retry avoids the members that were tried if any other is available: in the same priority, else in the next ones.
   Otherwise it may use them again, but for those that rest: their Retry-After has not passed.
5. If no priority has an available member (*panic*), the first priority with members uses all of them: either the known
   health is wrong, or no choice can help.

Availability changes rarely and every request needs it, so a set keeps a view of it, rebuilt when a member's state has
changed or an ejection has ended. A rule with one backend and one endpoint costs a comparison.
"""

from collections.abc import Sequence
from math import inf
from typing import Final

from inferway_contract.document import CircuitBreaker, LoadBalancer
from inferway_dataplane.core.messages import problems
from inferway_dataplane.core.messages.problems import Problem
from inferway_dataplane.core.upstreams import balancing, outlier_detection
from inferway_dataplane.core.upstreams.backends import Backend
from inferway_dataplane.core.upstreams.balancing import Draw, Weighted, consistent_hash, round_robin
from inferway_dataplane.core.upstreams.members import Member, RuleCounters
from inferway_dataplane.core.upstreams.outlier_detection import EjectionRules

Choice = tuple[Backend, Member]

_NO_VIEW: Final = -1


class WeightedBackend:
    """One backend of a priority, with its weight and balancer."""

    __slots__ = ("available", "backend", "balancer", "credit", "seed", "weight")

    def __init__(self, weight: int, backend: Backend, balancer: LoadBalancer, seed: bytes) -> None:
        self.weight = weight
        self.backend = backend
        self.balancer = balancing.balancer_of(balancer, backend.members)
        self.available: tuple[Member, ...] = ()  # as of the set's view
        self.credit = 0  # for round robin
        self.seed = seed  # for consistent hashing: the backend's name, made unique


class BackendSet:
    """All backends and members of one rule. One for each runtime; the members and their counters are shared."""

    __slots__ = (
        "_changes", "_checks", "_due", "_only", "_options", "_peers", "_priorities", "_type", "_until", "_weighted",
        "backends", "counters", "ejection", "is_panic", "measures_latency", "members",
    )  # fmt: skip

    def __init__(
        self,
        backends: Sequence[tuple[int, int, Backend]],
        balancer: LoadBalancer,
        breaker: CircuitBreaker,
        counters: RuleCounters,
        *,
        checks: bool,
    ) -> None:
        """`backends`: weight and priority of each. `checks`: the rule has a health check."""
        self.counters = counters
        self.ejection = EjectionRules(breaker)
        self.measures_latency = balancer.type == "PeakEWMA"
        self._type = balancer.type
        self._checks = checks
        by_priority: dict[int, list[WeightedBackend]] = {}
        for index, (weight, priority, backend) in enumerate(backends):
            if weight > 0:
                same_name = sum(other.name == backend.name for _, _, other in backends[:index])
                option = WeightedBackend(weight, backend, balancer, f"{backend.name}#{same_name}".encode())
                by_priority.setdefault(priority, []).append(option)
        self._priorities = [by_priority[priority] for priority in sorted(by_priority)]
        # Members of a drained backend take no requests, retries included.
        self.members: tuple[Member, ...] = tuple(
            dict.fromkeys(
                member for candidates in self._priorities for option in candidates for member in option.backend.members
            )
        )
        self._peers: dict[Member, tuple[Member, ...]] = {}
        for candidates in self._priorities:
            peers = tuple(dict.fromkeys(member for option in candidates for member in option.backend.members))
            for member in peers:
                self._peers.setdefault(member, peers)  # a Service with two priorities counts in the first one
        self.backends: tuple[Backend, ...] = tuple(
            dict.fromkeys(backend for _, _, backend in backends)  # drained ones too
        )
        self.is_panic = False  # as of the last choice
        self._options: list[WeightedBackend] = []
        self._weighted: Weighted[WeightedBackend] = Weighted([])
        self._only: Choice | None = None  # set = the only possible choice
        self._due: Choice | None = None  # gets the next request, as a probe
        self._changes = _NO_VIEW  # `counters.changes` as of the view
        self._until = inf  # monotonic seconds at which the view ends

    def choose(
        self,
        now: float,
        draw: Draw,
        key: bytes | None = None,
        avoid: tuple[Member, ...] = (),
        resting: tuple[Member, ...] = (),
    ) -> Choice | Problem:
        """Choose backend and member for a try; a `Problem` if there is none.

        `key`: hashed by consistent hashing; `avoid`: the members that this request has tried; `resting`: those of them
        that must not get it yet.
        """
        if self._changes != self.counters.changes or now >= self._until:
            self._refresh(now)
        if avoid:
            other = self._choose_other(now, draw, key, avoid)
            if other is None and resting:
                other = self._choose_other(now, draw, key, resting)
                if other is None:
                    return problems.NO_ENDPOINTS
            if other is not None:
                return self._begin(other, now)
        if self._due is not None:
            return self._begin(self._due, now)
        only = self._only
        if only is not None:
            return only
        options = self._options
        if not options:
            return problems.NO_BACKEND
        option = options[0] if len(options) == 1 else self._choose_backend(options, self._weighted, draw, key)
        available = option.available
        if not available:
            return option.backend.problem or problems.NO_ENDPOINTS
        member = available[0] if len(available) == 1 else option.balancer.pick(available, draw, now, key)
        return self._begin((option.backend, member), now)

    def usable(self, now: float) -> list[Member]:
        """The members that a retry may use, of all priorities; in panic those of the priority that takes requests."""
        if self._changes != self.counters.changes or now >= self._until:
            self._refresh(now)
        if self.is_panic:
            return [member for option in self._options for member in option.backend.members]
        return [member for member in self.members if self._is_usable(member, now)]

    def is_available(self, member: Member) -> bool:
        """Whether a member takes ordinary requests (one that is due for a probe does not)."""
        return not member.is_ejected and not (self._checks and member.is_unhealthy)

    def peers_of(self, member: Member) -> tuple[Member, ...]:
        """The members of this member's priority, itself included."""
        return self._peers[member]

    def available_of(self, backend: Backend) -> int:
        """Count the available members of a backend."""
        return sum(self.is_available(member) for member in backend.members)

    # --- the view ------------------------------------------------------------------------------------------------------

    def _refresh(self, now: float) -> None:
        self._changes = self.counters.changes
        self._until = min(
            (
                member.ejected_until
                for member in self.members
                if member.is_ejected and not member.is_probing and member.ejected_until > now
            ),
            default=inf,
        )
        self.is_panic = False
        self._options = next(
            (options for candidates in self._priorities if (options := self._usable_of(candidates, now))), []
        )
        if not self._options:
            self._panic()
        self._weighted = Weighted([(option.weight, option) for option in self._options])
        self._due = self._find_due()
        self._only = None
        if len(self._options) == 1:
            (option,) = self._options
            if len(option.available) == 1 and (self.is_panic or not option.available[0].is_ejected):
                self._only = (option.backend, option.available[0])

    def _usable_of(self, candidates: list[WeightedBackend], now: float) -> list[WeightedBackend]:
        """Return the backends of a priority to choose from; none without a usable member."""
        for option in candidates:
            option.available = tuple(member for member in option.backend.members if self._is_usable(member, now))
        if not any(option.available for option in candidates):
            return []
        return [option for option in candidates if option.available or option.backend.is_broken]

    def _find_due(self) -> Choice | None:
        """Return a member due for a probe: it gets the next request, whatever its load."""
        # With consistent hashing the next key of that member is its probe.
        if self.is_panic or self._type == "ConsistentHash":
            return None
        return next(
            ((option.backend, member) for option in self._options for member in option.available if member.is_ejected),
            None,
        )

    def _panic(self) -> None:
        for candidates in self._priorities:
            if any(option.backend.members for option in candidates):
                self.is_panic = True
                break
        else:
            # No member at all: the first priority's backends give the problem.
            self._options = self._priorities[0] if self._priorities else []
            return
        for option in candidates:
            option.available = option.backend.members
        self._options = [option for option in candidates if option.available or option.backend.is_broken]

    def _is_usable(self, member: Member, now: float) -> bool:
        if self._checks and member.is_unhealthy:
            return False
        return not member.is_ejected or outlier_detection.is_due(member, now)

    # --- choices -------------------------------------------------------------------------------------------------------

    def _choose_backend(
        self, options: list[WeightedBackend], weighted: Weighted[WeightedBackend], draw: Draw, key: bytes | None
    ) -> WeightedBackend:
        if self._type == "RoundRobin":
            return round_robin.take_by_weight(options)
        if self._type == "ConsistentHash" and key is not None:
            return consistent_hash.rendezvous(options, key)
        return weighted.choose(draw()) or options[0]

    def _choose_other(self, now: float, draw: Draw, key: bytes | None, avoid: tuple[Member, ...]) -> Choice | None:
        """Choose among the members that were not tried. Rare, so it may build lists."""
        # In panic no member is usable, so all of the panicking priority are.
        priorities = [self._options] if self.is_panic else self._priorities
        for candidates in priorities:
            untried = {
                option: others
                for option in candidates
                if (
                    others := tuple(
                        member
                        for member in option.backend.members
                        if member not in avoid and (self.is_panic or self._is_usable(member, now))
                    )
                )
            }
            if untried:
                options = list(untried)
                option = self._choose_backend(
                    options, Weighted([(option.weight, option) for option in options]), draw, key
                )
                return option.backend, option.balancer.pick(untried[option], draw, now, key)
        return None

    def _begin(self, choice: Choice, now: float) -> Choice:
        member = choice[1]
        if member.is_ejected and not self.is_panic:
            outlier_detection.begin_probe(member, now)
        return choice
