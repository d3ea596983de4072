"""Both planes work with exactly the manifests' rights and settings, and with the tokens of pods."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import pytest
from identities import delete_pod, pod, token
from kustomizations import overlay, settings, templates

from inferway_envtest import ApiServer, User
from inferway_envtest.audit_log import Mark
from inferway_testing.client import ask
from inferway_testing.process import Process, environment
from inferway_testing.until import until

SYSTEM, OPERATOR, TEAM = "inferway-system", "inferway-operator", "planes-team"
ROUTES = f"/apis/inferway.dev/v1alpha1/namespaces/{TEAM}/gatewayroutes"
POD = "inferway-gateway-0"
HOST = {"host": "planes.example"}


@dataclass
class Planes:
    """An operator and one data-plane pod as processes."""

    api: ApiServer
    users: dict[str, User]
    operator: Process
    gateway: Process
    port: int
    mark: Mark

    def route(self, body: str, path: str = "/") -> dict[str, Any]:
        """Apply a route with a direct response."""
        answer = {"type": "DirectResponse", "directResponse": {"statusCode": 200, "body": body}}
        route = {
            "apiVersion": "inferway.dev/v1alpha1",
            "kind": "GatewayRoute",
            "metadata": {"name": "direct"},
            "spec": {
                "hostnames": ["planes.example"],
                "rules": [{"matches": [{"path": {"value": path}}], "filters": [answer]}],
            },
        }
        return dict(
            self.api.ask(
                "PATCH", f"{ROUTES}/direct?fieldManager=test&force=true", route, "application/apply-patch+yaml"
            )
        )

    def condition(self, kind: str) -> dict[str, Any]:
        """Return a condition of the route's present generation."""
        resource = self.api.ask("GET", f"{ROUTES}/direct")
        conditions = resource.get("status", {}).get("conditions", [])
        current = [one for one in conditions if one["observedGeneration"] == resource["metadata"]["generation"]]
        return next((one for one in current if one["type"] == kind), {})

    def logs(self) -> str:
        """Return the end of the processes' logs."""
        return f"operator: {self.operator.tail()}\ngateway: {self.gateway.tail()}"

    def forbidden(self) -> list[str]:
        """Return the requests of both planes that the API server rejected for missing rights."""
        return [
            f"{request.user} {request.verb} {request.resource} {request.namespace}: {request.code}"
            for user in self.users.values()
            for request in self.api.requests(self.mark, user=user)
            if request.code in (401, 403)
        ]


@pytest.fixture(scope="module")
def planes(installed: ApiServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Planes]:
    """Start both planes as their images do, with the settings of the overlay dev, but local addresses and folders."""
    directory = tmp_path_factory.mktemp("planes")
    objects = overlay("dev")
    pods = templates(objects)
    installed.ask("POST", "/api/v1/namespaces", {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": TEAM}})
    gateway_pod = pod(installed, pods["inferway-gateway"], SYSTEM, POD)
    users = {
        "operator": token(
            installed, OPERATOR, OPERATOR, pod(installed, pods["inferway-operator"], OPERATOR, "inferway-operator-0")
        ),
        "gateway": token(installed, SYSTEM, "inferway-gateway", gateway_pod),
    }
    mark = installed.mark()
    with ExitStack() as stack:
        operator = Process(
            [sys.executable, "-m", "inferway_operator"],
            environment("INFERWAY_", "KUBE")
            | {
                **settings(objects, "operator"),
                "POD_NAMESPACE": OPERATOR,
                "INFERWAY_OPERATOR_LISTEN": "127.0.0.1:0",
                "KUBECONFIG": str(installed.kubeconfig(users["operator"])),
            },
        )
        stack.callback(operator.stop)
        gateway = Process(
            [sys.executable, "-m", "inferway_dataplane"],
            environment("INFERWAY_", "KUBE")
            | {
                **settings(objects, "gateway"),
                "INFERWAY_LISTEN": "127.0.0.1:0",
                "INFERWAY_ADMIN": "127.0.0.1:0",
                "INFERWAY_STATE_DIRECTORY": str(directory),
                "INFERWAY_SECRETS_DIRECTORY": str(directory),
                "INFERWAY_DRAIN_DELAY": "0",
                "INFERWAY_KUBECONFIG": str(installed.kubeconfig(users["gateway"])),
                "POD_NAME": POD,
                "POD_NAMESPACE": SYSTEM,
                "POD_UID": gateway_pod["metadata"]["uid"],
            },
        )
        stack.callback(gateway.stop)
        port = gateway.port()
        installed.set_pod(SYSTEM, POD, is_ready=True)
        yield Planes(installed, users, operator, gateway, port, mark)
    delete_pod(installed, SYSTEM, POD)
    delete_pod(installed, OPERATOR, "inferway-operator-0")


def test_route_is_served_updated_and_programmed(planes: Planes) -> None:
    for body in ("first", "second"):
        planes.route(body)
        until(
            lambda body=body: ask(planes.port, "/", HOST, timeout=5) == (200, body.encode()),
            f"{body} is served: {planes.logs()}",
        )
        until(
            lambda: planes.condition("Programmed").get("status") == "True", lambda: f"it is programmed: {planes.logs()}"
        )
    leases = f"/apis/coordination.k8s.io/v1/namespaces/{SYSTEM}/leases"
    assert planes.api.ask("GET", f"{leases}/{POD}")["metadata"]["ownerReferences"][0]["name"] == POD
    assert planes.forbidden() == []


def test_invalid_route_is_reported_by_status_and_event(planes: Planes) -> None:
    planes.route("second")
    # The schema accepts it, the compiler rejects it.
    rules = [
        {"matches": [{"path": {"type": "RegularExpression", "value": "/("}}], "backendRefs": [{"name": "x", "port": 1}]}
    ]
    planes.api.ask("PATCH", f"{ROUTES}/direct", {"spec": {"rules": rules}}, "application/merge-patch+json")
    until(lambda: planes.condition("Accepted").get("status") == "False", lambda: f"it is refused: {planes.logs()}")
    events = f"/apis/events.k8s.io/v1/namespaces/{TEAM}/events"
    until(lambda: planes.api.ask("GET", events)["items"], lambda: f"an event reports it: {planes.logs()}")
    assert planes.forbidden() == []


def test_leader_lease_is_in_the_namespace_of_the_operator(planes: Planes) -> None:
    path = f"/apis/coordination.k8s.io/v1/namespaces/{OPERATOR}/leases"
    until(lambda: [item["metadata"]["name"] for item in planes.api.ask("GET", path)["items"]] == [OPERATOR], "a Lease")
    assert planes.operator.stop() == 0
    # The operator released the Lease, which needs the right to update it.
    assert not planes.api.ask("GET", f"{path}/{OPERATOR}")["spec"].get("holderIdentity")
    assert planes.forbidden() == []
