"""The snapshot of the object cache that the compiler gets: a `World`."""

from collections.abc import Mapping
from typing import Any

from inferway_contract.document import Policy
from inferway_operator.watch import kinds
from inferway_operator.watch.object_cache import ObjectCache
from inferway_operator.world import world


def world_of(
    observed: ObjectCache, settings: world.Settings, last_published: Mapping[str, Policy], replicas: int
) -> world.World:
    """A snapshot. `last_published`: policies as the published config has them, by id; `replicas`: live pods."""

    def values(kind: kinds.WatchedKind) -> tuple[Any, ...]:
        # None is what cannot be read of Kubernetes' own kinds.
        return tuple(entry.value for entry in observed.entries(kind) if entry.value is not None)

    return world.World(
        settings=settings,
        routes=values(kinds.ROUTES),
        policies=values(kinds.POLICIES),
        services=values(kinds.SERVICES),
        slices=values(kinds.SLICES),
        grants=tuple(grant for entry in observed.entries(kinds.GRANTS) for grant in entry.value),
        namespaces=values(kinds.NAMESPACES),
        last_published=last_published,
        replicas=replicas,
    )


def named_services(snapshot: world.World) -> frozenset[str]:
    """Ids of the Services that its routes name, those that do not exist among them."""
    return frozenset(
        f"{ref.namespace or route.meta.namespace}/{ref.name}"
        for route in snapshot.routes
        for rule in route.rules
        if rule.rule is not None
        for ref in rule.rule.backend_refs
        if ref.name is not None
    )
