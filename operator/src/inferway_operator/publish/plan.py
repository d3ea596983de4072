"""Publishing: which writes make the cluster hold what was compiled, in which order. Pure."""

from collections.abc import Iterator, Mapping, Set
from dataclasses import dataclass, replace
from typing import Final

from pydantic import TypeAdapter

from inferway_contract.canonical import canonical
from inferway_contract.document import Endpoint, EndpointsDocument
from inferway_contract.sharding import (
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
from inferway_operator.publish.published_state import ParsedConfig, Published, unneeded

MAX_HISTORY: Final = 10
"""Configs before the newest one that are remembered. A pod that is further behind counts as one that carries nothing."""
MIN_AGE: Final = 60.0
"""Seconds that a shard stays after nobody needed it any more: a pod may just be reading the index before."""

_HISTORY: TypeAdapter[tuple[tuple[str, str], ...]] = TypeAdapter(tuple[tuple[str, str], ...])


@dataclass(frozen=True, slots=True)
class CreateShard:
    """Create an immutable ConfigMap."""

    name: str
    content: bytes

    @property
    def data(self) -> dict[str, str]:
        """Of the ConfigMap."""
        return {SHARD_KEY: self.content.decode()}

    def after(self, published: Published) -> Published:
        """What is published once this is written."""
        return replace(published, shards=published.shards | {self.name})


@dataclass(frozen=True, slots=True)
class ApplyEndpoints:
    """Make the endpoints' index say this."""

    name: str
    index: str
    addresses: Mapping[str, tuple[Endpoint, ...]]

    @property
    def data(self) -> dict[str, str]:
        """Of the ConfigMap."""
        return {INDEX_KEY: self.index}

    def after(self, published: Published) -> Published:
        """What is published once this is written."""
        return replace(published, endpoints=self.index, addresses=self.addresses)


@dataclass(frozen=True, slots=True)
class ApplyConfig:
    """Make the config's index say this."""

    name: str
    index: str
    history: tuple[tuple[str, str], ...]

    @property
    def data(self) -> dict[str, str]:
        """Of the ConfigMap."""
        return {INDEX_KEY: self.index, HISTORY_KEY: _HISTORY.dump_json(self.history).decode()}

    def after(self, published: Published) -> Published:
        """What is published once this is written."""
        return replace(published, config=self.index, history=self.history)


Write = CreateShard | ApplyEndpoints | ApplyConfig


def plan(
    wanted: size_limits.DesiredState,
    published: Published,
    configs: Mapping[str, ParsedConfig],
    reported: Set[str],
    gateway: str,
    live: Mapping[str, tuple[Endpoint, ...]] | None = None,
) -> tuple[Write, ...]:
    """The writes that are missing; none when nothing differs.

    `configs`: what is known of configs, by revision. `reported`: revisions of the configs that pods serve. `live`: addresses,
    as they are now, of Services that only older configs name. Shards come
    before the index that names them, and endpoints before the config that needs them, so that after every single write
    the cluster holds whole documents. Wherever the sequence is broken off, planning again leads to the same end.
    """
    older = named(published, configs, reported)
    kept = {key: published.addresses[key] for key in older if key in published.addresses}
    kept |= {key: found for key, found in (live or {}).items() if key in older}
    addresses = {**kept, **wanted.endpoints.services}
    endpoints = lay_out_endpoints(EndpointsDocument(replicas=wanted.endpoints.replicas, services=addresses), gateway)
    writes: list[Write] = [*_missing(endpoints, published)]
    index = canonical(endpoints.index).decode()
    if index != published.endpoints:
        writes.append(ApplyEndpoints(index_name(gateway, "endpoints"), index, addresses))
    writes += _missing(wanted.layout, published)
    if wanted.known.index != published.config:
        history = _bounded(wanted.known.index, _history(wanted.revision, published, reported))
        writes.append(ApplyConfig(index_name(gateway, "config"), wanted.known.index, history))
    return tuple(writes)


def named(published: Published, configs: Mapping[str, ParsedConfig], reported: Set[str]) -> frozenset[str]:
    """Keys of the Services that a config names that a pod may serve: the published one, and those that are reported."""
    served = reported | {published.revision}
    return frozenset(key for revision in served if revision in configs for key in configs[revision].services)


def _missing(layout: Layout[ConfigIndex] | Layout[EndpointsIndex], published: Published) -> Iterator[CreateShard]:
    return (CreateShard(name, content) for name, content in layout.shards.items() if name not in published.shards)


def _history(revision: str, published: Published, reported: Set[str]) -> tuple[tuple[str, str], ...]:
    """Older configs that a pod may serve: the one until now, and those that pods report."""
    before = ((published.revision, published.config), *published.history) if published.config else published.history
    kept = {old: index for old, index in before if old != revision and (old == published.revision or old in reported)}
    return tuple(kept.items())[:MAX_HISTORY]


def _bounded(index: str, history: tuple[tuple[str, str], ...]) -> tuple[tuple[str, str], ...]:
    """As much of it, the newest first, as has room in a ConfigMap beside the index."""
    room = size_limits.MAX_INDEX_BYTES - len(index.encode())
    while history and len(_HISTORY.dump_json(history)) > room:
        history = history[:-1]
    return history


def garbage(
    published: Published,
    configs: Mapping[str, ParsedConfig],
    reported: Set[str],
    unneeded_since: Mapping[str, float],
    now: float,
) -> tuple[tuple[str, ...], dict[str, float]]:
    """Shards to delete, and since when each of the others that nobody needs is not needed (seconds, as `now`).

    What is reported and not known any more keeps nothing: nobody could tell what it consisted of.
    """
    since = {name: unneeded_since.get(name, now) for name in sorted(unneeded(published, configs, reported))}
    due = tuple(name for name, start in since.items() if now - start >= MIN_AGE)
    return due, {name: start for name, start in since.items() if name not in due}
