"""Small documents to publish, and a cluster of ConfigMaps in memory to publish them into."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from inferway_contract.document import (
    Backend,
    ConfigDocument,
    Endpoint,
    EndpointsDocument,
    Match,
    PathMatch,
    Route,
    Rule,
)
from inferway_contract.sharding import (
    INDEX_KEY,
    SHARD_KEY,
    ConfigIndex,
    ConfigShard,
    EndpointsIndex,
    EndpointsShard,
    config_of,
    endpoints_of,
    read_index,
    read_shard,
)
from inferway_operator.compiler import Compilation
from inferway_operator.publish import plan as publish_plan
from inferway_operator.publish import published_state, size_limits

GATEWAY = "inferway"


def route(name: str, *services: str, path: str = "/") -> Route:
    """A route of one rule to these Services (`a` is `demo/a:80`)."""
    backends = tuple(Backend(service=f"demo/{service}:80") for service in services)
    return Route(
        id=f"demo/{name}", rules=(Rule(name="r", matches=(Match(path=PathMatch(value=path)),), backends=backends),)
    )


def compilation(*routes: Route, replicas: int = 1, **addresses: str) -> Compilation:
    """What the compiler would make of these routes. `a="10.0.0.1"` is the address of Service `a`."""
    config = ConfigDocument(routes=routes)
    services = {
        key: (Endpoint(address=address, port=80),) if (address := addresses.get(key[5:-3])) else ()
        for key in config.named_services()
    }
    return Compilation(config, EndpointsDocument(replicas=replicas, services=services), ())


def desired_state(*routes: Route, replicas: int = 1, **addresses: str) -> size_limits.DesiredState:
    """The same, laid out."""
    return size_limits.desired_state(compilation(*routes, replicas=replicas, **addresses), GATEWAY, None)


@dataclass
class Cluster:
    """ConfigMaps by name."""

    maps: dict[str, dict[str, str]] = field(default_factory=dict)

    def read(self) -> published_state.ActualState:
        """What an operator reads that has just become the active one."""
        return published_state.read(GATEWAY, self.maps)

    def plan(self, want: size_limits.DesiredState, reported: Iterable[str] = ()) -> tuple[publish_plan.Write, ...]:
        """The writes that are missing."""
        state = self.read()
        return publish_plan.plan(want, state.published, state.configs, frozenset(reported), GATEWAY)

    def write(self, writes: Iterable[publish_plan.Write]) -> None:
        """Perform them."""
        for write in writes:
            self.maps[write.name] = dict(write.data)

    def publish(self, want: size_limits.DesiredState, reported: Iterable[str] = ()) -> tuple[publish_plan.Write, ...]:
        """Plan, perform; returns the writes."""
        writes = self.plan(want, reported)
        self.write(writes)
        return writes

    def settle(self, want: size_limits.DesiredState, reported: Iterable[str] = ()) -> None:
        """Publish until nothing is missing: what only the config before needed goes in a second round."""
        for _ in range(3):
            if not self.publish(want, reported):
                return
        raise AssertionError(f"never settles: {self.plan(want, reported)}")

    def config(self) -> ConfigDocument | None:
        """The config as a pod reads it: strictly. None = there is no index yet."""
        text = self.maps.get("inferway-config", {}).get(INDEX_KEY)
        if text is None:
            return None
        index = read_index(ConfigIndex, text)
        return config_of(index, lambda ref: read_shard(ConfigShard, ref, self.maps[ref.name][SHARD_KEY].encode()))

    def endpoints(self) -> EndpointsDocument | None:
        """The endpoints, likewise."""
        text = self.maps.get("inferway-endpoints", {}).get(INDEX_KEY)
        if text is None:
            return None
        index = read_index(EndpointsIndex, text)
        return endpoints_of(index, lambda ref: read_shard(EndpointsShard, ref, self.maps[ref.name][SHARD_KEY].encode()))
