"""Assembling: the world of what is observed."""

from collections.abc import Mapping
from typing import Any

from inferway_contract.document import Policy
from inferway_operator import entries, world
from inferway_operator.observed import Observed


def world_of(
    observed: Observed, settings: world.Settings, last_published: Mapping[str, Policy], replicas: int
) -> world.World:
    """A snapshot. `last_published`: policies as the published config has them, by id; `replicas`: live pods."""

    def values(kind: entries.Kind) -> tuple[Any, ...]:
        # None is what cannot be read of Kubernetes' own kinds.
        return tuple(entry.value for entry in observed.entries(kind) if entry.value is not None)

    return world.World(
        settings=settings,
        routes=values(entries.ROUTES),
        policies=values(entries.POLICIES),
        services=values(entries.SERVICES),
        slices=values(entries.SLICES),
        grants=tuple(grant for entry in observed.entries(entries.GRANTS) for grant in entry.value),
        namespaces=values(entries.NAMESPACES),
        last_published=last_published,
        replicas=replicas,
    )
