"""The operator on a real API server: what is applied is published and told, what is deleted goes, nothing else is written."""

from collections.abc import Iterator

import pytest
from inferway_envtest import ApiServer
from operator_process import Gateway, gateway

from inferway_contract.acknowledgement import Acknowledgement
from inferway_fakes.waiting import wait_until

ROUTE = """
apiVersion: inferway.dev/v1alpha1
kind: GatewayRoute
metadata: {name: %(name)s}
spec:
  rules:
  - matches: [{path: {value: %(path)s}}]
    backendRefs: [{name: web, port: 80}]
"""
SERVICE = """
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {ports: [{port: 80}]}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: web-1, labels: {kubernetes.io/service-name: web}}
addressType: IPv4
ports: [{name: "", port: 8080}]
endpoints: [{addresses: [192.0.2.10], conditions: {ready: true}}]
"""


def route(name: str, path: str = "/") -> str:
    """A route to the Service `web`."""
    return ROUTE % {"name": name, "path": path}


@pytest.fixture
def one(api_server: ApiServer) -> Iterator[Gateway]:
    """A gateway with a Service, and an operator that has published."""
    with gateway(api_server) as made:
        made.apply(SERVICE)
        made.start()
        wait_until(lambda: made.revision, "a first config", 20)
        yield made


def test_operator_publishes_and_tells(one: Gateway) -> None:
    one.apply(route("first"))
    wait_until(lambda: one.routes() == [f"{one.team}/first"], "the route")
    (service,) = one.endpoints().services.values()
    assert [(endpoint.address, endpoint.port) for endpoint in service] == [("192.0.2.10", 8080)]
    one.wait_for("first", "Accepted", "True", "Accepted")
    one.wait_for("first", "Programmed", "False", "NoDataPlane")
    one.pod("a")
    one.wait_for("first", "Programmed", "False", "Pending")
    one.acknowledge("a", Acknowledgement(config=one.revision))
    one.wait_for("first", "Programmed", "True", "Programmed")
    status = one.get("GatewayRoute", "first")["status"]
    assert (status["dataPlane"]["applied"], status["dataPlane"]["total"]) == (1, 1)
