"""The routes that may overlap with one that is not stored yet, reduced to the rules that may. Broader than the compiler's answer."""

from collections.abc import Iterable
from dataclasses import replace
from functools import lru_cache
from typing import Final

from inferway_contract import paths
from inferway_contract.document import PathMatch
from inferway_contract.resources import matches as written
from inferway_operator.compiler import claims, overlaps
from inferway_operator.compiler.claims import Segments
from inferway_operator.world.objects import RouteObject, RuleObject

_MOST: Final = 200
"""Routes that a review compiles, the oldest of them: a status names fewer."""


def find(candidate: RouteObject, routes: Iterable[RouteObject]) -> tuple[RouteObject, ...]:
    """Return routes with a hostname and a path that may meet the candidate's; none without one of another namespace."""
    region = _Region(candidate)
    others = [
        replace(route, rules=rules)
        for route in routes
        if route.meta.id != candidate.meta.id and region.has_host_of(route) and (rules := region.rules_of(route))
    ]
    if all(route.meta.namespace == candidate.meta.namespace for route in others):
        return ()
    # Those of its own namespace decide which matches of others get requests at all.
    return tuple(sorted(others, key=lambda route: route.meta.age)[:_MOST])


def merged(*parts: Iterable[RouteObject]) -> tuple[RouteObject, ...]:
    """Return each route once, with the rules that any part has of it."""
    routes: dict[str, RouteObject] = {}
    for route in (route for part in parts for route in part):
        before = routes.get(route.meta.id)
        if before is not None:
            rules = {rule.index: rule for rule in (*before.rules, *route.rules)}
            route = replace(route, rules=tuple(rules[index] for index in sorted(rules)))
        routes[route.meta.id] = route
    return tuple(routes.values())


class _Region:
    """The hosts and paths of a route."""

    def __init__(self, route: RouteObject) -> None:
        self._hostnames = frozenset(route.hostnames or ("",))
        self._wildcards = frozenset(name for hostname in self._hostnames for name in overlaps.wildcards_of(hostname))
        self._has_wildcard = any(hostname.startswith("*.") for hostname in self._hostnames)
        self._paths = {path for rule in route.rules for path in _paths(rule)}
        self._above = {path[:length] for path in self._paths for length in range(len(path))}

    def has_host_of(self, route: RouteObject) -> bool:
        """Return whether a hostname is the same, or one is below the other."""
        for hostname in route.hostnames or ("",):
            if hostname in self._hostnames or hostname in self._wildcards:
                return True
            if self._has_wildcard and not self._hostnames.isdisjoint(overlaps.wildcards_of(hostname)):
                return True
        return False

    def rules_of(self, route: RouteObject) -> tuple[RuleObject, ...]:
        """Return the rules with a path that is one of the region, above or below one."""
        return tuple(rule for rule in route.rules if any(map(self._has, _paths(rule))))

    def _has(self, path: Segments) -> bool:
        return path in self._above or any(path[:length] in self._paths for length in range(len(path) + 1))


def _paths(rule: RuleObject) -> list[Segments]:
    """Return where its paths are found; () is the root, also for what is not wholly readable."""
    return [
        _segments(match.path.type, match.path.value) if isinstance(match, written.Match) else ()
        for _, match in rule.matches
    ]


# Called for every match of the world at every review, with mostly the same paths.
@lru_cache(maxsize=65536)
def _segments(kind: written.PathType, value: str) -> Segments:
    if kind == "RegularExpression":
        return claims.segments(PathMatch(type=kind, value=value))
    try:
        form = paths.match_path(value.encode()).decode()
    except (paths.AmbiguousPath, UnicodeDecodeError):
        return ()
    return claims.segments(PathMatch(type=kind, value=form.rstrip("/") or "/" if kind == "PathPrefix" else form))
