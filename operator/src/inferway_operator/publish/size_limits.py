"""Size limits: lays out a compiled document in shards, and reduces parts that exceed a shard or the index. Pure.

A resource's spec is bounded (`resources.MAX_SPEC_BYTES`) far below a shard. But each rule of a route may name every policy
of its namespace. That must not block all publication. Endpoints of a Service are bounded by the compiler.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from inferway_contract.canonical import canonical
from inferway_contract.document import (
    FORMAT,
    ConfigDocument,
    EndpointsDocument,
    Format,
    Refusal,
    Route,
    Rule,
)
from inferway_contract.sharding import MAX_SHARD_BYTES, ConfigIndex, Layout, TooLarge, lay_out_config, part_sizes
from inferway_operator.compiler import Compilation
from inferway_operator.publish.published_state import ParsedConfig, parsed_config

MAX_INDEX_BYTES = 900 << 10
"""Bound of an index with its history: a ConfigMap holds 1 MiB, including labels and managed fields."""
_MAX_PART = MAX_SHARD_BYTES - 200
"""Bound in bytes of one object, or of one Service with its key."""


@dataclass(frozen=True, slots=True)
class DesiredState:
    """The documents to publish, laid out in shards."""

    compilation: Compilation
    """What they are made of."""
    config: ConfigDocument
    layout: Layout[ConfigIndex]
    parsed: ParsedConfig
    endpoints: EndpointsDocument
    too_large: Mapping[str, str] = field(default_factory=dict)
    """By `Kind/namespace/name`: why the object is not published as compiled."""
    version: Format = FORMAT
    """Format of both documents."""
    unpublished: Mapping[str, str] = field(default_factory=dict)
    """By `Kind/namespace/name`: why the object stays as it was published last."""


def desired_state(
    compilation: Compilation,
    gateway: str,
    last: ConfigDocument | None,
    version: Format = FORMAT,
    before: DesiredState | None = None,
) -> DesiredState:
    """Lay out a compilation; too large objects stay as in `last`, the published config.

    `version`: of the documents, the newest that every pod of the data plane knows. `before`: what was desired before; objects
    that are the same keep their text.
    """
    known = {} if before is None else before.layout.texts
    config, too_large = compilation.config, dict[str, str]()
    try:
        layout = lay_out_config(config, gateway, version=version, known=known)
    except TooLarge:
        config, too_large = _shrink(config, last, version)
        layout = lay_out_config(config, gateway, version=version, known=known)
    text = canonical(layout.index).decode()
    if len(text) > MAX_INDEX_BYTES:
        # Any cut would drop traffic: everything stays as published, and the status of every change reports it.
        why = f"the index of all shards is too large: {len(text)} bytes, the limit is {MAX_INDEX_BYTES}"
        desired, config = layout.fragments, last or ConfigDocument(address_policy=config.address_policy)
        layout = lay_out_config(config, gateway, version=version, known=known)
        too_large |= {key: why for key, part in desired.items() if layout.fragments.get(key) != part}
        text = canonical(layout.index).decode()
    return DesiredState(
        compilation,
        config,
        layout,
        parsed_config(layout.index, text, config, layout.fragments),
        compilation.endpoints,
        too_large,
        version,
    )


def _shrink(
    config: ConfigDocument, last: ConfigDocument | None, version: Format
) -> tuple[ConfigDocument, dict[str, str]]:
    sizes = part_sizes(config, version)
    before = {route.id: route for route in last.routes} if last else {}
    too_large: dict[str, str] = {}
    routes = []
    for route in config.routes:
        size = sizes[f"GatewayRoute/{route.id}"]
        if size > _MAX_PART:
            too_large[f"GatewayRoute/{route.id}"] = f"too large: {size} bytes in the document, the limit is {_MAX_PART}"
            routes.append(before.get(route.id) or _refuse(route))
        else:
            routes.append(route)
    return config.model_copy(update={"routes": tuple(routes)}), too_large


def _refuse(route: Route) -> Route:
    """Make all rules refuse, so that no broader rule gets their requests."""
    refusal = Refusal(code="invalid_rule", detail="the route is too large to be published")
    rules = tuple(Rule(name=rule.name, matches=rule.matches, refusal=refusal) for rule in route.rules)
    return route.model_copy(update={"rules": rules})
