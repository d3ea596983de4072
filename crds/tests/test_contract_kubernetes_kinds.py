"""Kubernetes' own kinds: the valid part of an object is read without its invalid list entries."""

from typing import Any

import pytest

from inferway_contract.kubernetes_kinds import EndpointSlice, ReferenceGrant, Service, valid_part

PORTS: list[Any] = [
    {"port": 80},
    {"port": "81"},
    {"port": 82, "protocol": "HTTP"},
    83,
    {"port": 0},
    {"port": 84, "name": "a"},
]
ENDPOINTS: list[Any] = [{"addresses": ["10.0.0.1", "localhost", 1]}, {"addresses": "10.0.0.2"}, {}, {"addresses": []}]
FROM: list[Any] = [{"group": "g", "kind": "k", "namespace": "a"}, {"group": "g", "kind": "k"}, None]


def test_invalid_ports_of_a_service_are_left_out() -> None:
    service = valid_part(Service, {"spec": {"ports": PORTS, "type": 5}})

    assert service is not None
    assert [(port.port, port.name) for port in service.spec.ports or ()] == [(80, None), (84, "a")]
    assert service.spec.type is None


def test_invalid_addresses_and_endpoints_of_a_slice_are_left_out() -> None:
    endpoint_slice = valid_part(EndpointSlice, {"addressType": "IPv4", "endpoints": ENDPOINTS, "ports": "http"})

    assert endpoint_slice is not None
    endpoints = endpoint_slice.endpoints or []
    assert [[str(address) for address in endpoint.addresses] for endpoint in endpoints] == [["10.0.0.1"], []]
    assert endpoint_slice.ports is None


def test_invalid_entries_of_a_grant_are_left_out() -> None:
    grant = valid_part(ReferenceGrant, {"spec": {"from": FROM, "to": [{"group": "", "kind": "Service", "name": 1}]}})

    assert grant is not None
    assert ([source.namespace for source in grant.spec.from_], grant.spec.to) == (["a"], [])


@pytest.mark.parametrize(
    ("model", "manifest"),
    [
        (Service, {}),
        (Service, {"spec": []}),
        (EndpointSlice, {"addressType": "FQDN"}),
        (EndpointSlice, {"addressType": "IPv5", "endpoints": []}),
        (ReferenceGrant, {"spec": {"from": []}}),
    ],
)
def test_object_without_a_required_field_is_not_read(model: Any, manifest: dict[str, Any]) -> None:
    assert valid_part(model, manifest) is None
