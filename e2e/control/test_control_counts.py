"""Writes counted at the API server: one change causes writes of one object only."""

from __future__ import annotations

from time import monotonic, sleep

import pytest
from control_planes import direct_response_route, limits, planes

from inferway_envtest.client import Refused
from inferway_testing.until import until

QUIET = 3.0
"""Seconds after a change until its effects are complete; also the length of a required pause without writes."""


@pytest.fixture
def two_pods(api_server, namespace, tmp_path):
    """Start an operator and two pods, each as a separate user, with three routes and a policy, all programmed."""
    operator = api_server.user("operator-of-" + namespace, "system:masters")
    with planes(api_server, namespace, tmp_path) as running:
        running.apply(
            *(direct_response_route(f"route-{number}", "same", f"/{number}") for number in range(3)),
            limits("policy", "route-0"),
        )
        running.operator(api_server.kubeconfig(operator))
        for number in range(2):
            running.pod(f"gateway-{number}")
        for number in range(3):
            running.programmed(f"route-{number}")
        running.programmed("policy", kind="RateLimitPolicy")
        running.writer = operator
        yield running


def await_idle(planes_of_test, mark):
    """Wait until the operator writes only its Lease; returns its writes since the mark."""
    api, writer = planes_of_test.api, planes_of_test.writer

    def written():
        return [one for one in api.writes(mark, user=writer) if one.resource != "leases"]

    deadline = monotonic() + 30
    seen = written()
    while monotonic() < deadline:
        sleep(QUIET)
        now = written()
        if len(now) == len(seen):
            return now
        seen = now
    raise AssertionError(f"it does not stop writing: {seen[-5:]}")


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_one_change_writes_the_status_of_one_object(two_pods):
    await_idle(two_pods, two_pods.api.mark())
    mark = two_pods.api.mark()
    assert await_idle(two_pods, mark) == []  # nothing changed, nothing is written
    two_pods.apply(direct_response_route("route-1", "changed", "/1"))
    two_pods.programmed("route-1")
    written = await_idle(two_pods, mark)
    statuses = [one for one in written if one.resource.endswith("/status")]
    assert {one.name for one in statuses} == {"route-1"}
    documents = [one.name for one in written if one.resource == "configmaps" and one.verb != "delete"]
    assert documents.count("inferway-config") == 1
    assert "inferway-endpoints" not in documents
    assert len(documents) == 2  # one shard, and the index


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_restarted_pod_causes_no_status_write(two_pods):
    await_idle(two_pods, two_pods.api.mark())
    before = {name: two_pods.get("GatewayRoute", name) for name in ("route-0", "route-1", "route-2")}
    mark = two_pods.api.mark()
    two_pods.api.set_pod(two_pods.namespace, two_pods.pods[0].name, is_ready=False)
    two_pods.restart(two_pods.pods[0])
    until(lambda: two_pods.pods[0].serves("/1", b"same"), "it serves again")
    await_idle(two_pods, mark)
    assert [one for one in two_pods.api.writes(mark, user=two_pods.writer) if one.resource.endswith("/status")] == []
    assert {name: two_pods.get("GatewayRoute", name) for name in before} == before


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_joining_and_leaving_pods_cause_no_status_write(two_pods):
    await_idle(two_pods, two_pods.api.mark())
    mark = two_pods.api.mark()
    newcomer = two_pods.pod("gateway-new")
    until(lambda: newcomer.serves("/1", b"same"), "the new one serves")
    newcomer.process.stop()
    two_pods.api.ask("DELETE", f"/api/v1/namespaces/{two_pods.namespace}/pods/{newcomer.name}?gracePeriodSeconds=0")
    await_idle(two_pods, mark)
    assert [one for one in two_pods.api.writes(mark, user=two_pods.writer) if one.resource.endswith("/status")] == []


@pytest.mark.timeout(120)
@pytest.mark.parametrize("what", ["route", "policy"])
def test_deleted_object_leaves_traffic_within_two_seconds(two_pods, what):
    if what == "route":
        two_pods.api.ask("DELETE", two_pods.path("GatewayRoute", "route-2"))
        for pod in two_pods.pods:
            until(lambda pod=pod: pod.get("/2")[0] == 404, f"{pod.name} has forgotten the route", 2.0)
    else:
        two_pods.apply(limits("policy", "route-0", requests=0))
        for pod in two_pods.pods:
            until(lambda pod=pod: pod.get("/0")[0] == 429, f"{pod.name} refuses")
        two_pods.api.ask("DELETE", two_pods.path("RateLimitPolicy", "policy"))
        for pod in two_pods.pods:
            until(lambda pod=pod: pod.get("/0")[0] == 200, f"{pod.name} has forgotten the policy", 2.0)
    assert two_pods.api.ask("GET", two_pods.path("GatewayRoute"))["items"] != []


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_deleted_namespace_leaves_traffic_within_two_seconds(api_server, namespace, tmp_path):
    other = f"{namespace}-other"
    api_server.ask("POST", "/api/v1/namespaces", {"metadata": {"name": other}})
    with planes(api_server, namespace, tmp_path) as running:
        running.operator(also=[other])
        running.apply(direct_response_route("kept", "kept", "/kept"))
        elsewhere = f"/apis/inferway.dev/v1alpha1/namespaces/{other}/gatewayroutes"
        api_server.ask("POST", elsewhere, direct_response_route("gone", "there", "/gone"))
        pod = running.pod("gateway-0")
        until(lambda: pod.serves("/gone", b"there"), "the route of the other namespace is served")
        api_server.ask("DELETE", f"/api/v1/namespaces/{other}")
        until(lambda: pod.get("/gone")[0] == 404, "its traffic is gone", 2.0)
        assert pod.get("/kept") == (200, b"kept")

        def is_away():
            try:
                api_server.ask("GET", f"/api/v1/namespaces/{other}")
            except Refused as refused:
                return refused.code == 404
            return False

        until(is_away, "no finalizer holds the namespace", 40.0)
