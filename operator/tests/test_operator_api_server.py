"""The operator on a real API server: applied objects are published with a status, deleted ones removed, and nothing else is written."""

from collections.abc import Iterator

import pytest
from operator_process import SERVICE, Gateway, gateway

from inferway_contract.acknowledgement import Acknowledgement
from inferway_contract.document import Endpoint
from inferway_envtest import ApiServer
from inferway_testing.until import until

ROUTE = """
apiVersion: inferway.dev/v1alpha1
kind: GatewayRoute
metadata: {name: %(name)s}
spec:
  rules:
  - matches: [{path: {value: %(path)s}}]
    backendRefs: [{name: web, port: 80}]
"""
POLICY = """
apiVersion: inferway.dev/v1alpha1
kind: RateLimitPolicy
metadata: {name: limits}
spec: {limits: [{name: all, rate: {requests: 10, per: 1s}, burst: 10, scope: Pod}]}
"""
GRANT = """
apiVersion: gateway.networking.k8s.io/v1beta1
kind: ReferenceGrant
metadata: {name: team}
spec:
  from: [{group: inferway.dev, kind: GatewayRoute, namespace: %(team)s}]
  to: [{group: "", kind: Service}]
"""


def route(name: str, path: str = "/") -> str:
    """A route to the Service `web`."""
    return ROUTE % {"name": name, "path": path}


@pytest.fixture(scope="module")
def running(api_server: ApiServer) -> Iterator[Gateway]:
    """A gateway with an operator that has published; one for all, for its start takes longer than any of the tests."""
    with gateway(api_server) as made:
        made.start()
        until(lambda: made.revision, "a first config", 20)
        yield made


@pytest.fixture
def clean_gateway(running: Gateway) -> Iterator[Gateway]:
    """It has a Service, and nothing of another test."""
    running.apply(SERVICE)
    yield running
    for kind in ("GatewayRoute", "RateLimitPolicy", "Service", "EndpointSlice", "Event"):
        running.api.ask("DELETE", running.path(kind))
    running.api.ask("DELETE", f"/api/v1/namespaces/{running.namespace}/pods?gracePeriodSeconds=0")
    running.api.ask("DELETE", running.path("Lease", "", running.namespace))
    until(lambda: not running.routes() and not running.endpoints().services, "nothing of the test is published")


def test_operator_publishes_a_route_and_writes_its_status(clean_gateway: Gateway) -> None:
    clean_gateway.apply(route("first"))
    until(lambda: clean_gateway.routes() == [f"{clean_gateway.team}/first"], "the route")
    (service,) = clean_gateway.endpoints().services.values()
    assert [(endpoint.address, endpoint.port) for endpoint in service] == [("192.0.2.10", 8080)]
    clean_gateway.wait_for("first", "Accepted", "True", "Accepted")
    clean_gateway.wait_for("first", "Programmed", "False", "NoDataPlane")
    clean_gateway.pod("a")
    clean_gateway.wait_for("first", "Programmed", "False", "Pending")
    clean_gateway.acknowledge("a", Acknowledgement(config=clean_gateway.revision))
    clean_gateway.wait_for("first", "Programmed", "True", "Programmed")
    status = clean_gateway.get("GatewayRoute", "first")["status"]
    assert (status["dataPlane"]["applied"], status["dataPlane"]["total"]) == (1, 1)


def test_one_change_writes_one_shard_and_one_status(clean_gateway: Gateway) -> None:
    clean_gateway.apply("---".join(route(f"route-{number}", f"/{number}") for number in range(3)))
    until(lambda: len(clean_gateway.routes()) == 3, "three routes")
    clean_gateway.pod("a")
    for number in range(3):
        clean_gateway.wait_for(f"route-{number}", "Programmed", "False", "Pending")
    clean_gateway.acknowledge("a", Acknowledgement(config=clean_gateway.revision))
    for number in range(3):
        clean_gateway.wait_for(f"route-{number}", "Programmed", "True", "Programmed")
    before, mark = clean_gateway.revision, clean_gateway.api.mark()
    clean_gateway.apply(route("route-1", "/changed"))
    until(lambda: clean_gateway.revision != before, "a new revision")
    clean_gateway.wait_for("route-1", "Programmed", "False", "Pending")
    clean_gateway.acknowledge("a", Acknowledgement(config=clean_gateway.revision))
    clean_gateway.wait_for("route-1", "Programmed", "True", "Programmed")
    written = clean_gateway.writes(mark)
    assert [line for line in written if "status" in line] == ["patch gatewayroutes/status route-1"] * 2
    maps = [line for line in written if "configmaps" in line]
    assert len(maps) == 2
    assert maps[0].startswith("create configmaps")
    assert maps[1] == "patch configmaps inferway-config"


def test_renewed_leases_and_touched_objects_cause_no_writes(clean_gateway: Gateway) -> None:
    clean_gateway.apply(route("first"))
    clean_gateway.pod("a")
    until(lambda: clean_gateway.routes(), "the route")
    acknowledgement = Acknowledgement(config=clean_gateway.revision)
    clean_gateway.acknowledge("a", acknowledgement)
    clean_gateway.wait_for("first", "Programmed", "True", "Programmed")
    mark = clean_gateway.api.mark()
    clean_gateway.acknowledge("a", acknowledgement)
    clean_gateway.apply(route("first").replace("{name: first}", "{name: first, annotations: {touched: now}}"))
    clean_gateway.apply(SERVICE.replace("{name: web}", "{name: web, annotations: {touched: now}}", 1))
    # What comes after these events in the same streams has been seen, so they have been.
    clean_gateway.apply(route("second", "/second"))
    clean_gateway.wait_for("second", "Programmed", "False", "Pending")
    written = clean_gateway.writes(mark)
    assert not [line for line in written if "first" in line]
    assert [line for line in written if "endpoints" in line] == []


def test_operator_writes_only_the_status_of_an_object(clean_gateway: Gateway) -> None:
    clean_gateway.apply(route("first"))
    clean_gateway.wait_for("first", "Programmed", "False", "NoDataPlane")
    meta = clean_gateway.get("GatewayRoute", "first")["metadata"]
    assert "finalizers" not in meta
    assert "annotations" not in meta
    assert {field["manager"]: field.get("subresource") for field in meta["managedFields"]} == {
        "test": None,
        "inferway-operator": "status",
    }
    assert {request.resource for request in clean_gateway.api.writes(user=clean_gateway.user)} <= {
        "configmaps",
        "gatewayroutes/status",
        "leases",
        "events",
    }


@pytest.mark.case("K5")
def test_operator_removes_deleted_objects_from_the_config(clean_gateway: Gateway) -> None:
    clean_gateway.apply(route("first"))
    clean_gateway.apply(POLICY)
    until(lambda: clean_gateway.routes() and clean_gateway.config().policies, "the route and the policy")
    clean_gateway.delete("RateLimitPolicy", "limits")
    until(lambda: not clean_gateway.config().policies, "the policy is gone", 2)
    clean_gateway.delete("GatewayRoute", "first")
    until(lambda: not clean_gateway.routes(), "the route is gone", 2)


@pytest.mark.slow
@pytest.mark.case("K5")
def test_operator_removes_a_terminating_namespace_at_once(api_server: ApiServer) -> None:
    with gateway(api_server) as one:
        # A foreign finalizer holds the route, and with it the namespace.
        one.apply(route("first").replace("{name: first}", "{name: first, finalizers: [example.com/held]}"))
        one.start()
        until(lambda: one.routes(), "the route", 20)
        one.api.ask("DELETE", f"/api/v1/namespaces/{one.team}")
        until(lambda: not one.routes(), "the route is gone", 2)
        held = {"metadata": {"finalizers": None}}
        one.api.ask("PATCH", one.path("GatewayRoute", "first"), held, "application/merge-patch+json")
        until(lambda: not one.exists(one.team), "no finalizer holds the namespace", 30)


def test_operator_emits_one_event_for_an_invalid_route(clean_gateway: Gateway) -> None:
    clean_gateway.apply(route("first", "/%2e%2e/a"))
    clean_gateway.wait_for("first", "Accepted", "False", "Invalid")
    until(lambda: clean_gateway.events("first"), "an Event")
    (event,) = clean_gateway.events("first")
    assert event["reason"] == "Invalid"
    assert "path" in event["note"]
    clean_gateway.apply(route("second"))
    clean_gateway.wait_for("second", "Accepted", "True", "Accepted")
    assert len(clean_gateway.events("first")) == 1


@pytest.mark.usefixtures("gateway_api")
@pytest.mark.case("X2")
def test_operator_follows_reference_grants(clean_gateway: Gateway) -> None:
    until(lambda: clean_gateway.watches("referencegrants"), "the definition has been noticed", 20)
    clean_gateway.apply(SERVICE.replace("80}", "81}"), clean_gateway.namespace)
    clean_gateway.apply(
        route("first").replace(
            "{name: web, port: 80}", f"{{name: web, namespace: {clean_gateway.namespace}, port: 81}}"
        )
    )
    clean_gateway.wait_for("first", "ResolvedRefs", "False", "RefNotPermitted")
    clean_gateway.apply(GRANT % {"team": clean_gateway.team}, clean_gateway.namespace)
    clean_gateway.wait_for("first", "ResolvedRefs", "True", "ResolvedRefs")
    key = f"{clean_gateway.namespace}/web:81"
    assert clean_gateway.endpoints().services[key]
    clean_gateway.delete("ReferenceGrant", "team", clean_gateway.namespace)
    until(lambda: not clean_gateway.backends(), "the backend is gone", 2)
    clean_gateway.wait_for("first", "ResolvedRefs", "False", "RefNotPermitted")


def test_operator_tracks_services_of_older_configs_in_use(clean_gateway: Gateway) -> None:
    clean_gateway.apply(route("first"))
    clean_gateway.wait_for("first", "Accepted", "True", "Accepted")
    clean_gateway.pod("a")
    clean_gateway.acknowledge("a", Acknowledgement(config=clean_gateway.revision))
    clean_gateway.wait_for("first", "Programmed", "True", "Programmed")
    clean_gateway.delete("GatewayRoute", "first")
    until(lambda: not clean_gateway.routes(), "the route is gone")
    clean_gateway.apply(SERVICE.replace("192.0.2.10", "192.0.2.20"))
    until(
        lambda: (
            [found.address for service in clean_gateway.endpoints().services.values() for found in service]
            == ["192.0.2.20"]
        ),
        "the pod that still serves it gets the new address of its backend",
    )
    clean_gateway.acknowledge("a", Acknowledgement(config=clean_gateway.revision))
    until(lambda: not clean_gateway.endpoints().services, "no pod serves it")


HELD = "finalizers: [example.com/held]"
RELEASED = {"metadata": {"finalizers": None}}


@pytest.mark.usefixtures("gateway_api")
@pytest.mark.parametrize(
    ("kind", "name", "namespace"), [("GatewayRoute", "first", "team"), ("ReferenceGrant", "team", "namespace")]
)
def test_operator_removes_deleted_objects_that_are_held(
    clean_gateway: Gateway, kind: str, name: str, namespace: str
) -> None:
    until(lambda: clean_gateway.watches("referencegrants"), "the definition has been noticed", 20)
    named = f"{{name: web, namespace: {clean_gateway.namespace}, port: 80}}"
    first = route("first").replace("{name: web, port: 80}", named).replace("{name: first}", f"{{name: first, {HELD}}}")
    clean_gateway.apply(SERVICE, clean_gateway.namespace)
    clean_gateway.apply(
        (GRANT % {"team": clean_gateway.team}).replace("{name: team}", f"{{name: team, {HELD}}}"),
        clean_gateway.namespace,
    )
    clean_gateway.apply(first)
    try:
        until(clean_gateway.backends, "the route with its backend", 10)
        clean_gateway.delete(kind, name, getattr(clean_gateway, namespace))
        until(lambda: not clean_gateway.backends(), "it has left", 2)
    finally:
        for held in (("GatewayRoute", "first", ""), ("ReferenceGrant", "team", clean_gateway.namespace)):
            path = clean_gateway.path(*held)
            clean_gateway.api.ask("PATCH", path, RELEASED, "application/merge-patch+json")
            if held[0] != kind:
                clean_gateway.api.ask("DELETE", path)
        clean_gateway.api.ask("DELETE", clean_gateway.path("Service", "web", clean_gateway.namespace))
        clean_gateway.api.ask("DELETE", clean_gateway.path("EndpointSlice", "web-1", clean_gateway.namespace))


API_SERVER_SLICE = """
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: kubernetes-test, labels: {kubernetes.io/service-name: kubernetes}}
addressType: IPv4
ports: [{name: https, port: 6443}]
endpoints: [{addresses: [198.51.100.5], conditions: {ready: true}}]
"""


def test_operator_publishes_no_address_of_the_api_server(clean_gateway: Gateway) -> None:
    """CVE-2021-25740: EndpointSlices may name any address."""
    clean_gateway.apply(SERVICE.replace("192.0.2.10", "198.51.100.5").replace("8080", "6443"))
    clean_gateway.apply(route("first"))
    until(lambda: clean_gateway.endpoints().services.get(f"{clean_gateway.team}/web:80"), "an address like any other")
    clean_gateway.apply(API_SERVER_SLICE, "default")
    try:
        until(lambda: clean_gateway.endpoints().services[f"{clean_gateway.team}/web:80"] == (), "it has left", 2)
        clean_gateway.wait_for("first", "ResolvedRefs", "False", "NoEndpoints")
    finally:
        clean_gateway.delete("EndpointSlice", "kubernetes-test", "default")


def test_operator_publishes_a_dual_stack_pod_once(clean_gateway: Gateway) -> None:
    pod = "targetRef: {kind: Pod, name: p, uid: 11111111-1111-1111-1111-111111111111}"
    clean_gateway.apply(SERVICE.replace("{ready: true}", f"{{ready: true}}, {pod}"))
    slice_6 = SERVICE.partition("---")[2].replace("web-1", "web-6").replace("IPv4", "IPv6")
    clean_gateway.apply(
        slice_6.replace("192.0.2.10", '"2001:db8::10"').replace("{ready: true}", f"{{ready: true}}, {pod}")
    )
    clean_gateway.apply(route("first"))
    key = f"{clean_gateway.team}/web:80"
    both = (Endpoint(address="192.0.2.10", port=8080, further=("2001:db8::10",)),)
    until(lambda: clean_gateway.endpoints().services.get(key) == both, f"one endpoint; {clean_gateway.endpoints()}")


def test_operator_reports_an_overlap_to_both_namespaces(clean_gateway: Gateway) -> None:
    host = "spec:\n  hostnames: [shared.example]"
    clean_gateway.apply(route("main").replace("spec:", host))
    clean_gateway.apply(route("login", "/login").replace("spec:", host), clean_gateway.namespace)
    try:
        clean_gateway.wait_for("main", "Overlaps", "True", "Overlaps")
        path = clean_gateway.path("GatewayRoute", "login", clean_gateway.namespace)
        until(
            lambda: f"{clean_gateway.team}/main" in str(clean_gateway.api.ask("GET", path).get("status")),
            "the other one",
        )
        assert f"{clean_gateway.namespace}/login" in str(clean_gateway.get("GatewayRoute", "main")["status"])
    finally:
        clean_gateway.delete("GatewayRoute", "login", clean_gateway.namespace)
    until(lambda: "Overlaps" not in str(clean_gateway.get("GatewayRoute", "main")["status"]), "it is alone")
