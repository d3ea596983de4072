"""Parses the published ConfigMaps into documents and configs.

Read once when this process becomes the leader; its own writes update the state from then on.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from inferway_contract.canonical import REVISION_DIGITS, digest
from inferway_contract.document import ConfigDocument, Endpoint, Format
from inferway_contract.sharding import (
    HISTORY_KEY,
    INDEX_KEY,
    SHARD_KEY,
    ConfigIndex,
    ConfigShard,
    EndpointsIndex,
    EndpointsShard,
    ShardRef,
    config_of,
    endpoints_of,
    index_name,
    lay_out_config,
    read_history,
    read_index,
    read_shard,
)

PartMap = Mapping[str, Mapping[str, str]]
"""`data` of ConfigMaps, by name."""


@dataclass(frozen=True, slots=True)
class ParsedConfig:
    """A config whose shards were all read."""

    index: str
    """JSON of its index."""
    shards: frozenset[str]
    fragments: Mapping[str, str]
    """Hash of each object's part, by `Kind/namespace/name`."""
    services: frozenset[str]
    """Keys `namespace/name:port` of the endpoints document that it needs."""
    version: Format
    """Its format."""


@dataclass(frozen=True, slots=True)
class Published:
    """The published indexes and shards; "" = no such index."""

    config: str = ""
    history: tuple[tuple[str, str], ...] = ()
    endpoints: str = ""
    addresses: Mapping[str, tuple[Endpoint, ...]] = field(default_factory=dict)
    """Published endpoints by key `namespace/name:port`."""
    shards: frozenset[str] = frozenset()
    """Names of existing shards whose content matches the hash in their name."""
    spoiled: frozenset[str] = frozenset()
    """Names of ConfigMaps with the right content that are written again, because others changed their metadata."""

    @property
    def revision(self) -> str:
        """Revision of the config; "" = none."""
        return digest(self.config.encode())[:REVISION_DIGITS] if self.config else ""


@dataclass(frozen=True, slots=True)
class ActualState:
    """The result of reading: the published state, and every readable config."""

    published: Published
    configs: Mapping[str, ParsedConfig]
    """Readable configs by revision."""
    config: ConfigDocument | None = None
    """The newest config; None = absent or unreadable."""
    errors: tuple[str, ...] = ()
    """Messages about unreadable parts, which are written again."""


def parsed_config(index: ConfigIndex, text: str, config: ConfigDocument, fragments: Mapping[str, str]) -> ParsedConfig:
    """Collect the parts of a config; `text`: JSON of its index."""
    return ParsedConfig(text, _names(index), fragments, config.named_services(), index.format)


class _Reader:
    """Assembles documents from indexes and shards; collects errors."""

    def __init__(self, gateway: str, maps: PartMap) -> None:
        self._gateway = gateway
        self._maps = maps
        self.errors: list[str] = []
        self.shards = frozenset(
            name
            for name, data in maps.items()
            if SHARD_KEY in data and name == f"{gateway}-{digest(data[SHARD_KEY].encode())[:REVISION_DIGITS]}"
        )

    def config(self, text: str) -> tuple[ConfigIndex, ConfigDocument] | None:
        try:
            index = read_index(ConfigIndex, text)
            return index, config_of(index, lambda ref: read_shard(ConfigShard, ref, self._content(ref)))
        except ValueError as error:
            self.errors.append(f"config: {error}")
            return None

    def addresses(self, text: str) -> Mapping[str, tuple[Endpoint, ...]] | None:
        try:
            index = read_index(EndpointsIndex, text)
            return endpoints_of(index, lambda ref: read_shard(EndpointsShard, ref, self._content(ref))).services
        except ValueError as error:
            self.errors.append(f"endpoints: {error}")
            return None

    def history(self, text: str) -> tuple[tuple[str, str], ...]:
        try:
            return read_history(text)
        except ValueError as error:
            self.errors.append(str(error))
            return ()

    def _content(self, ref: ShardRef) -> bytes:
        data = self._maps.get(ref.name)
        if data is None:
            raise ValueError(f"shard {ref.name} not found")
        return data.get(SHARD_KEY, "").encode()


def read(gateway: str, maps: PartMap, spoiled: frozenset[str] = frozenset()) -> ActualState:
    """Parse ConfigMaps; never raises: an unreadable part counts as not published. `spoiled`: see `Published`."""
    reader = _Reader(gateway, maps)
    config_map, endpoints_map = (maps.get(index_name(gateway, part), {}) for part in ("config", "endpoints"))
    text, endpoints = config_map.get(INDEX_KEY, ""), endpoints_map.get(INDEX_KEY, "")
    newest = reader.config(text) if text else None
    addresses = reader.addresses(endpoints) if endpoints else None
    history = reader.history(config_map[HISTORY_KEY]) if HISTORY_KEY in config_map else ()
    published = Published(
        config=text if newest is not None else "",
        history=history,
        endpoints=endpoints if addresses is not None else "",
        addresses=addresses or {},
        shards=reader.shards,
        spoiled=spoiled,
    )
    errors = tuple(reader.errors)  # before the history: an unreadable old config is not an error
    configs = {published.revision: (text, newest)} if newest is not None else {}
    configs |= {revision: (old, parts) for revision, old in history if (parts := reader.config(old)) is not None}
    return ActualState(
        published=published,
        configs={
            revision: parsed_config(index, text, config, lay_out_config(config, gateway).fragments)
            for revision, (text, (index, config)) in configs.items()
        },
        config=newest[1] if newest is not None else None,
        errors=errors,
    )


def _names(index: ConfigIndex | EndpointsIndex) -> frozenset[str]:
    return frozenset(ref.name for ref in index.shards)


def older_formats(configs: Mapping[str, ParsedConfig], revisions: Iterable[str], version: Format) -> frozenset[str]:
    """Return the newest config of each format below `version`: what a pod reads that starts with an older version.

    `revisions`: the newest first.
    """
    newest: dict[Format, str] = {}
    for revision in revisions:
        if revision in configs and configs[revision].version < version:
            newest.setdefault(configs[revision].version, revision)
    return frozenset(newest.values())


def served(published: Published, configs: Mapping[str, ParsedConfig], reported: Iterable[str]) -> frozenset[str]:
    """Return the configs that pods may serve: the published one, reported ones, the newest of each older format."""
    if published.revision not in configs:
        return frozenset({published.revision, *reported})
    older = older_formats(configs, (old for old, _ in published.history), configs[published.revision].version)
    return frozenset({published.revision, *reported}) | older


def unneeded(published: Published, configs: Mapping[str, ParsedConfig], reported: Iterable[str]) -> frozenset[str]:
    """Return shards that belong neither to the published documents nor to a config that pods may serve."""
    needed = set(_names(read_index(EndpointsIndex, published.endpoints))) if published.endpoints else set()
    for revision in served(published, configs, reported):
        if revision in configs:
            needed |= configs[revision].shards
    return published.shards - needed
