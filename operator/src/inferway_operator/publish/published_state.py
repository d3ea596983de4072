"""What has been published: the ConfigMaps as they are in the cluster, and the configs that they hold.

Read once when this process becomes the active one, and kept in step with its own writes from then on.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from pydantic import TypeAdapter, ValidationError

from inferway_contract.canonical import REVISION_DIGITS, digest
from inferway_contract.document import ConfigDocument, Endpoint
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
    read_index,
    read_shard,
)

_HISTORY: TypeAdapter[tuple[tuple[str, str], ...]] = TypeAdapter(tuple[tuple[str, str], ...])

PartMap = Mapping[str, Mapping[str, str]]
"""`data` of ConfigMaps, by name."""


@dataclass(frozen=True, slots=True)
class ParsedConfig:
    """A config of which it is known what is in it."""

    index: str
    """Its index's JSON."""
    shards: frozenset[str]
    fragments: Mapping[str, str]
    services: frozenset[str]
    """Keys of the endpoints document that it names."""


@dataclass(frozen=True, slots=True)
class Published:
    """What the cluster holds. "" = there is no such index."""

    config: str = ""
    history: tuple[tuple[str, str], ...] = ()
    """Revision and index of configs before that, the newest first."""
    endpoints: str = ""
    addresses: Mapping[str, tuple[Endpoint, ...]] = field(default_factory=dict)
    """Of the endpoints: by Service."""
    shards: frozenset[str] = frozenset()
    """Names of those that are there and have the content that their name says."""

    @property
    def revision(self) -> str:
        """Of the config; "" = none."""
        return digest(self.config.encode())[:REVISION_DIGITS] if self.config else ""

    @property
    def endpoint_shards(self) -> frozenset[str]:
        """Shards that the endpoints' index names."""
        return _names(read_index(EndpointsIndex, self.endpoints)) if self.endpoints else frozenset()


@dataclass(frozen=True, slots=True)
class ActualState:
    """The result of reading: what is published, and of each config that can still be read what is in it."""

    published: Published
    known: Mapping[str, ParsedConfig]
    """By revision."""
    config: ConfigDocument | None = None
    """The newest one; None = there is none that can be read."""
    mistakes: tuple[str, ...] = ()
    """What could not be read. It is written anew."""


def known(index: ConfigIndex, text: str, config: ConfigDocument, fragments: Mapping[str, str]) -> ParsedConfig:
    """What is in this config."""
    return ParsedConfig(text, _names(index), fragments, config.named_services())


class _Reader:
    """Puts documents together again."""

    def __init__(self, gateway: str, maps: PartMap) -> None:
        self._gateway = gateway
        self._maps = maps
        self.mistakes: list[str] = []
        self.shards = frozenset(
            name
            for name, data in maps.items()
            if SHARD_KEY in data and name == f"{gateway}-{digest(data[SHARD_KEY].encode())[:REVISION_DIGITS]}"
        )

    def config(self, text: str) -> tuple[ConfigIndex, ConfigDocument] | None:
        try:
            index = read_index(ConfigIndex, text)
            return index, config_of(index, self._config_shard)
        except ValueError as error:
            self.mistakes.append(f"config: {error}")
            return None

    def addresses(self, text: str) -> Mapping[str, tuple[Endpoint, ...]] | None:
        try:
            index = read_index(EndpointsIndex, text)
            return endpoints_of(index, self._endpoints_shard).services
        except ValueError as error:
            self.mistakes.append(f"endpoints: {error}")
            return None

    def history(self, text: str) -> tuple[tuple[str, str], ...]:
        try:
            return _HISTORY.validate_json(text)
        except ValidationError:
            self.mistakes.append("the history of configs cannot be read")
            return ()

    def data(self, part: str) -> Mapping[str, str]:
        return self._maps.get(part, {})

    def _config_shard(self, ref: ShardRef) -> ConfigShard:
        return read_shard(ConfigShard, ref, self._content(ref))

    def _endpoints_shard(self, ref: ShardRef) -> EndpointsShard:
        return read_shard(EndpointsShard, ref, self._content(ref))

    def _content(self, ref: ShardRef) -> bytes:
        data = self._maps.get(ref.name)
        if data is None:
            raise ValueError(f"shard {ref.name} is gone")
        return data.get(SHARD_KEY, "").encode()


def read(gateway: str, maps: PartMap) -> ActualState:
    """What these ConfigMaps publish. Never raises for any content: what cannot be read was not published."""
    reader = _Reader(gateway, maps)
    config_map, endpoints_map = (reader.data(index_name(gateway, part)) for part in ("config", "endpoints"))
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
    )
    mistakes = tuple(reader.mistakes)  # that an old config cannot be read any more is nobody's mistake
    configs = {published.revision: (text, newest)} if newest is not None else {}
    configs |= {revision: (old, found) for revision, old in history if (found := reader.config(old)) is not None}
    return ActualState(
        published=published,
        known={revision: _known_again(gateway, old, *found) for revision, (old, found) in configs.items()},
        config=newest[1] if newest is not None else None,
        mistakes=mistakes,
    )


def _known_again(gateway: str, text: str, index: ConfigIndex, config: ConfigDocument) -> ParsedConfig:
    return known(index, text, config, lay_out_config(config, gateway).fragments)


def _names(index: ConfigIndex | EndpointsIndex) -> frozenset[str]:
    return frozenset(ref.name for ref in index.shards)


def unneeded(
    published: Published, known_configs: Mapping[str, ParsedConfig], reported: Iterable[str]
) -> frozenset[str]:
    """Shards that neither what is published nor a config that a pod reports consists of."""
    needed = set(published.endpoint_shards)
    for revision in {published.revision, *reported}:
        if revision in known_configs:
            needed |= known_configs[revision].shards
    return published.shards - needed
