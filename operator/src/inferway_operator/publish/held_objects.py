"""Documents in which some namespaces keep the objects that were published last, whatever was compiled since. Pure."""

from collections.abc import Iterable, Mapping, Set
from dataclasses import replace
from typing import TypeVar

from inferway_contract.canonical import canonical
from inferway_contract.document import ConfigDocument, Endpoint, EndpointsDocument, Policy, Route
from inferway_contract.sharding import TooLarge, lay_out_config
from inferway_operator.publish import size_limits
from inferway_operator.publish.published_state import parsed_config

Item = TypeVar("Item", Route, Policy)


def with_published(
    desired: size_limits.DesiredState,
    last: ConfigDocument | None,
    held: Mapping[str, str],
    gateway: str,
    live: Mapping[str, tuple[Endpoint, ...]],
) -> size_limits.DesiredState:
    """Return the documents with the objects of held namespaces as in `last`, the published config.

    `held`: why, by namespace. `live`: endpoints of Services that only published configs name. Documents that would not fit
    stay as desired.
    """
    before = last or ConfigDocument(address_policy=desired.config.address_policy)
    routes = _mixed(desired.config.routes, before.routes, held.keys())
    policies = _mixed(desired.config.policies, before.policies, held.keys())
    config = desired.config.model_copy(update={"routes": routes, "policies": policies})
    try:
        layout = lay_out_config(config, gateway, version=desired.version, known=desired.layout.texts)
    except TooLarge:  # in an older format than it was published in
        return desired
    text = canonical(layout.index).decode()
    if len(text) > size_limits.MAX_INDEX_BYTES:
        return desired
    known = {**live, **desired.endpoints.services}
    services = {key: known.get(key, ()) for key in sorted(config.named_services())}
    differing = {
        key: held[namespace]
        for key in desired.parsed.fragments.keys() | layout.fragments.keys()
        if (namespace := key.split("/")[1]) in held and desired.parsed.fragments.get(key) != layout.fragments.get(key)
    }
    return replace(
        desired,
        config=config,
        layout=layout,
        parsed=parsed_config(layout.index, text, config, layout.fragments),
        endpoints=EndpointsDocument(replicas=desired.endpoints.replicas, services=services),
        unpublished={**desired.unpublished, **differing},
    )


def _mixed(new: Iterable[Item], old: Iterable[Item], held: Set[str]) -> tuple[Item, ...]:
    kept = [item for item in new if item.id.partition("/")[0] not in held]
    kept += [item for item in old if item.id.partition("/")[0] in held]
    return tuple(sorted(kept, key=lambda item: item.age))
