"""Plans the writes that publish a compiled document, in their order. Pure."""

from collections.abc import Iterator, Mapping, Set
from dataclasses import dataclass, field, replace
from typing import Any, Final, Literal

from inferway_contract.canonical import canonical
from inferway_contract.document import Endpoint, EndpointsDocument
from inferway_contract.sharding import (
    HISTORY,
    HISTORY_KEY,
    INDEX_KEY,
    SHARD_KEY,
    ConfigIndex,
    EndpointsIndex,
    Layout,
    index_name,
    lay_out_endpoints,
)
from inferway_operator.publish import size_limits
from inferway_operator.publish.published_state import ParsedConfig, Published, older_formats, served, unneeded

MAX_HISTORY: Final = 10
"""Older configs that are kept in the index. A pod that is further behind counts as one without a config."""
MIN_AGE: Final = 60.0
"""Seconds that an unneeded shard is kept: a pod may be reading the previous index."""


@dataclass(frozen=True, slots=True)
class Write:
    """One ConfigMap: a new shard, which is immutable, or an index that replaces the one before."""

    part: Literal["shard", "endpoints", "config"]
    name: str
    data: Mapping[str, str]
    changes: Mapping[str, Any] = field(default_factory=dict)
    """Fields of `Published` that an index sets."""
    causes: frozenset[str] = frozenset()
    """Namespaces whose endpoints have changed, where this is the reason for the write."""

    def after(self, published: Published) -> Published:
        """Return the published state after this write."""
        changes = {"shards": published.shards | {self.name}} if self.part == "shard" else self.changes
        return replace(published, spoiled=published.spoiled - {self.name}, **changes)


def plan(
    desired: size_limits.DesiredState,
    published: Published,
    configs: Mapping[str, ParsedConfig],
    reported: Set[str],
    gateway: str,
    live: Mapping[str, tuple[Endpoint, ...]] | None = None,
    held: Set[str] = frozenset(),
) -> tuple[Write, ...]:
    """Plan the writes from the published to the desired state; none if nothing differs.

    `configs`: parsed configs by revision. `reported`: revisions of the configs that pods serve. `live`: current endpoints of
    Services that only older configs name. `held`: namespaces whose Services keep their published endpoints. Shards come before the index that names them, and endpoints before the config
    that needs them. So the cluster holds whole documents after every write, and planning again reaches the same end.
    """
    older = needed_services(published, configs, reported)
    kept = {key: published.addresses[key] for key in older if key in published.addresses}
    kept |= {key: endpoints for key, endpoints in (live or {}).items() if key in older}
    addresses = {**kept, **desired.endpoints.services}
    addresses |= {
        key: published.addresses[key]
        for key in addresses.keys() & published.addresses.keys()
        if key.partition("/")[0] in held
    }
    document = EndpointsDocument(replicas=desired.endpoints.replicas, services=addresses)
    layout = lay_out_endpoints(document, gateway, version=desired.version)
    causes = _causes(layout, published, addresses)
    writes = [replace(write, causes=frozenset(causes.get(write.name, ()))) for write in _missing(layout, published)]
    index = canonical(layout.index).decode()
    name = index_name(gateway, "endpoints")
    if index != published.endpoints or name in published.spoiled:
        changes: dict[str, Any] = {"endpoints": index, "addresses": addresses}
        writes.append(Write("endpoints", name, {INDEX_KEY: index}, changes, frozenset().union(*causes.values())))
    writes += _missing(desired.layout, published)
    name = index_name(gateway, "config")
    if desired.parsed.index != published.config or name in published.spoiled:
        index = desired.parsed.index
        history = _history(desired, published, configs, reported)
        data = {INDEX_KEY: index, HISTORY_KEY: HISTORY.dump_json(history).decode()}
        writes.append(Write("config", name, data, {"config": index, "history": history}))
    return tuple(writes)


def needed_services(published: Published, configs: Mapping[str, ParsedConfig], reported: Set[str]) -> frozenset[str]:
    """Return keys of the Services in configs that pods may serve."""
    revisions = served(published, configs, reported)
    return frozenset(key for revision in revisions if revision in configs for key in configs[revision].services)


def _causes(
    layout: Layout[EndpointsIndex], published: Published, addresses: Mapping[str, tuple[Endpoint, ...]]
) -> Mapping[str, set[str]]:
    """Return the namespaces of Services that were published with other endpoints, by shard.

    A Service that comes or goes does so for a route, which may be of another namespace.
    """
    causes: dict[str, set[str]] = {}
    for key in addresses.keys() & published.addresses.keys():
        if addresses[key] != published.addresses[key]:
            causes.setdefault(layout.homes[key], set()).add(key.partition("/")[0])
    return causes


def _missing(layout: Layout[ConfigIndex] | Layout[EndpointsIndex], published: Published) -> Iterator[Write]:
    for name, content in layout.shards.items():
        if name not in published.shards or name in published.spoiled:
            yield Write("shard", name, {SHARD_KEY: content.decode()})


def _history(
    desired: size_limits.DesiredState,
    published: Published,
    configs: Mapping[str, ParsedConfig],
    reported: Set[str],
) -> tuple[tuple[str, str], ...]:
    """Return older configs, the newest first: the previous one, reported ones, the newest one of each older format.

    Bounded in number, and by the room that the index leaves in a ConfigMap; those of older formats go last.
    """
    before = ((published.revision, published.config), *published.history) if published.config else published.history
    older = dict(item for item in before if item[0] != desired.layout.revision)
    of_formats = older_formats(configs, older, desired.version)
    kept = [item for item in older.items() if item[0] == published.revision or item[0] in reported | of_formats]
    room = size_limits.MAX_INDEX_BYTES - len(desired.parsed.index.encode())
    while kept and (len(kept) > MAX_HISTORY or len(HISTORY.dump_json(tuple(kept))) > room):
        kept.remove(next((item for item in reversed(kept) if item[0] not in of_formats), kept[-1]))
    return tuple(kept)


def garbage(
    published: Published,
    configs: Mapping[str, ParsedConfig],
    reported: Set[str],
    unneeded_since: Mapping[str, float],
    now: float,
) -> tuple[tuple[str, ...], dict[str, float]]:
    """Return shards to delete, and since when other shards are unneeded (seconds, as `now`).

    A reported revision with an unknown config keeps no shards.
    """
    since = {name: unneeded_since.get(name, now) for name in sorted(unneeded(published, configs, reported))}
    due = tuple(name for name, start in since.items() if now - start >= MIN_AGE)
    return due, {name: start for name, start in since.items() if name not in due}
