"""The operator on a real API server: what is applied is published and told, what is deleted goes, nothing else is written."""

from collections.abc import Iterator

import pytest
from operator_process import SERVICE, Gateway, gateway

from inferway_contract.acknowledgement import Acknowledgement
from inferway_envtest import ApiServer
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
        wait_until(lambda: made.revision, "a first config", 20)
        yield made


@pytest.fixture
def one(running: Gateway) -> Iterator[Gateway]:
    """It has a Service, and nothing of another test."""
    running.apply(SERVICE)
    yield running
    for kind in ("GatewayRoute", "RateLimitPolicy", "Service", "EndpointSlice", "Event"):
        running.api.ask("DELETE", running.path(kind))
    running.api.ask("DELETE", f"/api/v1/namespaces/{running.namespace}/pods?gracePeriodSeconds=0")
    running.api.ask("DELETE", running.path("Lease", "", running.namespace))
    wait_until(lambda: not running.routes() and not running.endpoints().services, "nothing of the test is published")


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


def test_operator_writes_one_shard_and_one_status_for_one_change(one: Gateway) -> None:
    one.apply("---".join(route(f"route-{number}", f"/{number}") for number in range(3)))
    wait_until(lambda: len(one.routes()) == 3, "three routes")
    one.pod("a")
    for number in range(3):
        one.wait_for(f"route-{number}", "Programmed", "False", "Pending")
    one.acknowledge("a", Acknowledgement(config=one.revision))
    for number in range(3):
        one.wait_for(f"route-{number}", "Programmed", "True", "Programmed")
    before, mark = one.revision, one.api.mark()
    one.apply(route("route-1", "/changed"))
    wait_until(lambda: one.revision != before, "a new revision")
    one.wait_for("route-1", "Programmed", "False", "Pending")
    one.acknowledge("a", Acknowledgement(config=one.revision))
    one.wait_for("route-1", "Programmed", "True", "Programmed")
    written = one.writes(mark)
    assert [line for line in written if "status" in line] == ["patch gatewayroutes/status route-1"] * 2
    maps = [line for line in written if "configmaps" in line]
    assert len(maps) == 2
    assert maps[0].startswith("create configmaps")
    assert maps[1] == "patch configmaps inferway-config"


def test_operator_writes_nothing_when_leases_are_renewed_and_objects_touched(one: Gateway) -> None:
    one.apply(route("first"))
    one.pod("a")
    wait_until(lambda: one.routes(), "the route")
    said = Acknowledgement(config=one.revision)
    one.acknowledge("a", said)
    one.wait_for("first", "Programmed", "True", "Programmed")
    mark = one.api.mark()
    one.acknowledge("a", said)
    one.apply(route("first").replace("{name: first}", "{name: first, annotations: {touched: now}}"))
    one.apply(SERVICE.replace("{name: web}", "{name: web, annotations: {touched: now}}", 1))
    # What comes after these events in the same streams has been seen, so they have been.
    one.apply(route("second", "/second"))
    one.wait_for("second", "Programmed", "False", "Pending")
    written = one.writes(mark)
    assert not [line for line in written if "first" in line]
    assert [line for line in written if "endpoints" in line] == []


def test_operator_touches_nothing_of_an_object_but_its_status(one: Gateway) -> None:
    one.apply(route("first"))
    one.wait_for("first", "Programmed", "False", "NoDataPlane")
    meta = one.get("GatewayRoute", "first")["metadata"]
    assert "finalizers" not in meta
    assert "annotations" not in meta
    assert {field["manager"]: field.get("subresource") for field in meta["managedFields"]} == {
        "test": None,
        "inferway-operator": "status",
    }
    assert {request.resource for request in one.api.writes(user=one.user)} <= {
        "configmaps",
        "gatewayroutes/status",
        "leases",
        "events",
    }


@pytest.mark.case("K5")
def test_operator_lets_go_of_what_is_deleted(one: Gateway) -> None:
    one.apply(route("first"))
    one.apply(POLICY)
    wait_until(lambda: one.routes() and one.config().policies, "the route and the policy")
    one.delete("RateLimitPolicy", "limits")
    wait_until(lambda: not one.config().policies, "the policy is gone", 2)
    one.delete("GatewayRoute", "first")
    wait_until(lambda: not one.routes(), "the route is gone", 2)


@pytest.mark.slow
@pytest.mark.case("K5")
def test_operator_lets_go_of_a_terminating_namespace_at_once(api_server: ApiServer) -> None:
    with gateway(api_server) as one:
        # Somebody else's finalizer holds the route, and with it the namespace.
        one.apply(route("first").replace("{name: first}", "{name: first, finalizers: [example.com/held]}"))
        one.start()
        wait_until(lambda: one.routes(), "the route", 20)
        one.api.ask("DELETE", f"/api/v1/namespaces/{one.team}")
        wait_until(lambda: not one.routes(), "the route is gone", 2)
        held = {"metadata": {"finalizers": None}}
        one.api.ask("PATCH", one.path("GatewayRoute", "first"), held, "application/merge-patch+json")
        wait_until(lambda: not one.exists(one.team), "no finalizer holds the namespace", 30)


def test_operator_tells_of_mistakes_once(one: Gateway) -> None:
    one.apply(route("first", "/%2e%2e/a"))
    one.wait_for("first", "Accepted", "False", "Invalid")
    wait_until(lambda: one.events("first"), "an Event")
    (event,) = one.events("first")
    assert event["reason"] == "Invalid"
    assert "path" in event["note"]
    one.apply(route("second"))
    one.wait_for("second", "Accepted", "True", "Accepted")
    assert len(one.events("first")) == 1


@pytest.mark.usefixtures("gateway_api")
@pytest.mark.case("X2")
def test_operator_follows_reference_grants(one: Gateway) -> None:
    wait_until(lambda: one.watches("referencegrants"), "the definition has been noticed", 20)
    one.apply(SERVICE.replace("80}", "81}"), one.namespace)
    one.apply(route("first").replace("{name: web, port: 80}", f"{{name: web, namespace: {one.namespace}, port: 81}}"))
    one.wait_for("first", "ResolvedRefs", "False", "RefNotPermitted")
    one.apply(GRANT % {"team": one.team}, one.namespace)
    one.wait_for("first", "ResolvedRefs", "True", "ResolvedRefs")
    key = f"{one.namespace}/web:81"
    assert one.endpoints().services[key]
    one.delete("ReferenceGrant", "team", one.namespace)
    wait_until(lambda: not one.backends(), "the backend is gone", 2)
    one.wait_for("first", "ResolvedRefs", "False", "RefNotPermitted")


def test_operator_follows_services_that_only_a_pod_s_older_config_names(one: Gateway) -> None:
    one.apply(route("first"))
    one.wait_for("first", "Accepted", "True", "Accepted")
    one.pod("a")
    one.acknowledge("a", Acknowledgement(config=one.revision))
    one.wait_for("first", "Programmed", "True", "Programmed")
    one.delete("GatewayRoute", "first")
    wait_until(lambda: not one.routes(), "the route is gone")
    one.apply(SERVICE.replace("192.0.2.10", "192.0.2.20"))
    wait_until(
        lambda: [found.address for service in one.endpoints().services.values() for found in service] == ["192.0.2.20"],
        "the pod that serves it still is told where its backend is now",
    )
    one.acknowledge("a", Acknowledgement(config=one.revision))
    wait_until(lambda: not one.endpoints().services, "nobody serves it any more")
