"""The documents in ConfigMaps: immutable shards named after their content, and one small index each.

A ConfigMap holds at most 1 MiB. A document is therefore cut into *shards*; its *index* names them with their hashes, in
order, and is written last, so that a reader finds whole shards or rejects the index. The revision of a document is the hash
of its index and so covers all its shards; it is known without reading unchanged shards.

    inferway-config      index of the config: its hash is the revision in statuses
    inferway-endpoints   index of the endpoints, which change with every pod; written before the config that needs them
    inferway-<10 hex>    one shard, immutable

Runs of routes are cut by the hashes of their ids (content-defined chunking, as in rsync and LBFS): adding, changing or
removing a route changes its own shard only.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final, Generic, Literal, TypeVar

from pydantic import ValidationError

from inferway_contract.canonical import REVISION_DIGITS, canonical, digest, revision
from inferway_contract.document import ConfigDocument, DocumentModel, Endpoint, EndpointsDocument, Policy, Route

MAX_SHARD_BYTES: Final = 768 << 10
"""Largest JSON of a shard: fits with its metadata into a ConfigMap of 1 MiB."""

INDEX_KEY: Final = "index"
"""Key of the JSON in an index ConfigMap's data."""
HISTORY_KEY: Final = "history"
"""Key for the operator alone: older indexes (by revision) that pods may still serve."""
SHARD_KEY: Final = "shard"
"""Key of the JSON in a shard ConfigMap's data."""

_CUT: Final = 64  # a run ends after one id of this number on average


class TooLarge(ValueError):  # noqa: N818 - it names what the part is
    """One part of a document does not fit into a shard. The message names it."""


class ShardRef(DocumentModel):
    """Reference from an index to a shard."""

    name: str
    """Name of the ConfigMap."""
    digest: str
    """SHA-256 of the shard's bytes in hex, checked by readers."""


class ConfigIndex(DocumentModel):
    """Index of the config."""

    format: Literal[1] = 1
    address_policy: Literal["Cluster", "Standalone"] = "Cluster"
    shards: tuple[ShardRef, ...] = ()


class EndpointsIndex(DocumentModel):
    """Index of the endpoints. `replicas`: live data-plane pods."""

    format: Literal[1] = 1
    replicas: int = 1
    shards: tuple[ShardRef, ...] = ()


class ConfigShard(DocumentModel):
    """A run of routes, or of policies."""

    format: Literal[1] = 1
    routes: tuple[Route, ...] = ()
    policies: tuple[Policy, ...] = ()


class EndpointsShard(DocumentModel):
    """Some Services."""

    format: Literal[1] = 1
    services: dict[str, tuple[Endpoint, ...]]


Index = TypeVar("Index", ConfigIndex, EndpointsIndex)
Shard = TypeVar("Shard", ConfigShard, EndpointsShard)
Part = TypeVar("Part", bound=DocumentModel)


@dataclass(frozen=True, slots=True)
class Layout(Generic[Index]):
    """A document as ConfigMaps."""

    index: Index
    shards: Mapping[str, bytes]
    """By name, which is unique to the content."""
    fragments: Mapping[str, str]
    """Hash of each object's part by `GatewayRoute/namespace/name`, `RateLimitPolicy/...`; of endpoints by Service."""

    @property
    def revision(self) -> str:
        """Revision of the document."""
        return revision(self.index)


def index_name(gateway: str, part: Literal["config", "endpoints"]) -> str:
    """Return the name of an index ConfigMap."""
    return f"{gateway}-{part}"


def lay_out_config(config: ConfigDocument, gateway: str = "inferway") -> Layout[ConfigIndex]:
    """Cut a config into shards; raise `TooLarge` for a route or policy that exceeds `MAX_SHARD_BYTES`."""
    routes = [(f"GatewayRoute/{route.id}", canonical(route)) for route in config.routes]
    policies = [(f"RateLimitPolicy/{policy.id}", canonical(policy)) for policy in config.policies]
    contents = [*_lists("routes", routes), *_lists("policies", policies)]
    refs, shards = _name(contents, gateway)
    index = ConfigIndex(address_policy=config.address_policy, shards=refs)
    return Layout(index, shards, {key: digest(text) for key, text in (*routes, *policies)})


def lay_out_endpoints(endpoints: EndpointsDocument, gateway: str = "inferway") -> Layout[EndpointsIndex]:
    """Cut endpoints into shards, Services sorted by key; raise `TooLarge` like `lay_out_config`."""
    parts = []
    for key, addresses in sorted(endpoints.services.items()):
        shard = canonical(EndpointsShard(services={key: addresses}))
        parts.append((key, shard[len(b'{"services":{') : -len(b"}}")]))
    contents = [b'{"services":{' + b",".join(run) + b"}}" for run in _runs(parts)]
    refs, shards = _name(contents, gateway)
    return Layout(
        EndpointsIndex(replicas=endpoints.replicas, shards=refs), shards, {key: digest(text) for key, text in parts}
    )


def read_shard(model: type[Shard], ref: ShardRef, content: bytes) -> Shard:
    """Parse a shard; raise `ValueError` for bytes that are not those published, or not a shard."""
    if digest(content) != ref.digest:
        raise ValueError(
            f"shard {ref.name} does not have the hash that its index names: it is truncated or was changed"
        )
    return _parse(model, content, f"shard {ref.name}")


def read_index(model: type[Index], content: str) -> Index:
    """Parse an index ConfigMap's JSON; raise `ValueError` for invalid JSON or an unknown format."""
    return _parse(model, content, "the index")


def config_of(index: ConfigIndex, shard: Callable[[ShardRef], ConfigShard]) -> ConfigDocument:
    """Assemble the document of an index. `shard` returns the parsed shard of a reference; its errors pass through."""
    parts = [shard(ref) for ref in index.shards]
    return ConfigDocument(
        address_policy=index.address_policy,
        routes=tuple(route for part in parts for route in part.routes),
        policies=tuple(policy for part in parts for policy in part.policies),
    )


def endpoints_of(index: EndpointsIndex, shard: Callable[[ShardRef], EndpointsShard]) -> EndpointsDocument:
    """Assemble the endpoints of an index, like `config_of`."""
    services: dict[str, tuple[Endpoint, ...]] = {}
    for ref in index.shards:
        services.update(shard(ref).services)
    return EndpointsDocument(replicas=index.replicas, services=services)


def _lists(field: str, parts: list[tuple[str, bytes]]) -> Iterator[bytes]:
    for run in _runs(parts):
        yield f'{{"{field}":['.encode() + b",".join(run) + b"]}"


def _runs(parts: Iterable[tuple[str, bytes]]) -> Iterator[list[bytes]]:
    """Yield runs of the parts' bytes. A run ends after certain ids, and before it would become too large."""
    run: list[bytes] = []
    size = 0
    for key, text in parts:
        if len(text) > MAX_SHARD_BYTES - 100:
            raise TooLarge(f"{key} takes {len(text)} bytes in the document, and may take {MAX_SHARD_BYTES - 100}")
        if size + len(text) + 1 > MAX_SHARD_BYTES - 100:
            yield run
            run, size = [], 0
        run.append(text)
        size += len(text) + 1
        if int(digest(key.encode())[:8], 16) % _CUT == 0:
            yield run
            run, size = [], 0
    if run:
        yield run


def _name(contents: Iterable[bytes], gateway: str) -> tuple[tuple[ShardRef, ...], dict[str, bytes]]:
    shards = {f"{gateway}-{digest(content)[:REVISION_DIGITS]}": content for content in contents}
    return tuple(ShardRef(name=name, digest=digest(content)) for name, content in shards.items()), shards


def _parse(model: type[Part], content: str | bytes, subject: str) -> Part:
    try:
        return model.model_validate_json(content)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(map(str, first["loc"]))
        reason = f"{place}: {first['msg']}" if place else first["msg"]
        raise ValueError(f"{subject} cannot be read: {reason}") from None
