"""The part of a world that can matter to the verdict on one object: the same answer without compiling all of it.

What a route is told depends on the Services that it names, on the grants, on the invalid policies of its namespace, and
on the routes that have one of its matches on one of its hosts. What a policy is told depends on the routes that it
names. A property of the tests holds these sentences against the compiler.
"""

from collections.abc import Hashable, Iterable, Iterator
from dataclasses import replace
from functools import lru_cache
from typing import NamedTuple

from inferway_contract import paths
from inferway_contract.resources import matches as written
from inferway_operator.world.objects import PolicyObject, RouteObject
from inferway_operator.world.world import World


class RelevantWorld(NamedTuple):
    """A world with the object in it, and the ids of the other routes that are there because a match is theirs too."""

    world: World
    rivals: tuple[str, ...] = ()


def relevant_world(candidate: RouteObject | PolicyObject, world: World) -> RelevantWorld:
    """As if the candidate were in the world, in place of the object of its kind and name."""
    if isinstance(candidate, PolicyObject):
        return RelevantWorld(_around_policy(candidate, world))
    rivals = _rivals(candidate, world.routes)
    return RelevantWorld(_around_route(candidate, rivals, world), tuple(route.meta.id for route in rivals))


def _around_route(candidate: RouteObject, rivals: tuple[RouteObject, ...], world: World) -> World:
    named = set(_services(candidate))
    return replace(
        world,
        routes=(candidate, *rivals),
        # A valid policy limits requests, and is nothing that a route's author is told.
        policies=tuple(
            policy
            for policy in world.policies
            if policy.spec is None and policy.meta.namespace == candidate.meta.namespace
        ),
        services=tuple(service for service in world.services if service.id in named),
        slices=tuple(part for part in world.slices if part.service in named),
    )


def _services(route: RouteObject) -> Iterator[str]:
    for rule in route.rules:
        for ref in rule.rule.backend_refs if rule.rule is not None else ():
            yield f"{ref.namespace or route.meta.namespace}/{ref.name}"


def _around_policy(candidate: PolicyObject, world: World) -> World:
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
    """The routes with any match of the candidate's on any host of its, each with only the rules of those matches."""
    hosts = frozenset(candidate.hostnames or ("",))
    matches = [match for rule in candidate.rules for _, match in rule.matches]
    rough, exact = {_rough(match) for match in matches}, {_exact(match) for match in matches}
    found = []
    for route in routes:
        if hosts.isdisjoint(route.hostnames or ("",)) or route.meta.id == candidate.meta.id:
            continue
        rules = tuple(
            rule
            for rule in route.rules
            if any(_rough(match) in rough and _exact(match) in exact for _, match in rule.matches)
        )
        if rules:
            found.append(replace(route, rules=rules))
    return tuple(found)


# Both are coarser than the compiler's own key of a match (`shadows`), and never tell apart what it takes for the same.


def _rough(match: written.Match) -> Hashable:
    return (_path(match.path.type, match.path.value), match.method)


def _exact(match: written.Match) -> Hashable:
    return (
        *(_path(match.path.type, match.path.value), match.method),
        frozenset((entry.name.lower(), entry.type, entry.value) for entry in match.headers),
        frozenset((entry.name, entry.type, entry.value) for entry in match.query_params),
    )


# Asked for every match of the world at every review, and most paths are those of the last time.
@lru_cache(maxsize=65536)
def _path(kind: str, value: str) -> Hashable:
    if kind == "RegularExpression":
        return (kind, value)
    try:
        form = paths.match_path(value.encode())
    except paths.AmbiguousPath:
        return (kind, value)  # the compiler leaves such a match out
    return (kind, form.rstrip(b"/") if kind == "PathPrefix" else form)
