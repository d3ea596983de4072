"""The world: a frozen snapshot of everything that the compiler may know. Equal worlds compile to equal bytes."""

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
    """What the operator was told by those who run it."""

    standalone: bool = False
    """No cluster: any backend host, loopback too."""
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
    """Those that are known. Of another one nobody knows labels, and it is not being deleted."""
    last_published: Mapping[str, document.Policy] = field(default_factory=dict)
    """By id: what the last published document says of each policy. A policy that became invalid stays like that."""
    replicas: int = 1
    """Live pods of the data plane."""


def from_manifests(manifests: Iterable[Mapping[str, Any]], *, standalone: bool) -> World:
    """The world of these manifests (plain dicts, as from YAML or JSON); other kinds are passed over.

    Never raises for mappings. Of two objects with one kind, namespace and name the first is kept.
    """
    routes: list[RouteObject] = []
    policies: list[PolicyObject] = []
    services: list[ServiceObject] = []
    slices: list[SliceObject] = []
    grants: list[Grant] = []
    namespaces: list[NamespaceObject] = []
    seen: set[tuple[str, str, str]] = set()
    for manifest in manifests:
        kind = _kind(manifest)
        meta, _ = metadata.read(manifest)
        key = (kind, meta.namespace, meta.name)
        if kind == "" or key in seen:
            continue
        seen.add(key)
        match kind:
            case "Namespace":
                _keep(namespaces, kubernetes_kinds.read_namespace, manifest)
            case "Service":
                _keep(services, kubernetes_kinds.read_service, manifest)
            case "EndpointSlice":
                _keep(slices, kubernetes_kinds.read_slice, manifest)
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


def _keep(found: list[T], read: Callable[[Mapping[str, Any]], T | None], manifest: Mapping[str, Any]) -> None:
    read_object = read(manifest)
    if read_object is not None:
        found.append(read_object)


def _kind(manifest: Mapping[str, Any]) -> str:
    """The kind, or "" when it is none that we read. Other groups have Services too (Knative)."""
    kind, version = manifest.get("kind"), manifest.get("apiVersion")
    match kind:
        case "GatewayRoute" | "RateLimitPolicy":
            return str(kind)  # a wrong apiVersion is told to its author
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
