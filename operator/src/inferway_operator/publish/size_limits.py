"""Fitting: a compiled document laid out in shards, with what is too large for one made smaller. Pure.

A resource's spec is bounded (`parsing.MAX_SPEC_BYTES`) far below a shard. But a route of many rules names every policy of its
namespace in each of them, and a Service may have any number of endpoints: that is no reason to publish nothing any more.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from inferway_contract.canonical import canonical
from inferway_contract.document import ConfigDocument, Endpoint, EndpointsDocument, Refusal, Route, Rule
from inferway_contract.sharding import MAX_SHARD_BYTES, ConfigIndex, Layout, TooLarge, lay_out_config
from inferway_operator.compiler import Compilation
from inferway_operator.publish.published_state import ParsedConfig, known

MAX_INDEX_BYTES = 900 << 10
"""Of an index, with its history: a ConfigMap holds 1 MiB, and this one has labels and managed fields too."""
_MAX_PART = MAX_SHARD_BYTES - 200
"""Bytes of one object, or of one Service with its key."""
_ENDPOINT_BYTES = 80
"""At most, of one endpoint in JSON: an IPv6 address and a port."""


@dataclass(frozen=True, slots=True)
class DesiredState:
    """What is to be published."""

    config: ConfigDocument
    layout: Layout[ConfigIndex]
    known: ParsedConfig
    endpoints: EndpointsDocument
    too_large: Mapping[str, str] = field(default_factory=dict)
    """By `Kind/namespace/name`: why the object is not published as it was compiled."""

    @property
    def revision(self) -> str:
        """Of the config."""
        return self.layout.revision


def desired_state(compilation: Compilation, gateway: str, last: ConfigDocument | None) -> DesiredState:
    """Lay out what was compiled. `last`: the config that is published; what no longer fits stays as it is in there."""
    config, too_large = compilation.config, dict[str, str]()
    try:
        layout = lay_out_config(config, gateway)
    except TooLarge:
        config, too_large = _shrunk(config, last)
        layout = lay_out_config(config, gateway)
    text = canonical(layout.index).decode()
    if len(text) > MAX_INDEX_BYTES:
        # Whatever is cut off, somebody's traffic would be: all stays as it is published, and everybody is told.
        why = f"the index of all shards takes {len(text)} bytes, and may take {MAX_INDEX_BYTES}"
        kept = last or ConfigDocument(address_policy=config.address_policy)
        wished, config = layout.fragments, kept
        layout = lay_out_config(config, gateway)
        too_large |= {key: why for key, part in wished.items() if layout.fragments.get(key) != part}
        text = canonical(layout.index).decode()
    return DesiredState(
        config,
        layout,
        known(layout.index, text, config, layout.fragments),
        EndpointsDocument(
            replicas=compilation.endpoints.replicas,
            services={key: _fitting(key, found) for key, found in compilation.endpoints.services.items()},
        ),
        too_large,
    )


def _shrunk(config: ConfigDocument, last: ConfigDocument | None) -> tuple[ConfigDocument, dict[str, str]]:
    before = {route.id: route for route in last.routes} if last else {}
    too_large: dict[str, str] = {}
    routes = []
    for route in config.routes:
        size = len(canonical(route))
        if size > _MAX_PART:
            too_large[f"GatewayRoute/{route.id}"] = f"takes {size} bytes in the document, and may take {_MAX_PART}"
            routes.append(before.get(route.id) or _refusing(route))
        else:
            routes.append(route)
    return config.model_copy(update={"routes": tuple(routes)}), too_large


def _refusing(route: Route) -> Route:
    """It protects its own traffic: nobody else's rules get it."""
    refusal = Refusal(code="invalid_rule", detail="the route is too large to be published")
    rules = tuple(Rule(name=rule.name, matches=rule.matches, refusal=refusal) for rule in route.rules)
    return route.model_copy(update={"rules": rules})


def _fitting(key: str, endpoints: tuple[Endpoint, ...]) -> tuple[Endpoint, ...]:
    """As many endpoints as have room, which is some ten thousand."""
    return endpoints[: (_MAX_PART - len(key)) // _ENDPOINT_BYTES]
