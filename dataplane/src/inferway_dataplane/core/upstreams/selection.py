"""Selection: to which endpoint a try goes.

1. The lowest priority that has an available member takes the request. Weight 0 takes none, ever.
2. In it a backend is chosen by weight among those with an available member. A backend whose reference does not resolve
   keeps its weight: its share is answered with its problem, and not given to others.
3. Of the backend's available members the balancer chooses.
4. A further try leaves out the members that were tried, where any other is available: in the same priority, else in the
   next ones. Otherwise the same are tried again.
5. No member available in any priority is *panic*: what is known of health must be wrong or cannot be helped, so all members
   of the first priority that has any are asked.

What is available changes rarely and is asked for with every request, so a group keeps a view of it, made anew when a
member's state has changed or a time out is up. A rule with one backend and one endpoint costs a comparison.
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

_NEVER_SEEN: Final = -1


class WeightedBackend:
    """One backend's share of the requests of its priority."""

    __slots__ = ("available", "balancer", "credit", "destination", "seed", "weight")

    def __init__(self, weight: int, destination: Backend, said: LoadBalancer, seed: bytes) -> None:
        self.weight = weight
        self.destination = destination
        self.balancer = balancing.balancer_of(said, destination.members)
        self.available: tuple[Member, ...] = ()  # as of the group's view
        self.credit = 0  # for round robin
        self.seed = seed  # for consistent hashing: the backend's name, made different from all others


class BackendSet:
    """All backends and members of one rule. One for each runtime; the members and their counters are shared."""

    __slots__ = (
        "_changes",
        "_checks",
        "_due",
        "_only",
        "_shares",
        "_tiers",
        "_type",
        "_until",
        "_weighted",
        "backends",
        "counters",
        "ejection",
        "is_panic",
        "measures_latency",
        "members",
    )

    def __init__(
        self,
        backends: Sequence[tuple[int, int, Backend]],
        balancer: LoadBalancer,
        breaker: CircuitBreaker,
        counters: RuleCounters,
        *,
        checks: bool,
    ) -> None:
        """`backends`: weight, priority and destination of each. `checks`: the rule has a health check."""
        self.counters = counters
        self.ejection = EjectionRules(breaker)
        self.measures_latency = balancer.type == "PeakEWMA"
        self._type = balancer.type
        self._checks = checks
        tiers: dict[int, list[WeightedBackend]] = {}
        for index, (weight, priority, destination) in enumerate(backends):
            if weight > 0:
                twins = sum(other.name == destination.name for _, _, other in backends[:index])
                share = WeightedBackend(weight, destination, balancer, f"{destination.name}#{twins}".encode())
                tiers.setdefault(priority, []).append(share)
        self._tiers = [tiers[priority] for priority in sorted(tiers)]
        # A drained backend's members take no requests: they are nobody's alternative.
        self.members: tuple[Member, ...] = tuple(
            dict.fromkeys(member for tier in self._tiers for share in tier for member in share.destination.members)
        )
        self.backends: tuple[Backend, ...] = tuple(
            dict.fromkeys(destination for _, _, destination in backends)  # drained ones too
        )
        self.is_panic = False  # as of the last choice
        self._shares: list[WeightedBackend] = []
        self._weighted: Weighted[WeightedBackend] = Weighted([])
        self._only: Choice | None = None  # all there is to choose
        self._due: Choice | None = None  # who gets the next request, as a probe
        self._changes = _NEVER_SEEN
        self._until = inf

    def choose(
        self, now: float, draw: Draw, key: bytes | None = None, avoid: tuple[Member, ...] = ()
    ) -> Choice | Problem:
        """Where a try that begins now goes, or what the request is answered with because there is no such place.

        `key` is what consistent hashing hashes; `avoid` are the members that this request has tried.
        """
        if self._changes != self.counters.changes or now >= self._until:
            self._look(now)
        if avoid:
            other = self._choose_other(now, draw, key, avoid)
            if other is not None:
                return self._begun(other, now)
        if self._due is not None:
            return self._begun(self._due, now)
        only = self._only
        if only is not None:
            return only
        shares = self._shares
        if not shares:
            return problems.NO_BACKEND
        share = shares[0] if len(shares) == 1 else self._choose_share(shares, self._weighted, draw, key)
        available = share.available
        if not available:
            return share.destination.problem or problems.NO_ENDPOINTS
        member = available[0] if len(available) == 1 else share.balancer.pick(available, draw, now, key)
        return self._begun((share.destination, member), now)

    def is_available(self, member: Member) -> bool:
        """Whether a member takes requests as all do (one that is due for a probe does not yet)."""
        return not member.is_ejected and not (self._checks and member.is_unhealthy)

    def available_of(self, destination: Backend) -> int:
        """How many members of a backend are available."""
        return sum(self.is_available(member) for member in destination.members)

    # --- the view ------------------------------------------------------------------------------------------------------

    def _look(self, now: float) -> None:
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
        self._shares = next((shares for tier in self._tiers if (shares := self._usable(tier, now))), [])
        if not self._shares:
            self._panic()
        self._weighted = Weighted([(share.weight, share) for share in self._shares])
        self._due = self._find_due()
        self._only = None
        if len(self._shares) == 1:
            (share,) = self._shares
            if len(share.available) == 1 and (self.is_panic or not share.available[0].is_ejected):
                self._only = (share.destination, share.available[0])

    def _usable(self, tier: list[WeightedBackend], now: float) -> list[WeightedBackend]:
        """The shares of a priority that are drawn from; none when none of its members may be asked."""
        for share in tier:
            share.available = tuple(member for member in share.destination.members if self._may_ask(member, now))
        if not any(share.available for share in tier):
            return []
        return [share for share in tier if share.available or share.destination.is_broken]

    def _find_due(self) -> Choice | None:
        """Whose time is up gets the next request, whatever the balancer thinks of its load: it may still hold old ones.

        Not with consistent hashing: there the next key that belongs to it finds it by itself.
        """
        if self.is_panic or self._type == "ConsistentHash":
            return None
        return next(
            ((share.destination, member) for share in self._shares for member in share.available if member.is_ejected),
            None,
        )

    def _panic(self) -> None:
        for tier in self._tiers:
            if any(share.destination.members for share in tier):
                self.is_panic = True
                break
        else:
            # There is nobody to ask: the first priority says why.
            self._shares = self._tiers[0] if self._tiers else []
            return
        for share in tier:
            share.available = share.destination.members
        self._shares = [share for share in tier if share.available or share.destination.is_broken]

    def _may_ask(self, member: Member, now: float) -> bool:
        if self._checks and member.is_unhealthy:
            return False
        return not member.is_ejected or outlier_detection.is_due(member, now)

    # --- choices -------------------------------------------------------------------------------------------------------

    def _choose_share(
        self, shares: list[WeightedBackend], weighted: Weighted[WeightedBackend], draw: Draw, key: bytes | None
    ) -> WeightedBackend:
        if self._type == "RoundRobin":
            return round_robin.take_by_weight(shares)
        if self._type == "ConsistentHash" and key is not None:
            return consistent_hash.rendezvous(shares, key)
        return weighted.choose(draw()) or shares[0]

    def _choose_other(self, now: float, draw: Draw, key: bytes | None, avoid: tuple[Member, ...]) -> Choice | None:
        """As `choose`, among the members that were not tried. Rare, so it may make lists."""
        # In panic nobody may be asked, and so everybody of the panicking priority is.
        tiers = [self._shares] if self.is_panic else self._tiers
        for tier in tiers:
            left = {
                share: others
                for share in tier
                if (
                    others := tuple(
                        member
                        for member in share.destination.members
                        if member not in avoid and (self.is_panic or self._may_ask(member, now))
                    )
                )
            }
            if left:
                shares = list(left)
                share = self._choose_share(shares, Weighted([(share.weight, share) for share in shares]), draw, key)
                return share.destination, share.balancer.pick(left[share], draw, now, key)
        return None

    def _begun(self, choice: Choice, now: float) -> Choice:
        member = choice[1]
        if member.is_ejected and not self.is_panic:
            outlier_detection.begin_probe(member, now)
        return choice
