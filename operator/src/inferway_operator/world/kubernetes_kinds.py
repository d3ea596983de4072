"""Readers of Kubernetes' own kinds: Namespaces, Services, EndpointSlices, ReferenceGrants.

An unreadable object counts as absent; the status of a route that names it reports that.
"""

from collections.abc import Iterable, Mapping
from typing import Any, Final

from inferway_contract.kubernetes_kinds import (
    Conditions,
    Endpoint,
    EndpointSlice,
    ReferenceGrant,
    Service,
    ServicePort,
    SlicePort,
    valid_part,
)
from inferway_contract.resources import API_GROUP
from inferway_operator.world import metadata
from inferway_operator.world.objects import (
    Grant,
    NamespaceObject,
    Readiness,
    ServiceObject,
    SliceEndpoint,
    SliceObject,
)

SERVICE_LABEL: Final = "kubernetes.io/service-name"
_FAMILIES: Final = {"IPv4": 4, "IPv6": 6}
_TCP: Final = ("TCP", None)


def read_namespace(manifest: Mapping[str, Any]) -> NamespaceObject | None:
    """Read a core/v1 Namespace; None without a valid name."""
    meta, errors = metadata.read(manifest)
    if errors:
        return None
    is_deleted = bool(mapping(manifest.get("metadata")).get("deletionTimestamp"))
    is_terminating = is_deleted or mapping(manifest.get("status")).get("phase") == "Terminating"
    return NamespaceObject(meta.name, tuple(sorted(_labels(manifest).items())), is_terminating)


def read_service(manifest: Mapping[str, Any]) -> ServiceObject | None:
    """Read a core/v1 Service; None without a valid name."""
    meta, errors = metadata.read(manifest)
    if errors:
        return None
    service = valid_part(Service, manifest)
    if service is None:
        return ServiceObject(meta.id)
    spec = service.spec
    tcp = [port for port in spec.ports or () if port.protocol in _TCP]
    return ServiceObject(
        meta.id,
        ports=tuple(sorted({port.port: port.name or "" for port in tcp}.items())),
        is_external_name=spec.type == "ExternalName",
        protocols=_protocols(tcp),
        family=spec.ip_families[0] if spec.ip_families else "IPv4",
        publishes_unready=spec.publish_not_ready_addresses is True,
        cluster_ips=tuple(spec.cluster_ips or ()),
    )


def read_slice(manifest: Mapping[str, Any]) -> SliceObject | None:
    """Read a discovery.k8s.io/v1 EndpointSlice; None without a Service or IP addresses."""
    meta, errors = metadata.read(manifest)
    service = _labels(manifest).get(SERVICE_LABEL)
    if errors or service is None or (slice_ := valid_part(EndpointSlice, manifest)) is None:
        return None
    tcp = [port for port in slice_.ports or () if port.port is not None and port.protocol in _TCP]
    endpoints = {
        SliceEndpoint(str(address), _readiness(endpoint.conditions), _owner(endpoint))
        for endpoint in slice_.endpoints or ()
        # Controllers write one address; a file may list several.
        for address in endpoint.addresses
        if address.version == _FAMILIES[slice_.address_type]
    }
    return SliceObject(
        f"{meta.namespace}/{service}",
        ports=tuple(sorted({port.name or "": port.port for port in tcp if port.port is not None}.items())),
        endpoints=tuple(sorted(endpoints, key=lambda item: (item.address, item.readiness, item.owner))),
        protocols=_protocols(tcp),
    )


def _protocols(ports: Iterable[ServicePort | SlicePort]) -> tuple[tuple[str, str], ...]:
    return tuple(sorted({port.name or "": port.app_protocol for port in ports if port.app_protocol}.items()))


def _readiness(conditions: Conditions | None) -> Readiness:
    if conditions is None or conditions.ready is not False:
        return Readiness.READY
    return Readiness.LAST_RESORT if conditions.serving and conditions.terminating else Readiness.UNREADY


def _owner(endpoint: Endpoint) -> str:
    """Return what the addresses of one pod have in common."""
    if len(endpoint.addresses) != 1:
        return ""  # in a file: they may be those of several hosts
    target = endpoint.target_ref
    if target is not None and target.uid:
        return f"uid {target.uid}"
    if target is not None and target.name:
        return f"{target.kind} {target.namespace}/{target.name}"
    return f"hostname {endpoint.hostname}" if endpoint.hostname else ""


def read_grants(manifest: Mapping[str, Any]) -> tuple[Grant, ...]:
    """Return the permissions of a ReferenceGrant that concern GatewayRoutes and Services."""
    meta, errors = metadata.read(manifest)
    if errors or (grant := valid_part(ReferenceGrant, manifest)) is None:
        return ()
    return tuple(
        Grant(meta.namespace, source.namespace, target.name or None)
        for source in grant.spec.from_
        if (source.group, source.kind) == (API_GROUP, "GatewayRoute")
        for target in grant.spec.to
        if (target.group, target.kind) == ("", "Service")
    )


def _labels(manifest: Mapping[str, Any]) -> dict[str, str]:
    labels = mapping(mapping(manifest.get("metadata")).get("labels"))
    return {name: value for name, value in labels.items() if isinstance(name, str) and isinstance(value, str)}


def mapping(value: object) -> dict[str, Any]:
    """Return the value if it is a mapping, else an empty one."""
    return value if isinstance(value, dict) else {}
