"""Refusals: how routes over a bound refuse their requests. What they take of the document is bounded too.

A refused route has few and short matches. Where the refusals of a namespace take more than their bound, one match stands for
all further routes, under each of their hostnames. The bound of all namespaces is shared fairly.
"""

from collections.abc import Iterable, Mapping
from os.path import commonprefix
from typing import Final

from inferway_contract import document, protection
from inferway_contract.fairness import fair_level
from inferway_contract.resources import matches as written
from inferway_operator.compiler import matches
from inferway_operator.compiler.draft import Draft, RouteDraft
from inferway_operator.world.objects import PartialMatch, RouteObject

_MOST_MATCHES: Final = 16
_MOST_CHARACTERS: Final = 1024
"""Of the paths and conditions of a refused route."""
_LONGEST_PATH: Final = 256
_OF_ROUTE: Final = 1024
"""Bytes of a refused route without hostnames and matches, at most: its name and the reason."""
_OF_MATCH: Final = 160
"""Bytes of a match without its texts, at most."""


def add(draft: Draft) -> None:
    """Give the routes over a bound the matches that refuse."""
    owners = _owners(draft.routes)
    refused: dict[str, list[RouteDraft]] = {}
    for route in draft.routes:
        if route.excess is not None and route.source.rules and not route.is_barred:
            refused.setdefault(route.source.meta.namespace, []).append(route)
            route.refusing = of_route(route.source, is_shared=_is_shared(route, owners))
    bounds = draft.world.settings.bounds
    costs = {
        namespace: min(sum(map(_cost, routes)), bounds.namespace_refusals) for namespace, routes in refused.items()
    }
    room = min(bounds.namespace_refusals, fair_level(costs.values(), bounds.total_refusals))
    for routes in refused.values():
        if sum(map(_cost, routes)) > room:
            _merge(routes, room, owners)


def of_route(route: RouteObject, *, is_shared: bool) -> tuple[document.Match, ...]:
    """Return few and short matches that have everything that the route's matches have.

    A route with many or long ones refuses everything below the path that all of them begin with. `is_shared`: another
    namespace has a route under one of its hostnames; a match without its conditions does not come before that one's then.
    """
    sources = [source for rule in route.rules for _, source in rule.matches]
    if len(sources) <= _MOST_MATCHES:
        short = dict.fromkeys(_short(match, is_shared) for rule in route.rules for match in matches.unread(rule))
        if sum(map(_characters, short)) <= _MOST_CHARACTERS:
            return tuple(short)
        bare = dict.fromkeys(_without_conditions(match, is_shared) for match in short)
        if sum(map(_characters, bare)) <= _MOST_CHARACTERS:
            return tuple(bare)
    return (_below(commonprefix([_literal(source) for source in sources]), is_shared),)  # noqa: RUF071 - of characters


def _merge(routes: Iterable[RouteDraft], room: int, owners: Mapping[str, set[str]]) -> None:
    """Keep the oldest refusals up to half of the room; for the others one match under each of their hostnames."""
    used = 0
    others: list[RouteDraft] = []
    for route in routes:
        cost = _cost(route)
        if used + cost <= room // 2:
            used += cost
        else:
            others.append(route)
    literals = [_literal(source) for route in others for rule in route.source.rules for _, source in rule.matches]
    is_shared = any(_is_shared(route, owners) for route in others)
    match = _below(commonprefix(literals), is_shared)  # noqa: RUF071 - of characters
    covered: set[str] = set()
    for route in others:
        new = tuple(name for name in dict.fromkeys(route.hostnames or ("",)) if name not in covered)
        cost = _cost_of(new, (match,))
        if not new or used + cost > room:
            route.refusing = ()
            continue
        used += cost
        covered.update(new)
        route.refusing = (match,)
        if route.hostnames:
            route.hostnames = new


def _owners(routes: Iterable[RouteDraft]) -> Mapping[str, set[str]]:
    """Return the namespaces of the routes under each hostname."""
    owners: dict[str, set[str]] = {}
    for route in routes:
        if not route.is_barred:
            for name in route.hostnames or ("",):
                owners.setdefault(name, set()).add(route.source.meta.namespace)
    return owners


def _is_shared(route: RouteDraft, owners: Mapping[str, set[str]]) -> bool:
    return any(len(owners[name]) > 1 for name in route.hostnames or ("",))


def _cost(route: RouteDraft) -> int:
    return _cost_of(route.hostnames, route.refusing)


def _cost_of(hostnames: Iterable[str], refusing: Iterable[document.Match]) -> int:
    """Return the bytes that a refused route takes, at most."""
    texts = sum(len(name) + 3 for name in hostnames)
    return _OF_ROUTE + texts + sum(_OF_MATCH + 6 * _characters(match) for match in refusing)


def _characters(match: document.Match) -> int:
    conditions = (*match.headers, *match.query)
    return len(match.path.value) + sum(len(entry.name) + len(entry.value) + 20 for entry in conditions)


def _short(match: document.Match, is_shared: bool) -> document.Match:
    place = match.precedence or protection.precedence_of(match)
    if len(match.path.value) > _LONGEST_PATH and match.path.type != "RegularExpression":
        path = protection.beginning_of_path(match.path.value)
        match = match.model_copy(update={"path": path, "precedence": place})
    if (len(match.headers), len(match.query)) != (place.headers, place.query):
        return _placed(match, place, is_shared)
    return match


def _without_conditions(match: document.Match, is_shared: bool) -> document.Match:
    if not (match.headers or match.query):
        return match
    place = match.precedence or protection.precedence_of(match)
    return _placed(match.model_copy(update={"headers": (), "query": ()}), place, is_shared)


def _placed(match: document.Match, place: document.Precedence, is_shared: bool) -> document.Match:
    """Put a match that has lost conditions into its place: by the ones that it still has if others share the hostname."""
    if is_shared:
        place = place.model_copy(update={"headers": len(match.headers), "query": len(match.query)})
    return match.model_copy(update={"precedence": place})


def _below(common: str, is_shared: bool) -> document.Match:
    """Return a match of everything below a path. Where others share the hostname it comes after what is more specific."""
    path = protection.beginning_of_path(common)
    if not is_shared:
        return document.Match(path=path)
    literal = protection.literal_of(path.value) or b""
    place = document.Precedence(path_type="PathPrefix", path_length=len(literal))
    return document.Match(path=path, precedence=place)


def _literal(match: written.Match | PartialMatch) -> str:
    """Return a text that every path begins with which the match has."""
    if match.path is None:
        return ""
    if match.path.type != "RegularExpression":
        return match.path.value
    literal, has_case = protection.literal_beginning(match.path.value)
    return literal if has_case else ""
