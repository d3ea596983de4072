"""The part of a world that the verdict on one object depends on: the same verdict without compiling everything.

The verdict on a route depends on its Services, the grants, the invalid policies of its namespace, the routes with one
of its matches on one of its hosts, and the routes that overlap with it. The verdict on a policy depends on its target
routes. A property test compares the result with the compiler's. Where many routes share a match, or overlap, only the
oldest of them count.
"""

from collections.abc import Hashable, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Final, NamedTuple

from inferway_contract import paths
from inferway_contract.resources import matches as written
from inferway_operator.admission import overlapping_routes
from inferway_operator.compiler import services
from inferway_operator.world.objects import PolicyObject, RouteObject, RuleObject
from inferway_operator.world.world import World

_MOST_MATCHES: Final = 2_000
"""Of the other routes: the time of a review must not grow with what others have stored. One route has at most 1,024."""


class RelevantWorld(NamedTuple):
    """A world with the object in it, and the ids of the other routes in it that share a match."""

    world: World
    rivals: tuple[str, ...] = ()
    left_out: int = 0
    """Younger routes that share a match too. They would make the review slow, and the object's status names them."""


def relevant_world(candidate: RouteObject | PolicyObject, world: World) -> RelevantWorld:
    """Return the part of the world that matters, with the candidate in it."""
    if isinstance(candidate, PolicyObject):
        return RelevantWorld(_of_policy(candidate, world))
    keys = _keys(candidate)
    rivals = _rivals(candidate, keys, world.routes)
    compared = _affordable(rivals, keys)
    others = overlapping_routes.merged(compared, overlapping_routes.find(candidate, world.routes))
    return RelevantWorld(
        _of_route(candidate, others, world), tuple(route.meta.id for route in compared), len(rivals) - len(compared)
    )


def _of_route(candidate: RouteObject, others: Sequence[RouteObject], world: World) -> World:
    named = candidate.named_services() | {services.API_SERVER}  # its addresses are not endpoints of any other
    return replace(
        world,
        routes=(candidate, *others),
        # A valid policy has no effect on the conditions of a route.
        policies=tuple(
            policy
            for policy in world.policies
            if policy.spec is None and policy.meta.namespace == candidate.meta.namespace
        ),
        services=tuple(service for service in world.services if service.id in named),
        slices=tuple(part for part in world.slices if part.service in named),
    )


def _of_policy(candidate: PolicyObject, world: World) -> World:
    named = {target.name for target in candidate.targets or ()}
    return replace(
        world,
        routes=tuple(
            route
            for route in world.routes
            if route.meta.namespace == candidate.meta.namespace and route.meta.name in named
        ),
        policies=(candidate,),
        services=(),
        slices=(),
        grants=(),
    )


def _rivals(candidate: RouteObject, keys: frozenset[int], routes: Sequence[RouteObject]) -> list[RouteObject]:
    """Return the routes that share a match and host; the oldest first. `keys`: of the candidate."""
    hosts = frozenset(candidate.hostnames or ("",))
    rivals = [
        route
        for route in routes
        if not hosts.isdisjoint(route.hostnames or ("",))
        and route.meta.id != candidate.meta.id
        and not keys.isdisjoint(_known_keys(route, len(routes)))
    ]
    return sorted(rivals, key=lambda route: route.meta.age)


def _affordable(rivals: Sequence[RouteObject], keys: frozenset[int]) -> Sequence[RouteObject]:
    """Return the first of the rivals, reduced to the rules that share a match: as many as have few matches together."""
    affordable: list[RouteObject] = []
    matches = 0
    for route in rivals:
        rules = tuple(rule for rule in route.rules if any(hash(_exact_key(match)) in keys for match in _whole(rule)))
        matches += sum(len(rule.matches) for rule in rules)
        if matches > _MOST_MATCHES:
            break
        affordable.append(replace(route, rules=rules))
    return affordable


def _keys(route: RouteObject) -> frozenset[int]:
    """Return hashes of the keys of its matches: two matches with one hash are compared by the compiler."""
    return frozenset(hash(_exact_key(match)) for rule in route.rules for match in _whole(rule))


_known: dict[str, tuple[RouteObject, frozenset[int]]] = {}


def _known_keys(route: RouteObject, routes: int) -> frozenset[int]:
    """Return the keys of a stored route, computed once for each version. `routes`: how many are stored."""
    known = _known.get(route.meta.id)
    if known is None or known[0] is not route:
        if len(_known) > 2 * routes:
            _known.clear()  # most are of routes that were deleted
        known = _known[route.meta.id] = (route, _keys(route))
    return known[1]


def _whole(rule: RuleObject) -> list[written.Match]:
    """Return the matches that shadowing compares: what a partly readable one means is not known."""
    return [match for _, match in rule.matches if isinstance(match, written.Match)]


# Coarser than the compiler's key of a match (`shadowing`): equal keys there are equal here.
def _exact_key(match: written.Match) -> Hashable:
    return (
        *(_path(match.path.type, match.path.value), match.method),
        frozenset((entry.name.lower(), entry.type, entry.value) for entry in match.headers),
        frozenset((entry.name, entry.type, entry.value) for entry in match.query_params),
    )


# Called for every match of the world at every review, with mostly the same paths.
@lru_cache(maxsize=65536)
def _path(kind: str, value: str) -> Hashable:
    if kind == "RegularExpression":
        return (kind, value)
    try:
        form = paths.match_path(value.encode())
    except paths.AmbiguousPath:
        return (kind, value)  # the compiler leaves such a match out
    return (kind, form.rstrip(b"/") if kind == "PathPrefix" else form)
