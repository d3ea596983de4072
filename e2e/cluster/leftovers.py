"""Removes the objects left by tests, above all by a failed one, before the next test."""

from __future__ import annotations

from typing import Final

from e2e.cluster.access import GATEWAY, OPERATOR, Cluster
from inferway_testing.until import until

NAMESPACES: Final = (
    "inferway-changes",
    "inferway-e2e",
    "inferway-stranger",
    "inferway-load",
    "inferway-monitoring",
    "bad-input",
    "team-a",
    "team-b",
    "team-hostile",
    "inferway-releases",
)
SECOND_GATEWAY: Final = "manifests/overlays/second-gateway"
CLUSTER_WIDE: Final = "clusterrole/inferway-e2e-prometheus", "clusterrolebinding/inferway-e2e-prometheus"


def clear(cluster: Cluster) -> None:
    """Delete the suite's namespaces and roles, and its additions to those of the planes."""
    cluster.kubectl("delete", "namespace", *NAMESPACES, "--ignore-not-found", "--timeout=120s")
    cluster.kubectl("delete", *CLUSTER_WIDE, "--ignore-not-found")
    cluster.kubectl("delete", "-k", SECOND_GATEWAY, "--ignore-not-found", "--wait", "--timeout=120s")
    for namespace in (GATEWAY, OPERATOR):
        cluster.kubectl("delete", "networkpolicies,horizontalpodautoscalers", "--all", "-n", namespace)


def restore(cluster: Cluster) -> None:
    """Restore both planes to the state after `make cluster`, without objects of these tests."""
    clear(cluster)
    cluster.install("manifests/overlays/dev")  # with its number of pods
    for namespace in (OPERATOR, GATEWAY):
        cluster.await_rollout(namespace)
    until(lambda: len(cluster.items("pods", "-n", GATEWAY)) == len(cluster.gateway_pods()) == 2, "two pods", 90)
