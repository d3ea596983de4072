"""2,000 routes and 500 policies: time and resources of one change, and no writes without a change."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from time import monotonic, sleep

import pytest
from control_planes import direct_response_route, limits, planes, quantile

from inferway_testing.until import until

ROUTES, POLICIES, CHANGES = 2_000, 500, 20
MOST_MEMORY = 400 << 20
MOST_SECONDS = 2.0

pytestmark = [pytest.mark.slow, pytest.mark.case("K3"), pytest.mark.timeout(1500)]


SERVICE = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "web"}, "spec": {"ports": [{"port": 80}]}}
ENDPOINTS = {
    "apiVersion": "discovery.k8s.io/v1",
    "kind": "EndpointSlice",
    "metadata": {"name": "web-1", "labels": {"kubernetes.io/service-name": "web"}},
    "addressType": "IPv4",
    "ports": [{"name": "", "port": 8080}],
    "endpoints": [{"addresses": ["192.0.2.10"], "conditions": {"ready": True}}],
}


def route(number, body="same"):
    """Return a route with three rules: a direct response, a backend with a timeout, a backend with a cache."""
    resource = direct_response_route(f"route-{number}", body, f"/r{number}")
    for way, feature in (("a", {"timeouts": {"request": "5s"}}), ("b", {"cache": {"ttl": "60s"}})):
        matches = [{"path": {"type": "Exact", "value": f"/r{number}/{way}"}}]
        resource["spec"]["rules"].append({"matches": matches, "backendRefs": [{"name": "web", "port": 80}], **feature})
    resource["spec"]["hostnames"] = [f"h{number}.example", "control.example"]
    return resource


def test_one_change_among_2000_routes_stays_within_limits(api_server, namespace, tmp_path, record_testsuite_property):
    user = api_server.user("operator-" + namespace, "system:masters")
    with planes(api_server, namespace, tmp_path) as running:
        api_server.ask("POST", f"/api/v1/namespaces/{namespace}/services", SERVICE)
        api_server.ask("POST", f"/apis/discovery.k8s.io/v1/namespaces/{namespace}/endpointslices", ENDPOINTS)
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(running.apply, map(route, range(ROUTES))))
            list(pool.map(running.apply, [limits(f"policy-{one}", f"route-{one}") for one in range(POLICIES)]))
        operator = running.operator(api_server.kubeconfig(user))
        began = monotonic()
        pod = running.pod("gateway-0")
        until(lambda: pod.serves(f"/r{ROUTES - 1}", b"same"), "all is served", 120)
        first = monotonic() - began
        running.programmed(f"route-{ROUTES - 1}", within=600)
        running.programmed(f"policy-{POLICIES - 1}", kind="RateLimitPolicy", within=600)
        await_idle(api_server, user)
        # Nothing changed, nothing is written.
        mark = api_server.mark()
        sleep(10)
        assert [one for one in api_server.writes(mark, user=user) if one.resource != "leases"] == []
        served = []
        published = []
        for number in range(CHANGES):
            before = running.documents()["inferway-config"]["index"]
            began = monotonic()
            running.apply(route(number * 97, f"change {number}"))
            until(lambda before=before: running.documents()["inferway-config"]["index"] != before, "it is published")
            published.append(monotonic() - began)
            until(lambda number=number: pod.serves(f"/r{number * 97}", f"change {number}".encode()), "it is served")
            served.append(monotonic() - began)
            running.programmed(f"route-{number * 97}")
        figures = {
            "first document, s": first,
            "published, p50 s": quantile(published, 0.5),
            "published, longest s": max(published),
            "served, p50 s": quantile(served, 0.5),
            "served, longest s": max(served),
            "operator, MB": operator.resident() / 1e6,
            "data plane, MB": pod.process.resident() / 1e6,
            "largest shard, bytes": max(len(data.get("shard", "")) for data in running.documents().values()),
        }
        for name, value in figures.items():
            record_testsuite_property(name, round(value, 3))
        print(figures)
        assert max(published) <= MOST_SECONDS
        assert operator.resident() <= MOST_MEMORY
        assert figures["largest shard, bytes"] < 1 << 20


def await_idle(api_server, user):
    """Wait until the operator writes only its Lease for three seconds."""
    deadline = monotonic() + 300
    while monotonic() < deadline:
        mark = api_server.mark()
        sleep(3)
        if not [one for one in api_server.writes(mark, user=user) if one.resource != "leases"]:
            return
    raise AssertionError("the operator does not stop writing")
