"""The world: a frozen snapshot of the compiler's whole input. Equal worlds compile to equal bytes."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from inferway_contract import document
from inferway_operator.world import kubernetes_kinds, metadata
from inferway_operator.world.bounds import DEFAULT as DEFAULT_BOUNDS
from inferway_operator.world.bounds import Bounds
from inferway_operator.world.hostname_policy import HostnamePolicy
from inferway_operator.world.objects import (
    Grant,
    NamespaceObject,
    PolicyObject,
    RouteObject,
    ServiceObject,
    SliceObject,
)
from inferway_operator.world.resources import parse
from inferway_operator.world.stored_slices import StoredSlice

_READERS: Final[Mapping[str, Callable[[Mapping[str, Any]], Any]]] = {
    "GatewayRoute": parse,
    "RateLimitPolicy": parse,
    "Namespace": kubernetes_kinds.read_namespace,
    "Service": kubernetes_kinds.read_service,
    "EndpointSlice": kubernetes_kinds.read_slice,
    "ReferenceGrant": kubernetes_kinds.read_grants,
}
"""By kind; None = the object is unreadable."""


@dataclass(frozen=True, slots=True)
class Settings:
    """The compiler's part of the operator's settings."""

    standalone: bool = False
    """Without a cluster any backend host is allowed, also loopback."""
    allowed_hosts: tuple[str, ...] = ()
    """Hosts that the url of a backendRef may name in a cluster: names, addresses, or `*.example.com`."""
    hostname_policy: HostnamePolicy | None = None
    """Which namespaces may claim which hostnames; None = all may claim all."""
    bounds: Bounds = DEFAULT_BOUNDS
    """What the objects of a namespace may take. They do not apply to a standalone gateway."""


@dataclass(frozen=True, slots=True)
class World:
    """Objects in any order; the compiler sorts them."""

    settings: Settings = Settings()
    routes: tuple[RouteObject, ...] = ()
    policies: tuple[PolicyObject, ...] = ()
    services: tuple[ServiceObject, ...] = ()
    slices: tuple[SliceObject | StoredSlice, ...] = ()
    grants: tuple[Grant, ...] = ()
    namespaces: tuple[NamespaceObject, ...] = ()
    """Existing ones. A missing one counts as one without labels that is not being deleted."""
    last_published: Mapping[str, document.Policy] = field(default_factory=dict)
    """Policies of the last published document, by id. A policy that became invalid keeps this form."""
    replicas: int = 1
    """Live pods of the data plane."""


def from_manifests(manifests: Iterable[Mapping[str, Any]], *, standalone: bool) -> World:
    """Build the world of manifests (plain dicts, as from YAML or JSON); ignore other kinds.

    Raises nothing for mappings. Of two objects with one kind, namespace and name the first counts.
    """
    objects: dict[str, list[Any]] = {kind: [] for kind in _READERS}
    keys: set[tuple[str, str, str]] = set()
    for manifest in manifests:
        kind = _kind(manifest)
        meta, _ = metadata.read(manifest)
        key = (kind, meta.namespace, meta.name)
        if kind == "" or key in keys:
            continue
        keys.add(key)
        value = _READERS[kind](manifest)
        if value is not None:
            objects[kind].append(value)
    return World(
        settings=Settings(standalone=standalone),
        routes=tuple(objects["GatewayRoute"]),
        policies=tuple(objects["RateLimitPolicy"]),
        services=tuple(objects["Service"]),
        slices=tuple(objects["EndpointSlice"]),
        grants=tuple(grant for grants in objects["ReferenceGrant"] for grant in grants),
        namespaces=tuple(objects["Namespace"]),
    )


def _kind(manifest: Mapping[str, Any]) -> str:
    """Return the kind if the compiler reads it, else "" (also for Knative's Services)."""
    kind, version = manifest.get("kind"), manifest.get("apiVersion")
    match kind:
        case "GatewayRoute" | "RateLimitPolicy":
            return str(kind)  # a wrong apiVersion is an error of the object
        case "Namespace" | "Service" if version == "v1":
            return str(kind)
        case "EndpointSlice" if version == "discovery.k8s.io/v1":
            return "EndpointSlice"
        case "ReferenceGrant" if isinstance(version, str) and version.startswith("gateway.networking.k8s.io/"):
            return "ReferenceGrant"
        case _:
            return ""
