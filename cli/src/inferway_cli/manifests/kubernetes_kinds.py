"""The kinds of Kubernetes that are read beside ours: what of them has to have the right form.

In a cluster the API server has checked them. In a file nobody has, and a port in quotes would be told as a Service
without ports, far from the mistake. Only fields that are used are checked; all others are the API server's.
"""

from collections.abc import Iterator, Mapping
from ipaddress import ip_address
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError
from pydantic.alias_generators import to_camel
from pydantic_core import PydanticCustomError

from inferway_contract import field_errors
from inferway_contract.field_errors import FieldError


class _Read(BaseModel):
    model_config = ConfigDict(strict=True, extra="ignore", alias_generator=to_camel)


def _address(text: str) -> str:
    try:
        ip_address(text)
    except ValueError:
        raise PydanticCustomError("rule", "{broken}", {"broken": f"{text[:80]!r} is not an IP address"}) from None
    return text


_Port = Annotated[int, Field(ge=1, le=65535)]
_Address = Annotated[str, AfterValidator(_address)]


class _ServicePort(_Read):
    name: str | None = None
    port: _Port
    protocol: Literal["TCP", "UDP", "SCTP"] | None = None


class _ServiceSpec(_Read):
    ports: list[_ServicePort] | None = None


class _Service(_Read):
    spec: _ServiceSpec


class _SlicePort(_Read):
    name: str | None = None
    port: _Port | None = None
    protocol: Literal["TCP", "UDP", "SCTP"] | None = None


class _Conditions(_Read):
    ready: bool | None = None


class _Endpoint(_Read):
    addresses: list[_Address]
    conditions: _Conditions | None = None


class _NamedEndpoint(_Read):
    addresses: list[str]


class _EndpointSlice(_Read):
    address_type: Literal["IPv4", "IPv6"]
    endpoints: list[_Endpoint] | None = None
    ports: list[_SlicePort] | None = None


class _NamedSlice(_Read):
    # Legal, and of no use here: addresses by name are not followed.
    address_type: Literal["FQDN"]
    endpoints: list[_NamedEndpoint] | None = None


class _GrantFrom(_Read):
    group: str
    kind: str
    namespace: str


class _GrantTo(_Read):
    group: str
    kind: str
    name: str | None = None


class _GrantSpec(_Read):
    from_: list[_GrantFrom] = Field(alias="from")
    to: list[_GrantTo]


class _ReferenceGrant(_Read):
    spec: _GrantSpec


_MODELS: dict[str, type[_Read]] = {
    "Service": _Service,
    "EndpointSlice": _EndpointSlice,
    "ReferenceGrant": _ReferenceGrant,
}


def check(kind: str, value: Mapping[str, Any]) -> Iterator[FieldError]:
    """What is wrong with a Service, an EndpointSlice or a ReferenceGrant."""
    model = _NamedSlice if value.get("addressType") == "FQDN" else _MODELS[kind]
    try:
        model.model_validate(value)
    except ValidationError as error:
        yield from field_errors.from_validation(error)
