"""The memo: of routes that did not change, the results that follow from the route and the Services that it names.

A route is known by its identity in the world: one that has changed is another object there. With other settings, or another
address of the API server, nothing is known.
"""

from inferway_operator.compiler.draft import Draft, KnownRoute, RouteDraft


def recall(draft: Draft) -> None:
    """Complete the routes that are known, as the passes up to `note` would."""
    memo = draft.memo
    basis = (draft.world.settings, draft.services.api_server)
    if memo.basis != basis or draft.world.settings.standalone:  # a hint depends on the names of all Services there
        memo.basis, memo.routes = basis, {}
    for route in draft.routes:
        known = memo.routes.get(route.source.meta.id)
        if known is None or known.source is not route.source or route.excess is not None:
            continue
        namespace = route.source.meta.namespace
        if any(draft.services.facts(namespace, service) != facts for service, facts in known.facts.items()):
            continue
        route.rules = [rule.copy() for rule in known.rules]
        route.unresolved, route.left_out = list(known.unresolved), list(known.left_out)
        route.known = known


def note(draft: Draft) -> None:
    """Keep what is known of the routes of this draft, and of no other ones."""
    if draft.world.settings.standalone:
        return
    for route in draft.new_routes():
        if route.excess is None:
            route.known = _known(draft, route)
    draft.memo.routes = {route.source.meta.id: route.known for route in draft.routes if route.known is not None}


def _known(draft: Draft, route: RouteDraft) -> KnownRoute:
    namespace = route.source.meta.namespace
    return KnownRoute(
        source=route.source,
        facts={service: draft.services.facts(namespace, service) for service in route.source.named_services()},
        rules=tuple(rule.copy() for rule in route.rules),  # later passes add to them
        unresolved=tuple(route.unresolved),
        left_out=tuple(route.left_out),
    )
