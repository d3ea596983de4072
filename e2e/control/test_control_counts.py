"""Who writes what, counted at the API server: one change is one object's business."""

from __future__ import annotations

from time import monotonic, sleep

import pytest
from control_planes import limits, planes, says, until

from inferway_envtest.client import Refused

QUIET = 3.0
"""Seconds in which everything that a change brings about has happened, and in which nothing may happen."""


@pytest.fixture
def two(api_server, namespace, tmp_path):
    """An operator and two pods, each party a user of its own, with three routes and a policy that are all programmed."""
    operator = api_server.user("operator-of-" + namespace, "system:masters")
    with planes(api_server, namespace, tmp_path) as made:
        made.apply(*(says(f"route-{number}", "same", f"/{number}") for number in range(3)), limits("policy", "route-0"))
        made.operator(api_server.kubeconfig(operator))
        for number in range(2):
            made.pod(f"gateway-{number}")
        for number in range(3):
            made.programmed(f"route-{number}")
        made.programmed("policy", kind="RateLimitPolicy")
        made.writer = operator
        yield made


def rest(planes_of_test, mark):
    """Wait until the operator writes nothing but its own Lease any more; returns what it wrote since the mark."""
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
def test_one_change_writes_the_status_of_one_object(two):
    rest(two, two.api.mark())
    mark = two.api.mark()
    assert rest(two, mark) == []  # nothing changed, nothing is written
    two.apply(says("route-1", "changed", "/1"))
    two.programmed("route-1")
    written = rest(two, mark)
    statuses = [one for one in written if one.resource.endswith("/status")]
    assert {one.name for one in statuses} == {"route-1"}
    documents = [one.name for one in written if one.resource == "configmaps" and one.verb != "delete"]
    assert documents.count("inferway-config") == 1
    assert "inferway-endpoints" not in documents
    assert len(documents) == 2  # one shard, and the index


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_a_pod_that_restarts_writes_no_status(two):
    rest(two, two.api.mark())
    before = {name: two.get("GatewayRoute", name) for name in ("route-0", "route-1", "route-2")}
    mark = two.api.mark()
    two.api.set_pod(two.namespace, two.pods[0].name, is_ready=False)
    two.restart(two.pods[0])
    until(lambda: two.pods[0].serves("/1", b"same"), "it serves again")
    rest(two, mark)
    assert [one for one in two.api.writes(mark, user=two.writer) if one.resource.endswith("/status")] == []
    assert {name: two.get("GatewayRoute", name) for name in before} == before


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_pods_that_come_and_go_write_no_route_s_status(two):
    rest(two, two.api.mark())
    mark = two.api.mark()
    newcomer = two.pod("gateway-new")
    until(lambda: newcomer.serves("/1", b"same"), "the new one serves")
    newcomer.process.stop()
    two.api.ask("DELETE", f"/api/v1/namespaces/{two.namespace}/pods/{newcomer.name}?gracePeriodSeconds=0")
    rest(two, mark)
    assert [one for one in two.api.writes(mark, user=two.writer) if one.resource.endswith("/status")] == []


@pytest.mark.timeout(120)
@pytest.mark.parametrize("what", ["route", "policy"])
def test_what_is_deleted_is_gone_within_two_seconds(two, what):
    if what == "route":
        two.api.ask("DELETE", two.path("GatewayRoute", "route-2"))
        for pod in two.pods:
            until(lambda pod=pod: pod.get("/2")[0] == 404, f"{pod.name} has forgotten the route", 2.0)
    else:
        two.apply(limits("policy", "route-0", requests=0))
        for pod in two.pods:
            until(lambda pod=pod: pod.get("/0")[0] == 429, f"{pod.name} refuses")
        two.api.ask("DELETE", two.path("RateLimitPolicy", "policy"))
        for pod in two.pods:
            until(lambda pod=pod: pod.get("/0")[0] == 200, f"{pod.name} has forgotten the policy", 2.0)
    assert two.api.ask("GET", two.path("GatewayRoute"))["items"] != []


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_a_deleted_namespace_is_gone_from_traffic_within_two_seconds(api_server, namespace, tmp_path):
    other = f"{namespace}-other"
    api_server.ask("POST", "/api/v1/namespaces", {"metadata": {"name": other}})
    with planes(api_server, namespace, tmp_path) as made:
        made.operator(also=[other])
        made.apply(says("kept", "kept", "/kept"))
        elsewhere = f"/apis/inferway.dev/v1alpha1/namespaces/{other}/gatewayroutes"
        api_server.ask("POST", elsewhere, says("gone", "there", "/gone"))
        pod = made.pod("gateway-0")
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
