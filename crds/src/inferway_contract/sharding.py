"""How both documents lie in ConfigMaps: immutable shards named after their content, and one small index each.

A ConfigMap holds at most 1 MiB. A document is therefore cut into *shards*; its *index* names them with their hashes, in
order, and is written last: whoever reads an index finds whole shards or refuses. The revision of a document is the hash of
its index, so it is a hash of everything below it, and unchanged shards need not be read to know it.

    inferway-config      index of the config: its hash is the revision that status speaks of
    inferway-endpoints   index of the endpoints, which change with every pod; written before the config that needs them
    inferway-<10 hex>    one shard, immutable

Runs of routes are cut where the hash of a route's id says so (content-defined chunking, as rsync and LBFS do it): a route
that is added, changed or removed touches the shard that it is in, and no other.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final, Generic, Literal, TypeVar

from pydantic import ValidationError

from inferway_contract.canonical import REVISION_DIGITS, canonical, digest, revision
from inferway_contract.document import ConfigDocument, DocumentModel, Endpoint, EndpointsDocument, Policy, Route

MAX_SHARD_BYTES: Final = 768 << 10
"""Of one shard's JSON: a ConfigMap of 1 MiB has room for it, and for what is around it."""

INDEX_KEY: Final = "index"
"""Where the JSON is in an index ConfigMap's data."""
HISTORY_KEY: Final = "history"
"""Beside it, for the operator alone: older indexes (by revision) that some pod may still serve."""
SHARD_KEY: Final = "shard"
"""Where the JSON is in a shard ConfigMap's data."""

_CUT: Final = 64
"""A run ends after one id in so many."""


class TooLarge(ValueError):  # noqa: N818 - it names what the part is
    """One part of a document alone has no place in a shard. The message names it."""


class ShardRef(DocumentModel):
    """A shard as an index names it."""

    name: str
    """Of the ConfigMap."""
    digest: str
    """SHA-256 of the shard's bytes, in hex: what is read must have it."""


class ConfigIndex(DocumentModel):
    """What the config consists of."""

    format: Literal[1] = 1
    address_policy: Literal["Cluster", "Standalone"] = "Cluster"
    shards: tuple[ShardRef, ...] = ()


class EndpointsIndex(DocumentModel):
    """What the endpoints consist of. `replicas`: live data-plane pods."""

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


@dataclass(frozen=True, slots=True)
class Layout(Generic[Index]):
    """A document, ready to be written."""

    index: Index
    shards: Mapping[str, bytes]
    """By name. What has the same name has the same content."""
    fragments: Mapping[str, str]
    """The hash of every object's own part: by `GatewayRoute/namespace/name`, `RateLimitPolicy/...`; of endpoints, by Service."""

    @property
    def revision(self) -> str:
        """The short name of the document."""
        return revision(self.index)


def index_name(gateway: str, part: Literal["config", "endpoints"]) -> str:
    """Name of an index ConfigMap."""
    return f"{gateway}-{part}"


def shard_name(gateway: str, content: bytes) -> str:
    """Name of a shard's ConfigMap."""
    return f"{gateway}-{digest(content)[:REVISION_DIGITS]}"


def lay_out_config(config: ConfigDocument, gateway: str = "inferway") -> Layout[ConfigIndex]:
    """Cut a config into shards. `TooLarge` where a single route or policy exceeds `MAX_SHARD_BYTES`."""
    routes = [(f"GatewayRoute/{route.id}", canonical(route)) for route in config.routes]
    policies = [(f"RateLimitPolicy/{policy.id}", canonical(policy)) for policy in config.policies]
    contents = [*_lists("routes", routes), *_lists("policies", policies)]
    refs, shards = _name(contents, gateway)
    index = ConfigIndex(address_policy=config.address_policy, shards=refs)
    return Layout(index, shards, {key: digest(text) for key, text in (*routes, *policies)})


def lay_out_endpoints(endpoints: EndpointsDocument, gateway: str = "inferway") -> Layout[EndpointsIndex]:
    """Cut endpoints into shards, Services in the order of their keys. `TooLarge` as with a config."""
    parts = []
    for key, found in sorted(endpoints.services.items()):
        alone = canonical(EndpointsShard(services={key: found}))
        parts.append((key, alone[len(b'{"services":{') : -len(b"}}")]))
    contents = [b'{"services":{' + b",".join(run) + b"}}" for run in _runs(parts)]
    refs, shards = _name(contents, gateway)
    return Layout(
        EndpointsIndex(replicas=endpoints.replicas, shards=refs), shards, {key: digest(text) for key, text in parts}
    )


def read_shard(model: type[Shard], ref: ShardRef, content: bytes) -> Shard:
    """The shard that an index names. `ValueError` where the bytes are not those that were published, or no shard."""
    if digest(content) != ref.digest:
        raise ValueError(
            f"shard {ref.name} does not have the hash that its index names: it is truncated or was changed"
        )
    try:
        return model.model_validate_json(content)
    except ValidationError as error:
        raise ValueError(f"shard {ref.name} cannot be read: {_first(error)}") from None


def read_index(model: type[Index], content: str) -> Index:
    """An index ConfigMap's JSON. `ValueError` where it is none, or of a format that this version does not know."""
    try:
        return model.model_validate_json(content)
    except ValidationError as error:
        raise ValueError(f"the index cannot be read: {_first(error)}") from None


def config_of(index: ConfigIndex, shard: Callable[[ShardRef], ConfigShard]) -> ConfigDocument:
    """The document of an index. `shard` gives the parsed shard of a reference; what it raises passes."""
    parts = [shard(ref) for ref in index.shards]
    return ConfigDocument(
        address_policy=index.address_policy,
        routes=tuple(route for part in parts for route in part.routes),
        policies=tuple(policy for part in parts for policy in part.policies),
    )


def endpoints_of(index: EndpointsIndex, shard: Callable[[ShardRef], EndpointsShard]) -> EndpointsDocument:
    """As `config_of`."""
    services: dict[str, tuple[Endpoint, ...]] = {}
    for ref in index.shards:
        services.update(shard(ref).services)
    return EndpointsDocument(replicas=index.replicas, services=services)


def _lists(field: str, parts: list[tuple[str, bytes]]) -> Iterator[bytes]:
    for run in _runs(parts):
        yield f'{{"{field}":['.encode() + b",".join(run) + b"]}"


def _runs(parts: Iterable[tuple[str, bytes]]) -> Iterator[list[bytes]]:
    """Runs of the parts' bytes. One ends where an id says so, and before it would become too large."""
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
    shards = {shard_name(gateway, content): content for content in contents}
    return tuple(ShardRef(name=name, digest=digest(content)) for name, content in shards.items()), shards


def _first(error: ValidationError) -> str:
    found = error.errors(include_url=False, include_input=False)[0]
    place = ".".join(str(part) for part in found["loc"])
    return f"{place}: {found['msg']}" if place else str(found["msg"])
