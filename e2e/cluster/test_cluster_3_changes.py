"""Changes through the API server: the time until every pod has them; invalid ones affect nothing else."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from time import monotonic

import pytest

from e2e.cluster.access import Cluster, route
from e2e.cluster.traffic import steady_traffic
from inferway_testing.until import until

pytestmark = pytest.mark.timeout(300)

PLACE = "inferway-changes"
HOST = "changes.example"
CHANGES = 50
WITHIN = 2.0
"""Seconds (p99) from a change until every pod serves it and the status reports it."""
STREAK = 12
"""Consecutive answers, each on a new connection, that must be the new one. Two pods share them by chance, so a pod without
the change stays undetected once in 4,096 checks."""


@pytest.fixture(scope="module", autouse=True)
def namespace_without_policy(cluster: Cluster) -> Iterator[None]:
    """Create a namespace without a rate limit policy."""
    cluster.kubectl("create", "namespace", PLACE)
    yield
    cluster.kubectl("delete", "namespace", PLACE, "--timeout=100s")
    until(lambda: cluster.ask("/", HOST).status == 404, "its routes are gone", 5)


@pytest.fixture
def changed_route(cluster: Cluster) -> str:
    """Create a route for these tests."""
    cluster.apply(route("changed", PLACE, HOST, "begin"))
    until(lambda: cluster.is_programmed("gwr", PLACE, "changed"), "the route is programmed", 60)
    return "changed"


def test_changes_reach_all_pods_in_time(cluster: Cluster, changed_route: str, figures: Callable[[str], None]):
    """Measure from the end of the write, without the start of kubectl."""
    served, programmed = [], []
    for number in range(CHANGES):
        body = f"change {number}"
        cluster.apply(route(changed_route, PLACE, HOST, body))
        began = monotonic()
        status = threading.Thread(target=_await_status, args=(cluster, changed_route, body, began, programmed))
        status.start()
        until(lambda body=body: all(cluster.ask("/", HOST).body == body.encode() for _ in range(STREAK)), body, 10.0)
        served.append(monotonic() - began)
        status.join(15)
    assert len(programmed) == CHANGES
    for name, took in (("served by all", served), ("Programmed", programmed)):
        took.sort()
        figures(f"{name}: median {took[CHANGES // 2]:.2f} s, p99 {took[int(CHANGES * 0.99)]:.2f} s")
    assert max(served[-1], programmed[-1]) <= WITHIN


def _await_status(cluster: Cluster, name: str, body: str, began: float, programmed: list[float]) -> None:
    until(lambda: cluster.is_programmed("gwr", PLACE, name), f"{body} is programmed", 10)
    programmed.append(monotonic() - began)


WRONG = {
    "a status that there is not": ("statusCode: 200", "statusCode: 99", "statusCode"),
    "a name that there is not": ("directResponse:", "directAnswer:", "directAnswer"),
    "a type that there is not": ("type: DirectResponse", "type: DirectReply", "DirectReply"),
    "a host that is none": ("hostnames: [wrong.example]", "hostnames: ['not a host']", "hostnames"),
    "a word for a number": ("statusCode: 200", "statusCode: fine", "statusCode"),
}


@pytest.mark.parametrize("name", WRONG)
def test_invalid_resource_is_rejected_with_a_message(cluster: Cluster, name: str):
    right, wrong, word = WRONG[name]
    text = route("wrong", PLACE, "wrong.example", "x")
    assert right in text
    rejection = cluster.attempt("apply", "-f", "-", given=text.replace(right, wrong))
    print(rejection.stderr)
    assert rejection.returncode != 0
    assert word in rejection.stderr


def test_invalid_pattern_and_missing_service_show_in_status(
    cluster: Cluster, changed_route: str, figures: Callable[[str], None]
):
    """An invalid pattern and a missing Service: each is reported, fails closed, and affects no other route."""
    with steady_traffic(cluster.port, "/", HOST, rate=100) as traffic:
        cluster.apply(BROKEN)
        accepted = until(lambda: cluster.condition("gwr", PLACE, "broken-pattern", "Accepted"), "a verdict", 10)
        print(accepted["message"])
        assert accepted["status"] == "False"
        assert "rules[0].matches[0].path.value" in accepted["message"]
        resolved = until(lambda: cluster.condition("gwr", PLACE, "broken-backend", "ResolvedRefs"), "a verdict", 10)
        print(resolved["message"])
        assert resolved["status"] == "False"
        assert "nobody" in resolved["message"]
        # Each rejects its own traffic; that of an invalid pattern is what begins with the part that can be read.
        until(lambda: cluster.ask("/", "broken-backend.example").status == 500, "it is refused", 5)
        assert cluster.ask("/a", "broken-pattern.example").status == 500
    figures(str(traffic))
    assert not traffic.failures


BROKEN = f"""
apiVersion: inferway.dev/v1alpha1
kind: GatewayRoute
metadata: {{name: broken-pattern, namespace: {PLACE}}}
spec:
  hostnames: [broken-pattern.example]
  rules:
  - matches: [{{path: {{type: RegularExpression, value: "/(a"}}}}]
    backendRefs: [{{name: service-python, port: 8000}}]
---
apiVersion: inferway.dev/v1alpha1
kind: GatewayRoute
metadata: {{name: broken-backend, namespace: {PLACE}}}
spec:
  hostnames: [broken-backend.example]
  rules:
  - backendRefs: [{{name: nobody, port: 80}}]
"""
