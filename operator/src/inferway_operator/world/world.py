"""The world: a frozen snapshot of the compiler's whole input. Equal worlds compile to equal bytes."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from inferway_contract import document
from inferway_operator.world import kubernetes_kinds, metadata
from inferway_operator.world.hostname_policy import HostnamePolicy
from inferway_operator.world.objects import (
    Grant,
    Meta,
    NamespaceObject,
    PolicyObject,
    RouteObject,
    RuleObject,
    ServiceObject,
    SliceObject,
)
from inferway_operator.world.resources import parse

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Settings:
    """The compiler's part of the operator's settings."""

    standalone: bool = False
    """Without a cluster any backend host is allowed, also loopback."""
    allowed_hosts: tuple[str, ...] = ()
    """Hosts that the url of a backendRef may name in a cluster: names, addresses, or `*.example.com`."""
    hostname_policy: HostnamePolicy | None = None
    """Which namespaces may claim which hostnames; None = all may claim all."""


@dataclass(frozen=True, slots=True)
class World:
    """Objects in any order; the compiler sorts them."""

    settings: Settings = Settings()
    routes: tuple[RouteObject, ...] = ()
    policies: tuple[PolicyObject, ...] = ()
    services: tuple[ServiceObject, ...] = ()
    slices: tuple[SliceObject, ...] = ()
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
    routes: list[RouteObject] = []
    policies: list[PolicyObject] = []
    services: list[ServiceObject] = []
    slices: list[SliceObject] = []
    grants: list[Grant] = []
    namespaces: list[NamespaceObject] = []
    keys: set[tuple[str, str, str]] = set()
    for manifest in manifests:
        kind = _kind(manifest)
        meta, _ = metadata.read(manifest)
        key = (kind, meta.namespace, meta.name)
        if kind == "" or key in keys:
            continue
        keys.add(key)
        match kind:
            case "Namespace":
                _append(namespaces, kubernetes_kinds.read_namespace, manifest)
            case "Service":
                _append(services, kubernetes_kinds.read_service, manifest)
            case "EndpointSlice":
                _append(slices, kubernetes_kinds.read_slice, manifest)
            case "ReferenceGrant":
                grants += kubernetes_kinds.read_grants(manifest)
            case _:
                parsed = parse(manifest)
                if isinstance(parsed, RouteObject):
                    routes.append(parsed)
                else:
                    policies.append(parsed)
    return World(
        settings=Settings(standalone=standalone),
        routes=tuple(routes),
        policies=tuple(policies),
        services=tuple(services),
        slices=tuple(slices),
        grants=tuple(grants),
        namespaces=tuple(namespaces),
    )


def _append(objects: list[T], read: Callable[[Mapping[str, Any]], T | None], manifest: Mapping[str, Any]) -> None:
    parsed = read(manifest)
    if parsed is not None:
        objects.append(parsed)


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


__all__ = [
    "Grant",
    "Meta",
    "NamespaceObject",
    "PolicyObject",
    "RouteObject",
    "RuleObject",
    "ServiceObject",
    "Settings",
    "SliceObject",
    "World",
    "from_manifests",
    "parse",
]
