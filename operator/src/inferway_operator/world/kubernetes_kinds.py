"""Readers of Kubernetes' own kinds: Namespaces, Services, EndpointSlices, ReferenceGrants.

An unreadable object counts as absent; the status of a route that names it reports that.
"""

from collections.abc import Iterator, Mapping
from ipaddress import ip_address
from typing import Any, Final

from inferway_contract.resources import API_GROUP
from inferway_operator.world import metadata
from inferway_operator.world.objects import Grant, NamespaceObject, ServiceObject, SliceObject

_SERVICE_LABEL: Final = "kubernetes.io/service-name"
_FAMILIES: Final = {"IPv4": 4, "IPv6": 6}


def read_namespace(manifest: Mapping[str, Any]) -> NamespaceObject | None:
    """Read a core/v1 Namespace; None without a valid name."""
    meta, errors = metadata.read(manifest)
    if errors:
        return None
    raw = _mapping(manifest.get("metadata"))
    labels = {
        name: value
        for name, value in _mapping(raw.get("labels")).items()
        if isinstance(name, str) and isinstance(value, str)
    }
    is_terminating = (
        bool(raw.get("deletionTimestamp")) or _mapping(manifest.get("status")).get("phase") == "Terminating"
    )
    return NamespaceObject(meta.name, tuple(sorted(labels.items())), is_terminating)


def read_service(manifest: Mapping[str, Any]) -> ServiceObject | None:
    """Read a core/v1 Service; None without a valid name."""
    meta, errors = metadata.read(manifest)
    if errors:
        return None
    spec = _mapping(manifest.get("spec"))
    ports = {port["port"]: _text(port.get("name")) for port in _tcp(spec.get("ports")) if _is_port(port.get("port"))}
    return ServiceObject(meta.id, tuple(sorted(ports.items())), spec.get("type") == "ExternalName")


def read_slice(manifest: Mapping[str, Any]) -> SliceObject | None:
    """Read a discovery.k8s.io/v1 EndpointSlice; None without a Service or IP addresses."""
    meta, errors = metadata.read(manifest)
    service = _mapping(_mapping(manifest.get("metadata")).get("labels")).get(_SERVICE_LABEL)
    raw_family = manifest.get("addressType")
    family = _FAMILIES.get(raw_family) if isinstance(raw_family, str) else None
    if errors or not isinstance(service, str) or family is None:
        return None
    ports = {
        _text(port.get("name")): port["port"] for port in _tcp(manifest.get("ports")) if _is_port(port.get("port"))
    }
    addresses = {
        address
        for endpoint in _mappings(manifest.get("endpoints"))
        # The API reference: "A nil value should be interpreted as true".
        if _mapping(endpoint.get("conditions")).get("ready") is not False
        # Controllers write one address; a file may list several.
        for address in _addresses(endpoint.get("addresses"), family)
    }
    return SliceObject(f"{meta.namespace}/{service}", tuple(sorted(ports.items())), tuple(sorted(addresses)))


def read_grants(manifest: Mapping[str, Any]) -> Iterator[Grant]:
    """Yield the permissions of a ReferenceGrant that concern GatewayRoutes and Services."""
    meta, errors = metadata.read(manifest)
    if errors:
        return
    spec = _mapping(manifest.get("spec"))
    for source in _mappings(spec.get("from")):
        namespace = source.get("namespace")
        if (source.get("group"), source.get("kind")) != (API_GROUP, "GatewayRoute") or not isinstance(namespace, str):
            continue
        for target in _mappings(spec.get("to")):
            name = target.get("name")
            if target.get("group") in ("", None) and target.get("kind") == "Service" and _is_name(name):
                yield Grant(meta.namespace, namespace, name or None)


def _is_name(value: object) -> bool:
    return value is None or isinstance(value, str)


def _addresses(raw: object, family: int) -> Iterator[str]:
    for text in raw if isinstance(raw, list) else []:
        try:
            address = ip_address(text) if isinstance(text, str) else None
        except ValueError:
            continue
        if address is not None and address.version == family:
            yield str(address)


def _tcp(raw: object) -> Iterator[dict[str, Any]]:
    return (port for port in _mappings(raw) if port.get("protocol") in ("TCP", None))


def _is_port(value: object) -> bool:
    return type(value) is int and 0 < value < 65536


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _mapping(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _mappings(value: object) -> Iterator[dict[str, Any]]:
    return (item for item in value if isinstance(item, dict)) if isinstance(value, list) else iter(())
