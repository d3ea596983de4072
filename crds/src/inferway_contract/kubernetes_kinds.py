"""Models of the fields that Inferway uses of Services, EndpointSlices and ReferenceGrants.

The command line validates them strictly, as an API server would. The operator uses the valid part of each object.
"""

from collections.abc import Collection, Mapping
from contextlib import suppress
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, PlainValidator, ValidationError
from pydantic.alias_generators import to_camel
from pydantic_core import PydanticCustomError, PydanticKnownError

from inferway_contract.field_errors import Path


class KubernetesModel(BaseModel):
    """Base: strict about the fields it has, and open for all others."""

    model_config = ConfigDict(strict=True, extra="ignore", alias_generator=to_camel)


def _address(value: object) -> IPv4Address | IPv6Address:
    if not isinstance(value, str):
        raise PydanticKnownError("string_type")
    with suppress(ValueError):
        return ip_address(value)
    raise PydanticCustomError("rule", "{broken}", {"broken": f"{value[:80]!r} is not an IP address"})


Address = Annotated[IPv4Address | IPv6Address, PlainValidator(_address)]
Port = Annotated[int, Field(ge=1, le=65535)]
Protocol = Literal["TCP", "UDP", "SCTP"]
Family = Literal["IPv4", "IPv6"]


class ServicePort(KubernetesModel):
    name: str | None = None
    port: Port
    protocol: Protocol | None = None
    app_protocol: str | None = None


class ServiceSpec(KubernetesModel):
    type: str | None = None
    ports: list[ServicePort] | None = None
    cluster_ips: list[str] | None = Field(None, alias="clusterIPs")
    """Addresses, or `None` alone."""
    ip_families: list[Family] | None = None
    """The families that the Service has, the preferred one first."""
    publish_not_ready_addresses: bool | None = None


class Service(KubernetesModel):
    spec: ServiceSpec


class SlicePort(KubernetesModel):
    name: str | None = None
    port: Port | None = None
    protocol: Protocol | None = None
    app_protocol: str | None = None


class Conditions(KubernetesModel):
    ready: bool | None = None
    """The API reference: "A nil value should be interpreted as true"."""
    serving: bool | None = None
    """The same without regard to `terminating`; absent = as `ready`."""
    terminating: bool | None = None


class ObjectReference(KubernetesModel):
    kind: str | None = None
    namespace: str | None = None
    name: str | None = None
    uid: str | None = None


class Endpoint(KubernetesModel):
    addresses: list[Address]
    conditions: Conditions | None = None
    hostname: str | None = None
    target_ref: ObjectReference | None = None


class EndpointSlice(KubernetesModel):
    """An EndpointSlice of IP addresses. Those of host names (FQDN) are not used."""

    address_type: Family
    endpoints: list[Endpoint] | None = None
    ports: list[SlicePort] | None = None


class GrantFrom(KubernetesModel):
    group: str
    kind: str
    namespace: str


class GrantTo(KubernetesModel):
    group: str
    kind: str
    name: str | None = None


class GrantSpec(KubernetesModel):
    from_: list[GrantFrom] = Field(alias="from")
    to: list[GrantTo]


class ReferenceGrant(KubernetesModel):
    spec: GrantSpec


Model = TypeVar("Model", bound=KubernetesModel)


def valid_part(model: type[Model], manifest: Mapping[str, Any]) -> Model | None:
    """Read an object without its invalid list entries and optional fields; None where a required field is invalid."""
    try:
        return model.model_validate(manifest)
    except ValidationError as error:
        invalid = {_entry(item["loc"]) for item in error.errors(include_url=False, include_input=False)}
    try:
        return model.model_validate(_without(manifest, invalid, ()))
    except ValidationError:
        return None


def _entry(path: Path) -> Path:
    """Return the path of the innermost list entry around a field. Outside of lists: the field's path."""
    indexes = [position for position, step in enumerate(path) if isinstance(step, int)]
    return path[: indexes[-1] + 1] if indexes else path


def _without(value: Any, invalid: Collection[Path], path: Path) -> Any:
    if isinstance(value, Mapping):
        kept = ((key, item) for key, item in value.items() if (*path, key) not in invalid)
        return {key: _without(item, invalid, (*path, key)) for key, item in kept}
    if isinstance(value, list):
        entries = ((index, item) for index, item in enumerate(value) if (*path, index) not in invalid)
        return [_without(item, invalid, (*path, index)) for index, item in entries]
    return value
