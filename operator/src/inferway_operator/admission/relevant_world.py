"""The part of a world that the verdict on one object depends on: the same verdict without compiling everything.

The verdict on a route depends on its Services, the grants, the invalid policies of its namespace, the routes with one
of its matches on one of its hosts, and the routes that overlap with it (`overlapping_routes`). The verdict on a policy depends on its target routes. A property test compares the
result with the compiler's.
"""

from collections.abc import Hashable, Iterable
from dataclasses import replace
from functools import lru_cache
from typing import NamedTuple

from inferway_contract import paths
from inferway_contract.resources import matches as written
from inferway_operator.admission import overlapping_routes
from inferway_operator.compiler import services
from inferway_operator.world.objects import PolicyObject, RouteObject, RuleObject
from inferway_operator.world.world import World


class RelevantWorld(NamedTuple):
    """A world with the object in it, and the ids of the other routes in it that share a match."""

    world: World
    rivals: tuple[str, ...] = ()


def relevant_world(candidate: RouteObject | PolicyObject, world: World) -> RelevantWorld:
    """Return the part of the world that matters, with the candidate in it."""
    if isinstance(candidate, PolicyObject):
        return RelevantWorld(_of_policy(candidate, world))
    rivals = _rivals(candidate, world.routes)
    others = overlapping_routes.merged(rivals, overlapping_routes.find(candidate, world.routes))
    return RelevantWorld(_of_route(candidate, others, world), tuple(route.meta.id for route in rivals))


def _of_route(candidate: RouteObject, others: Iterable[RouteObject], world: World) -> World:
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


def _rivals(candidate: RouteObject, routes: Iterable[RouteObject]) -> tuple[RouteObject, ...]:
    """Return the routes that share a match and host, reduced to the rules that do."""
    hosts = frozenset(candidate.hostnames or ("",))
    matches = [match for rule in candidate.rules for match in _whole(rule)]
    rough_keys, exact_keys = {_rough_key(match) for match in matches}, {_exact_key(match) for match in matches}
    rivals = []
    for route in routes:
        if hosts.isdisjoint(route.hostnames or ("",)) or route.meta.id == candidate.meta.id:
            continue
        rules = tuple(
            rule
            for rule in route.rules
            if any(_rough_key(match) in rough_keys and _exact_key(match) in exact_keys for match in _whole(rule))
        )
        if rules:
            rivals.append(replace(route, rules=rules))
    return tuple(rivals)


def _whole(rule: RuleObject) -> list[written.Match]:
    """Return the matches that shadowing compares: what a partly readable one means is not known."""
    return [match for _, match in rule.matches if isinstance(match, written.Match)]


# Both are coarser than the compiler's key of a match (`shadowing`): equal keys there are equal here.


def _rough_key(match: written.Match) -> Hashable:
    return (_path(match.path.type, match.path.value), match.method)


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
