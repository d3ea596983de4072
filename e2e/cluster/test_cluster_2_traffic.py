"""Traffic through the Service, from outside the cluster and from within; limits and cache, seen in headers and in metrics."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import count

import pytest

from e2e.cluster.access import DEMO, GATEWAY, Cluster
from e2e.cluster.leftovers import restore
from inferway_testing.until import until

pytestmark = pytest.mark.timeout(120)

INSIDE = "http://inferway-gateway.inferway-system.svc.cluster.local"
ASK = """
import json, urllib.request
answer = urllib.request.urlopen(%r, timeout=10)
print(json.dumps([answer.status, {n.lower(): v for n, v in answer.headers.items()}]))
"""
METRICS = (
    "import urllib.request; print(urllib.request.urlopen('http://127.0.0.1:9090/metrics', timeout=10).read().decode())"
)


def metric(cluster: Cluster, name: str, *labels: str) -> float:
    """Return the sum, over all pods, of a counter's samples with these labels (`outcome="hit"`)."""
    total = 0.0
    for pod in cluster.gateway_pods():
        for line in cluster.run_python(GATEWAY, f"pod/{pod}", METRICS).splitlines():
            if line.startswith(name) and line[len(name)] in "{ " and all(label in line for label in labels):
                total += float(line.rpartition(" ")[2])
    return total


def test_request_from_outside_the_cluster_is_served(cluster: Cluster):
    answer = cluster.ask("/infer?prompt=outside")
    assert answer.status == 200
    assert answer.headers["x-cache"] in ("MISS", "HIT")
    assert answer.headers["ratelimit"]
    assert cluster.ask("/nowhere").status == 404
    assert cluster.ask("/healthz").status == 404, "the admin port's paths are not served to clients"


def test_request_from_within_the_cluster_is_served(cluster: Cluster):
    """Send a request to the Service's name from a pod of another namespace."""
    port = cluster.get("service", "inferway-gateway", "-n", GATEWAY)["spec"]["ports"][0]["port"]
    output = cluster.run_python(DEMO, "deployment/service-python", ASK % f"{INSIDE}:{port}/infer?prompt=inside")
    status, headers = json.loads(output)
    assert status == 200
    assert headers["x-cache"] in ("MISS", "HIT")


def test_second_response_comes_from_the_cache(cluster: Cluster, figures: Callable[[str], None]):
    """Repeat the request, because each pod has a separate cache: the second request may be another pod's first."""
    before = metric(cluster, "cache_hits_total")
    hit = until(lambda: (a := cluster.ask("/infer?prompt=kept")).headers.get("x-cache") == "HIT" and a, "a hit", 20)
    assert int(hit.headers["age"]) >= 0
    assert metric(cluster, "cache_hits_total") > before


def test_client_over_its_rate_limit_gets_429(cluster: Cluster, figures: Callable[[str], None]):
    """Exceed a client's 20 a second and 40 at once in both pods."""
    before = metric(cluster, "rate_limit_dropped_total")
    with ThreadPoolExecutor(16) as clients:
        burst = list(clients.map(lambda number: cluster.ask(f"/infer?prompt=burst-{number}"), range(400)))
    rejected = [answer for answer in burst if answer.status == 429]
    figures(f"{len(rejected)} of {len(burst)} refused")
    assert rejected
    assert {answer.status for answer in burst} == {200, 429}
    for answer in rejected:
        assert int(answer.headers["retry-after"]) >= 1
        assert json.loads(answer.body)["status"] == 429
    assert metric(cluster, "rate_limit_dropped_total") - before >= len(rejected)
    until(lambda: cluster.ask("/infer?prompt=kept").status == 200, "the bucket is filled again", 10)


def test_second_service_is_served_read_only(cluster: Cluster):
    """Only GET reaches service-node behind the same gateway."""
    answer = cluster.ask("/logs")
    assert answer.status == 200
    assert "lines" in json.loads(answer.body)
    assert cluster.ask("/logs", method="POST").status == 404


@pytest.fixture
def shipping(cluster: Cluster) -> Iterator[None]:
    """Add the component ship-access-log to the overlay."""
    try:
        cluster.install("e2e/cluster/shipping")
        cluster.await_rollout(GATEWAY)
        yield
    finally:
        restore(cluster)


def test_access_log_arrives_at_service_node(cluster: Cluster, shipping: None):
    """The sidecar ships the log to service-node; the test reads it there through the gateway."""
    number = count(1)

    def is_there() -> bool:
        cluster.ask(f"/infer/shipped-{next(number)}")
        lines = json.loads(cluster.ask("/logs?limit=1000").body or "{}").get("lines", ())
        return any(str(line.get("path", "")).startswith("/infer/shipped-") for line in lines)

    until(is_there, "a request stands in the log of service-node", 30)
