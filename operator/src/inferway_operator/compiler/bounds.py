"""Bounds of namespaces: what is over them is refused before it is compiled. The oldest objects keep their place.

An object counts with what it adds to the older ones of its namespace that fit. A larger object that does not fit leaves room
for younger ones that do. What all namespaces take together is shared fairly, so none can take the share of another.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from operator import add
from typing import Final

from inferway_contract import pattern_bounds
from inferway_contract.fairness import fair_level
from inferway_contract.field_errors import FieldError
from inferway_operator.compiler import refusals
from inferway_operator.compiler.draft import Draft
from inferway_operator.world.bounds import NOTHING, UNBOUNDED, Bounds, Usage
from inferway_operator.world.objects import PolicyObject, RouteObject
from inferway_operator.world.world import World

_Object = RouteObject | PolicyObject
Excesses = Mapping[tuple[str, str], FieldError]
"""By kind and id of the objects over a bound."""

_MEASURED: Final = 2
"""Sizes of patterns are measured up to this number of times the bound of the namespace: those of refused routes too."""
_ROUNDS: Final = 8
"""Attempts at shares of the totals. The last one takes equal shares."""
_WORDS: Final = (
    "sizes of patterns",
    "hostnames times matches and conditions",
    "limits times rules",
    "backendRefs",
    "bytes of specs",
)
"""Of each field of `Usage`."""
_FIXES: Final = (
    "use simpler patterns",
    "use fewer hostnames or matches",
    "use fewer limits or targets",
    "use fewer backendRefs",
    "use smaller objects",
)


def check(draft: Draft) -> None:
    """Refuse the routes and policies that are over a bound, without compiling anything of them."""
    if draft.world.settings.standalone:
        return  # its only author is its owner
    objects: list[_Object] = [*(route.source for route in draft.routes), *(policy.source for policy in draft.policies)]
    result = find(objects, draft.world.settings.bounds, _last_limits(draft.world))
    draft.usage = result.usage
    for route in draft.routes:
        route.excess = result.excesses.get(("GatewayRoute", route.source.meta.id))
        if route.excess is not None:
            route.rules = []  # the other passes have nothing to do with them
    for policy in draft.policies:
        policy.excess = result.excesses.get(("RateLimitPolicy", policy.source.meta.id))
    refusals.add(draft)


def excess_of(candidate: _Object, world: World) -> FieldError | None:
    """Return why an object would not fit among those of its namespace; None = it would. Other namespaces do not count."""
    if world.settings.standalone:
        return None
    meta = candidate.meta
    items: list[_Object] = [*world.routes, *world.policies]
    others = [
        item
        for item in items
        if item.meta.namespace == meta.namespace and (item.meta.name, item.meta.kind) != (meta.name, meta.kind)
    ]
    result = find([*others, candidate], world.settings.bounds, _last_limits(world))
    return result.excesses.get((meta.kind, meta.id))


def _last_limits(world: World) -> Mapping[str, int]:
    return {name: len(policy.limits) for name, policy in world.last_published.items()}


@dataclass(frozen=True, slots=True)
class Result:
    """The objects over a bound, and what the others take, by namespace."""

    excesses: Excesses
    usage: Mapping[str, Usage]


def find(items: Iterable[_Object], bounds: Bounds, last_limits: Mapping[str, int]) -> Result:
    """Return the objects over a bound.

    `last_limits`: the number of limits in the published form, by id, which an invalid policy keeps.
    """
    accounts: dict[str, _Account] = {}
    objects: dict[str, list[_Object]] = {}
    for item in sorted(items, key=_age):
        objects.setdefault(item.meta.namespace, []).append(item)
    for namespace, of_namespace in objects.items():
        accounts[namespace] = _filled(namespace, of_namespace, bounds.namespace, bounds, last_limits)
    shares = UNBOUNDED
    # What is refused for one total may leave room for an object that needs more of another one, so the shares are found in
    # rounds. Each round lowers one at least.
    for number in range(_ROUNDS):
        used = [account.used for account in accounts.values()]
        lower = _shares(used, bounds.total, is_last=number == _ROUNDS - 1)
        if lower == UNBOUNDED:
            break
        shares = Usage(*map(min, shares, lower))
        limits = Usage(*map(min, bounds.namespace, shares))
        for namespace, account in accounts.items():
            if any(one > share for one, share in zip(account.used, shares, strict=True)):
                accounts[namespace] = _filled(namespace, objects[namespace], limits, bounds, last_limits)
    return Result(
        {key: error for account in accounts.values() for key, error in account.excesses.items()},
        {namespace: account.used for namespace, account in accounts.items()},
    )


def _age(item: _Object) -> tuple[str, ...]:
    return item.meta.age


def _shares(used: Sequence[Usage], total: Usage, *, is_last: bool) -> Usage:
    """Return the most that a namespace may take of each total; `UNBOUNDED` where the total is enough for all.

    `is_last`: equal shares, which cannot be exceeded together.
    """
    demands = [[usage[place] for usage in used] for place in range(len(total))]
    is_over = [sum(of_place) > most for of_place, most in zip(demands, total, strict=True)]
    if is_last and any(is_over):
        return Usage(*(most // len(used) for most in total))
    return Usage(
        *(fair_level(demands[place], most) if is_over[place] else UNBOUNDED[place] for place, most in enumerate(total))
    )


@dataclass(slots=True)
class _Account:
    """What the objects of one namespace take that fit."""

    namespace: str
    limits: Usage
    bounds: Bounds
    used: Usage = NOTHING
    excesses: dict[tuple[str, str], FieldError] = field(default_factory=dict)
    measured: int = 0
    # Numbers of rules of the routes that fit, and sums of limits of the policies that fit, by what they apply to.
    all_rules: int = 0
    rules: dict[str, list[str]] = field(default_factory=dict)
    for_all: int = 0
    for_routes: dict[str, int] = field(default_factory=dict)
    for_rules: dict[tuple[str, str], int] = field(default_factory=dict)

    def add_route(self, route: RouteObject) -> None:
        """Count a route, or note why it does not fit."""
        name = route.meta.name
        names = [rule.name for rule in route.rules]
        limits = len(names) * (self.for_all + self.for_routes.get(name, 0))
        if self.for_rules:
            limits += sum(self.for_rules.get((name, rule), 0) for rule in names)
        expanded = max(1, len(route.hostnames)) * route.match_count + route.condition_count
        needed = Usage(0, expanded, limits, route.backend_count, route.size)
        if self._fits("GatewayRoute", route, needed):
            if route.patterns:
                needed = needed._replace(patterns=self._measure(route))
            if needed.patterns > self.bounds.route_patterns:
                at_least = f"are {needed.patterns} or more, and may be {self.bounds.route_patterns}"
                message = f"too large: the sizes of patterns of a route {at_least}; use simpler patterns, or split it"
                self.excesses[("GatewayRoute", route.meta.id)] = FieldError(("spec", "rules"), message)
            elif self._fits("GatewayRoute", route, needed):
                self._take(needed)
                self.all_rules += len(names)
                self.rules[name] = names

    def add_policy(self, policy: PolicyObject, limits: int) -> None:
        """Count a policy with this number of limits, or note why it does not fit."""
        whole = {target.name for target in policy.targets or () if target.section_name is None}
        single = {
            (target.name, target.section_name)
            for target in policy.targets or ()
            if target.section_name is not None and target.name not in whole
        }
        if policy.targets:
            rules = sum(len(self.rules.get(name, ())) for name in whole)
            rules += sum(rule in self.rules.get(name, ()) for name, rule in single)
        else:
            rules = self.all_rules
        needed = Usage(limits=limits * rules, bytes=policy.size)
        if self._fits("RateLimitPolicy", policy, needed):
            self._take(needed)
            if not policy.targets:
                self.for_all += limits
            for name in whole:
                self.for_routes[name] = self.for_routes.get(name, 0) + limits
            for place in single:
                self.for_rules[place] = self.for_rules.get(place, 0) + limits

    def _fits(self, kind: str, item: _Object, needed: Usage) -> bool:
        used, limits = self.used, self.limits
        for place in range(len(limits)):
            if needed[place] and used[place] + needed[place] > limits[place]:
                message = self._message(place, used[place] + needed[place], limits[place])
                self.excesses[(kind, item.meta.id)] = FieldError(("spec",), message)
                return False
        return True

    def _take(self, needed: Usage) -> None:
        used = self.used
        self.used = Usage(*map(add, used, needed))

    def _message(self, place: int, figure: int, most: int) -> str:
        bound, name = self.bounds.namespace[place], Usage._fields[place]
        setting = f"namespace_{name}" if most == bound else f"total_{name}"
        share = "" if most == bound else f", its share of {self.bounds.total[place]} of all namespaces"
        return (
            f"too large: the {_WORDS[place]} of namespace {self.namespace} are {figure} with this object, and may be"
            f" {most}{share}; {_FIXES[place]}, remove others, or raise the operator's setting {setting}"
        )

    def _measure(self, route: RouteObject) -> int:
        """Return the sum of the sizes of a route's patterns, up to the first one that is over a bound."""
        room = min(self.bounds.route_patterns, self.limits.patterns - self.used.patterns)
        if self.measured > _MEASURED * self.bounds.namespace.patterns:
            # Too many were refused already: a route with any pattern counts as one of them.
            return room + 1
        size = pattern_bounds.sum_of(route.patterns, room)
        self.measured += size
        return size


def _filled(
    namespace: str, items: Iterable[_Object], limits: Usage, bounds: Bounds, last_limits: Mapping[str, int]
) -> _Account:
    account = _Account(namespace, limits, bounds)
    for item in items:
        if isinstance(item, RouteObject):
            account.add_route(item)
        else:
            number = len(item.spec.limits) if item.spec is not None else last_limits.get(item.meta.id, 0)
            account.add_policy(item, number)
    return account
