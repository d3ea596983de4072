"""Tenants of one gateway, and a second gateway: what one of them writes costs the others nothing that they notice."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from time import monotonic, sleep

import pytest

from e2e.cluster.access import GATEWAY, OPERATOR, Cluster, route
from e2e.cluster.breaking import restarts
from e2e.cluster.tenants import (
    HOSTILE,
    NEIGHBOUR,
    SECOND,
    SECOND_OPERATOR,
    SEPARATE,
    as_user,
    ask_second,
    installed,
    installed_by_helm,
    publish,
    shipped_objects,
    write,
)
from e2e.cluster.traffic import steady_traffic
from e2e.control import costly_specs as costly
from inferway_testing.until import until

pytestmark = pytest.mark.timeout(300)

HOST = "a.example"
SECOND_HOST = "b.example"
SERVED_WITHIN = 1.5
"""Seconds from the end of a neighbour's write to its answer; with one tenant alone about 0.3."""
LONGEST_ANSWER = 1.0
"""Seconds; the cluster, its clients and both gateways share two cores here."""
CHANGES = 8


@pytest.fixture(scope="module", autouse=True)
def two_gateways(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Install the second gateway and the tenants, with a route of each but the hostile one."""
    with installed(cluster, tmp_path_factory.mktemp("tenants")):
        publish(cluster, NEIGHBOUR, HOST, "a")
        publish(cluster, SEPARATE, SECOND_HOST, "b")
        until(lambda: cluster.ask("/", HOST).body == b"a", "the first gateway serves its tenant", 20)
        yield


def test_each_gateway_serves_its_own_tenants(cluster: Cluster, figures: Callable[[str], None]):
    """Each has its own operator and pods; no status is written in turn by two operators."""
    served = ask_second(cluster, 2.0, SECOND_HOST, "b")
    figures(f"second gateway: {served}")
    assert served["requests"] > 10
    assert served["failures"] == []
    assert ask_second(cluster, 0.2, HOST, "a")["failures"][0].startswith("404")
    assert cluster.ask("/", SECOND_HOST).status == 404
    leases = cluster.items("leases", "-n", SECOND_OPERATOR) + cluster.items("leases", "-n", OPERATOR)
    assert len({lease["spec"]["holderIdentity"] for lease in leases}) == len(leases) == 2
    versions = [cluster.get("gwr", "main", "-n", tenant)["metadata"]["resourceVersion"] for tenant in (NEIGHBOUR, SEPARATE)]  # fmt: skip
    sleep(6)  # longer than a renewal of every Lease
    assert versions == [cluster.get("gwr", "main", "-n", tenant)["metadata"]["resourceVersion"] for tenant in (NEIGHBOUR, SEPARATE)]  # fmt: skip


@pytest.mark.parametrize(
    ("account", "verb", "what", "namespace", "allowed"),
    [
        ("reader", "list", "gatewayroutes.inferway.dev", NEIGHBOUR, True),
        ("reader", "get", "ratelimitpolicies.inferway.dev", NEIGHBOUR, True),
        ("reader", "create", "gatewayroutes.inferway.dev", NEIGHBOUR, False),
        ("author", "patch", "ratelimitpolicies.inferway.dev", NEIGHBOUR, True),
        ("author", "delete", "gatewayroutes.inferway.dev", NEIGHBOUR, True),
        ("author", "patch", "gatewayroutes.inferway.dev/status", NEIGHBOUR, False),
        ("author", "get", "gatewayroutes.inferway.dev", HOSTILE, False),
        ("author", "get", "configmaps", GATEWAY, False),
        ("author", "patch", "leases.coordination.k8s.io", SECOND, False),
    ],
)
def test_kubernetes_roles_cover_the_resources(
    cluster: Cluster, account: str, verb: str, what: str, namespace: str, *, allowed: bool
):
    resource, _, part = what.partition("/")
    arguments = ("auth", "can-i", verb, resource, *((f"--subresource={part}",) if part else ()), "-n", namespace)
    answer = cluster.attempt(*arguments, as_user(NEIGHBOUR, account)).stdout.strip()
    assert answer == ("yes" if allowed else "no")


HARM = {
    "patterns": lambda: [costly.header_patterns(costly.PATTERNS[0], 1024)],
    "cheap patterns": lambda: [costly.fitted(lambda n: costly.header_patterns("", n), costly.MOST_CONDITIONS)],
    "hostnames times matches": lambda: [costly.fitted(costly.products, costly.MOST_MATCHES)],
    "policies": lambda: costly.of_policies(30, 3),
}


@pytest.mark.parametrize("name", HARM)
def test_hostile_tenant_delays_nobody(cluster: Cluster, name: str, figures: Callable[[str], None]):
    """The largest specs, written while the neighbour changes its route and both gateways have traffic."""
    written = HARM[name]()
    before = restarts(cluster)
    took = []
    with ThreadPoolExecutor(1) as pool, steady_traffic(cluster.port, "/", HOST, rate=100) as traffic:
        second = pool.submit(ask_second, cluster, 8.0, SECOND_HOST, "b")
        write(cluster, HOSTILE, *written)
        for number in range(CHANGES):
            body = f"{name} {number}"
            write(cluster, NEIGHBOUR, route("changing", NEIGHBOUR, "changing.example", body))
            began = monotonic()
            until(lambda body=body: cluster.ask("/", "changing.example").body == body.encode(), body, 10)
            took.append(monotonic() - began)
        aside = second.result()
    figures(f"{traffic}; changes within {max(took):.2f} s; second gateway: {aside}")
    first = written[0]
    kind = {"GatewayRoute": "gwr", "RateLimitPolicy": "rlp"}[first["kind"]]
    until(
        lambda: cluster.condition(kind, HOSTILE, first["metadata"]["name"], "Accepted"), "the hostile one is judged", 20
    )
    cluster.kubectl("delete", "gwr,rlp", "--all", "-n", HOSTILE)
    assert traffic.failures == []
    assert max(traffic.durations) <= LONGEST_ANSWER
    assert max(took) <= SERVED_WITHIN
    assert aside["failures"] == []
    assert restarts(cluster) == before


def test_taken_path_is_reported_to_both_tenants(cluster: Cluster):
    """A younger route of another namespace takes a path of the neighbour's host by a longer match."""
    rule = {"matches": [{"path": {"type": "Exact", "value": "/login"}}], "filters": [costly.ANSWER]}
    write(cluster, HOSTILE, costly.route("taker", [rule], (HOST,)))
    for tenant, name, other in ((NEIGHBOUR, "main", f"{HOSTILE}/taker"), (HOSTILE, "taker", f"{NEIGHBOUR}/main")):
        said = until(
            lambda tenant=tenant, name=name: cluster.condition("gwr", tenant, name, "Overlaps"),
            f"{tenant} sees the overlap",
            20,
        )
        assert said["status"] == "True"
        assert other in said["message"]
    cluster.kubectl("delete", "gwr", "taker", "-n", HOSTILE)
    until(lambda: not cluster.condition("gwr", NEIGHBOUR, "main", "Overlaps"), "the overlap is gone", 20)


def test_helm_installs_the_same_second_gateway(cluster: Cluster, helm: Path, tmp_path: Path):
    """The last test: afterwards there is no second gateway."""
    with installed_by_helm(cluster, helm, tmp_path) as objects:
        assert objects == shipped_objects(cluster)
        for namespace in (SECOND_OPERATOR, SECOND):
            cluster.await_rollout(namespace)
        until(lambda: ask_second(cluster, 0.2, SECOND_HOST, "b")["failures"] == [], "the release serves", 30)
    assert cluster.ask("/", HOST).body == b"a", "the first gateway does not notice"
