"""The documents in ConfigMaps: immutable shards named after their content, and one small index each.

A ConfigMap holds at most 1 MiB. A document is therefore cut into *shards*; its *index* names them with their hashes, in
order, and is written last, so that a reader finds whole shards or rejects the index. The revision of a document is the hash
of its index and so covers all its shards; it is known without reading unchanged shards.

    inferway-config      index of the config: its hash is the revision in statuses
    inferway-endpoints   index of the endpoints, which change with every pod; written before the config that needs them
    inferway-<10 hex>    one shard, immutable

Objects are divided by a tree over the hashes of their namespaces and names: adding, changing or removing one changes its own
shard only. Readers sort them by age. In format 1 shards are runs in the order of age, cut by the hashes of ids.
"""

from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Any, Final, Generic, Literal, TypeVar

from pydantic import ConfigDict, TypeAdapter, ValidationError

from inferway_contract import format_1
from inferway_contract.canonical import REVISION_DIGITS, canonical, digest, revision
from inferway_contract.document import (
    FORMAT,
    ConfigDocument,
    DocumentModel,
    Endpoint,
    EndpointsDocument,
    Format,
    Policy,
    Route,
)

MAX_SHARD_BYTES: Final = 768 << 10
"""Largest JSON of a shard: fits with its metadata into a ConfigMap of 1 MiB."""

INDEX_KEY: Final = "index"
"""Key of the JSON in an index ConfigMap's data."""
HISTORY_KEY: Final = "history"
"""Key of older indexes, by revision: what pods may still serve. A starting pod that cannot read the index looks here."""
SHARD_KEY: Final = "shard"
"""Key of the JSON in a shard ConfigMap's data."""

_GROUP_BYTES: Final = 64 << 10
"""Parts that are larger together are divided: a change writes about this much, and the index grows with the rest."""
_MAX_PART: Final = MAX_SHARD_BYTES - 100
_PLACE_DIGITS: Final = 32
_CUT: Final = 64  # of format 1: a run ends after one id of this number on average
_ROUTE: Final = "GatewayRoute/"
_POLICY: Final = "RateLimitPolicy/"

_Part = tuple[str, bytes]
"""Key `Kind/namespace/name` of an object, or of a Service, and its JSON."""


HISTORY: Final[TypeAdapter[tuple[tuple[str, str], ...]]] = TypeAdapter(tuple[tuple[str, str], ...])
"""Revision and index of older configs, the newest first."""


class TooLarge(ValueError):  # noqa: N818 - it names what the part is
    """One part of a document does not fit into a shard. The message names it."""


class ShardRef(DocumentModel):
    """Reference from an index to a shard."""

    name: str
    """Name of the ConfigMap."""
    digest: str
    """SHA-256 of the shard's bytes in hex, checked by readers."""


class ConfigIndex(DocumentModel):
    """Index of the config. All its shards have its format."""

    format: Format = 1
    address_policy: Literal["Cluster", "Standalone"] = "Cluster"
    shards: tuple[ShardRef, ...] = ()


class EndpointsIndex(DocumentModel):
    """Index of the endpoints. `replicas`: live data-plane pods."""

    format: Format = 1
    replicas: int = 1
    shards: tuple[ShardRef, ...] = ()


class ConfigShard(DocumentModel):
    """Some routes and policies."""

    format: Format
    routes: tuple[Route, ...] = ()
    policies: tuple[Policy, ...] = ()


class ConfigShard1(ConfigShard):
    """The same in format 1."""

    format: Literal[1] = 1
    routes: tuple[format_1.Route, ...] = ()


class EndpointsShard(DocumentModel):
    """Some Services."""

    format: Format = 1
    services: dict[str, tuple[Endpoint, ...]]


class _Format(DocumentModel):
    """The format of a shard, whatever else it has."""

    model_config = ConfigDict(extra="ignore")

    format: int = 1


_OLDER: Final[Mapping[type[DocumentModel], type[Any]]] = {ConfigShard: ConfigShard1}
"""Models of format 1, where they differ."""

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
    homes: Mapping[str, str] = field(default_factory=dict)
    """Name of the shard that has the object, by the keys of `fragments`; empty for a config of format 1."""

    @property
    def revision(self) -> str:
        """Revision of the document."""
        return revision(self.index)


def index_name(gateway: str, part: Literal["config", "endpoints"]) -> str:
    """Return the name of an index ConfigMap."""
    return f"{gateway}-{part}"


def lay_out_config(
    config: ConfigDocument, gateway: str = "inferway", *, version: Format = FORMAT
) -> Layout[ConfigIndex]:
    """Cut a config into shards; raise `TooLarge` for a route or policy that exceeds `MAX_SHARD_BYTES`.

    Fragments do not depend on the format.
    """
    routes, policies = _parts(config, FORMAT)
    fragments = {key: digest(text) for key, text in (*routes, *policies)}
    homes: dict[str, str] = {}
    if version == 1:
        routes, policies = _parts(config, version)
        contents = [*_lists("routes", routes), *_lists("policies", policies)]
    else:
        groups = _groups([*routes, *policies])
        contents = [_config_shard(group) for group in groups]
        for group, content in zip(groups, contents, strict=True):
            homes.update(dict.fromkeys((key for key, _ in group), _shard_name(content, gateway)))
    refs, shards = _name(contents, gateway)
    index = ConfigIndex(format=version, address_policy=config.address_policy, shards=refs)
    return Layout(index, shards, fragments, homes)


def part_sizes(config: ConfigDocument, version: Format) -> Mapping[str, int]:
    """Return the bytes that each route and policy takes in this format, by `Kind/namespace/name`."""
    return {key: len(text) for part in _parts(config, version) for key, text in part}


def _parts(config: ConfigDocument, version: Format) -> tuple[list[_Part], list[_Part]]:
    document = format_1.as_format_1(config) if version == 1 else config
    return (
        [(f"{_ROUTE}{route.id}", canonical(route)) for route in document.routes],
        [(f"{_POLICY}{policy.id}", canonical(policy)) for policy in document.policies],
    )


def _config_shard(group: list[_Part]) -> bytes:
    """Return a shard in its canonical form."""
    fields = (("policies", _POLICY), ("routes", _ROUTE))
    lists = (
        f'"{field}":['.encode() + b",".join(texts) + b"]"
        for field, kind in fields
        if (texts := [text for key, text in group if key.startswith(kind)])
    )
    return _opening(FORMAT) + b",".join(lists) + b"}"


def lay_out_endpoints(
    endpoints: EndpointsDocument, gateway: str = "inferway", *, version: Format = FORMAT
) -> Layout[EndpointsIndex]:
    """Cut endpoints into shards; raise `TooLarge` like `lay_out_config`."""
    parts = []
    for key, addresses in sorted(endpoints.services.items()):
        known = tuple(address.as_format_1() for address in addresses) if version == 1 else addresses
        shard = canonical(EndpointsShard(services={key: known}))
        parts.append((key, shard[len(b'{"services":{') : -len(b"}}")]))
    groups = _groups([(f"Service/{key}", text) for key, text in parts])
    contents = [
        _opening(version) + b'"services":{' + b",".join(text for _, text in sorted(group)) + b"}}" for group in groups
    ]
    homes: dict[str, str] = {}
    for group, content in zip(groups, contents, strict=True):
        name = _shard_name(content, gateway)
        homes.update((key.removeprefix("Service/"), name) for key, _ in group)
    refs, shards = _name(contents, gateway)
    index = EndpointsIndex(format=version, replicas=endpoints.replicas, shards=refs)
    return Layout(index, shards, {key: digest(text) for key, text in parts}, homes)


def read_shard(model: type[Shard], ref: ShardRef, content: bytes) -> Shard:
    """Parse a shard of any known format; raise `ValueError` for other bytes than those published, or no shard."""
    if digest(content) != ref.digest:
        raise ValueError(
            f"shard {ref.name} does not have the hash that its index names: it is truncated or was changed"
        )
    subject = f"shard {ref.name}"
    is_older = model in _OLDER and _parse(_Format, content, subject).format == 1
    return _parse(_OLDER[model] if is_older else model, content, subject)


def read_index(model: type[Index], content: str) -> Index:
    """Parse an index ConfigMap's JSON; raise `ValueError` for invalid JSON or an unknown format."""
    return _parse(model, content, "the index")


def read_history(content: str) -> tuple[tuple[str, str], ...]:
    """Parse the history of a config's index ConfigMap: revision and index, the newest first. `ValueError`."""
    try:
        return HISTORY.validate_json(content)
    except ValidationError:
        raise ValueError("the history of configs cannot be read") from None


def config_of(index: ConfigIndex, shard: Callable[[ShardRef], ConfigShard]) -> ConfigDocument:
    """Assemble the document of an index, in the newest format. `shard` returns the parsed shard of a reference.

    Raises `ValueError` for shards that do not fit together; errors of `shard` pass through.
    """
    parts = [shard(ref) for ref in index.shards]
    if any(part.format != index.format for part in parts):
        raise ValueError(f"the index has format {index.format}, and a shard another one")
    routes = [route for part in parts for route in part.routes]
    policies = [policy for part in parts for policy in part.policies]
    if index.format == 1:
        older = tuple(route for route in routes if isinstance(route, format_1.Route))
        return format_1.from_format_1(
            format_1.ConfigDocument(address_policy=index.address_policy, routes=older, policies=tuple(policies))
        )
    return ConfigDocument(
        address_policy=index.address_policy,
        routes=tuple(sorted(routes, key=lambda route: route.age)),
        policies=tuple(sorted(policies, key=lambda policy: policy.age)),
    )


def endpoints_of(index: EndpointsIndex, shard: Callable[[ShardRef], EndpointsShard]) -> EndpointsDocument:
    """Assemble the endpoints of an index, like `config_of`."""
    services: dict[str, tuple[Endpoint, ...]] = {}
    for ref in index.shards:
        services.update(shard(ref).services)
    return EndpointsDocument(replicas=index.replicas, services=services)


def _groups(parts: list[_Part]) -> list[list[_Part]]:
    """Divide parts into groups for shards, by a tree of hashes: first of their namespaces, then of their keys.

    A group larger than `_GROUP_BYTES` is divided by the first bit in which the hashes of its parts differ. So which parts are together
    depends on nothing but these parts: others that come, go or grow change no group that they are not in.
    """
    for key, text in parts:
        if len(text) > _MAX_PART:
            raise TooLarge(f"{key} takes {len(text)} bytes in the document, and may take {_MAX_PART}")
    placed = sorted((_place(key), key, text) for key, text in parts)
    places = [place for place, _, _ in placed]
    ends = [0, *accumulate(len(text) + 1 for _, _, text in placed)]
    groups = []
    waiting = [(0, len(placed))] if placed else []
    while waiting:
        first, end = waiting.pop()
        differing = places[first] ^ places[end - 1]
        if differing == 0 or ends[end] - ends[first] <= _GROUP_BYTES:
            groups.append([(key, text) for _, key, text in placed[first:end]])
            continue
        bit = differing.bit_length() - 1
        middle = bisect_left(places, places[end - 1] >> bit << bit, first, end)
        waiting += [(middle, end), (first, middle)]
    return groups


def _place(key: str) -> int:
    """Return where a part is in the tree: bits of the hash of its namespace, then of the hash of its key."""
    namespace = key.split("/")[1]
    return int(digest(namespace.encode())[:_PLACE_DIGITS] + digest(key.encode())[:_PLACE_DIGITS], 16)


def _opening(version: int) -> bytes:
    """Return the beginning of a shard; format 1 has no field of it."""
    return b"{" if version == 1 else f'{{"format":{version},'.encode()


def _lists(field: str, parts: list[_Part]) -> Iterator[bytes]:
    """Yield shards of format 1, in the order of the parts."""
    for run in _runs(parts):
        yield f'{{"{field}":['.encode() + b",".join(run) + b"]}"


def _runs(parts: Iterable[tuple[str, bytes]]) -> Iterator[list[bytes]]:
    """Yield runs of the parts' bytes. A run ends after certain ids, and before it would become too large."""
    run: list[bytes] = []
    size = 0
    for key, text in parts:
        if len(text) > _MAX_PART:
            raise TooLarge(f"{key} takes {len(text)} bytes in the document, and may take {_MAX_PART}")
        if size + len(text) + 1 > _MAX_PART:
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
    shards = {_shard_name(content, gateway): content for content in contents}
    return tuple(ShardRef(name=name, digest=digest(content)) for name, content in shards.items()), shards


def _shard_name(content: bytes, gateway: str) -> str:
    return f"{gateway}-{digest(content)[:REVISION_DIGITS]}"


def _parse(model: type[Part], content: str | bytes, subject: str) -> Part:
    try:
        return model.model_validate_json(content)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(map(str, first["loc"]))
        reason = f"{place}: {first['msg']}" if place else first["msg"]
        raise ValueError(f"{subject} cannot be read: {reason}") from None
