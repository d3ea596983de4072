"""The overlay e2e: NetworkPolicies that allow the traffic Inferway needs, and no other."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from e2e.cluster import workload
from e2e.cluster.access import DEMO, GATEWAY, OPERATOR, Cluster, route
from e2e.cluster.leftovers import restore
from inferway_testing.until import until

pytestmark = pytest.mark.timeout(300)

STRANGER = "inferway-stranger"
"""A namespace without the project's labels, with one pod that connects and listens."""
UPSTREAM = 8000
LISTENS = 6443
"""Ports of the demo's service and of the stranger's; the port of API servers is the least restricted one."""
REACHED, REFUSED = "reached", "not reached"
CONNECT = f"""
import socket, sys
for place in sys.argv[1:]:
    host, _, port = place.rpartition(':')
    try:
        socket.create_connection((host, int(port)), 2).close()
        print('{REACHED}')
    except OSError:
        print('{REFUSED}')
"""


@pytest.fixture(scope="module", autouse=True)
def e2e_overlay(cluster: Cluster) -> Iterator[None]:
    """Apply the policies and a stranger; remove both afterwards."""
    try:
        cluster.install("manifests/overlays/e2e")
        for namespace in (OPERATOR, GATEWAY):
            cluster.await_rollout(namespace)
        cluster.apply(f"{{apiVersion: v1, kind: Namespace, metadata: {{name: {STRANGER}}}}}")
        given = workload.service().replace("replicas: 2", "replicas: 1").replace(f"{UPSTREAM}", f"{LISTENS}")
        cluster.kubectl("apply", "-n", STRANGER, "-f", "-", given=given)
        cluster.await_rollout(STRANGER)
        yield
    finally:
        restore(cluster)


def address(cluster: Cluster, namespace: str, app: str) -> str:
    """Return the address of one of the app's pods."""
    return str(cluster.pods(namespace, app)[0]["status"]["podIP"])


def connects(cluster: Cluster, namespace: str, target: str, *places: str) -> list[str]:
    """Return for each place (`host:port`) whether a pod reaches it."""
    output = cluster.kubectl("-n", namespace, "exec", target, "--", "python", "-c", CONNECT, *places)
    return output.split("\n")[:-1]


def test_traffic_and_changes_pass_the_network_policies(cluster: Cluster):
    """The policies allow clients, upstreams and the API server."""
    until(lambda: cluster.ask("/infer?prompt=closed").status == 200, "traffic", 20)
    cluster.apply(route("closed", DEMO, "closed.example", "open"))
    until(lambda: cluster.ask("/", "closed.example").body == b"open", "a change is served", 10)
    until(lambda: cluster.is_programmed("gwr", DEMO, "closed"), "and programmed", 10)
    cluster.kubectl("delete", "gwr", "closed", "-n", DEMO)


def test_foreign_pods_reach_the_data_port_only(cluster: Cluster):
    gateway, operator = address(cluster, GATEWAY, "inferway-gateway"), address(cluster, OPERATOR, "inferway-operator")
    places = (f"{gateway}:8080", f"{gateway}:9090", f"{operator}:9091")
    assert connects(cluster, STRANGER, "deployment/service-python", *places) == [REACHED, REFUSED, REFUSED]


def test_gateway_does_not_reach_foreign_pods(cluster: Cluster):
    """The policy applies even to a user's route with such an upstream."""
    stranger, upstream = address(cluster, STRANGER, "service-python"), address(cluster, DEMO, "service-python")
    places = (f"{stranger}:{LISTENS}", f"{upstream}:{UPSTREAM}")
    assert connects(cluster, GATEWAY, "deployment/inferway-gateway", *places) == [REFUSED, REACHED]
    cluster.apply(
        f"""
apiVersion: inferway.dev/v1alpha1
kind: GatewayRoute
metadata: {{name: stranger, namespace: {STRANGER}}}
spec:
  hostnames: [stranger.example]
  rules:
  - backendRefs: [{{name: service-python, port: {LISTENS}}}]
    timeouts: {{connect: 500ms, request: 2s}}
"""
    )
    until(lambda: cluster.is_programmed("gwr", STRANGER, "stranger"), "the route is programmed", 10)
    answer = cluster.ask(workload.PATH, "stranger.example")
    assert answer.status in (502, 503, 504), answer
    assert json.loads(answer.body)["status"] == answer.status


def test_operator_reaches_the_api_server_only(cluster: Cluster):
    gateway, stranger = address(cluster, GATEWAY, "inferway-gateway"), address(cluster, STRANGER, "service-python")
    places = (f"{gateway}:8080", f"{stranger}:{LISTENS}")
    code = CONNECT.replace(
        "sys.argv[1:]", "sys.argv[1:] + [__import__('os').environ['KUBERNETES_SERVICE_HOST'] + ':443']"
    )
    output = cluster.kubectl(
        "-n", OPERATOR, "exec", "deployment/inferway-operator", "--", "python", "-c", code, *places
    )
    assert output.split("\n")[:-1] == [REFUSED, REFUSED, REACHED]


def test_labelled_namespace_reaches_the_metrics(cluster: Cluster):
    """The label of docs/install.md, on the client's namespace."""
    gateway, operator = address(cluster, GATEWAY, "inferway-gateway"), address(cluster, OPERATOR, "inferway-operator")
    places = (f"{gateway}:9090", f"{operator}:9091")
    cluster.kubectl("label", "namespace", STRANGER, "inferway.dev/scrapes=allowed")
    until(
        lambda: connects(cluster, STRANGER, "deployment/service-python", *places) == [REACHED, REACHED],
        "metrics are reached",
        20,
    )
    cluster.kubectl("label", "namespace", STRANGER, "inferway.dev/scrapes-")
    until(
        lambda: connects(cluster, STRANGER, "deployment/service-python", *places) == [REFUSED, REFUSED],
        "and not without the label",
        20,
    )
