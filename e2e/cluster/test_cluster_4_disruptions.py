"""Disruptions of pods under 200 requests a second: no request may fail, except at a killed pod."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from time import monotonic, sleep

import pytest

from e2e.cluster import workload
from e2e.cluster.access import GATEWAY, OPERATOR, Cluster, route
from e2e.cluster.leftovers import restore
from e2e.cluster.traffic import steady_traffic
from inferway_testing.until import until

pytestmark = pytest.mark.timeout(400)

Figures = Callable[[str], None]
OPERATOR_AWAY = 120.0  # seconds
SETTLED = 3.0
"""Seconds of traffic before and after the disruption."""


@pytest.fixture(scope="module", autouse=True)
def load(cluster: Cluster) -> Iterator[None]:
    """Install a route and its upstream."""
    try:
        workload.install(cluster)
        yield
    finally:
        restore(cluster)


@pytest.fixture(autouse=True)
def restored_scale(cluster: Cluster) -> Iterator[None]:
    """Restore the number of pods after the test."""
    yield
    cluster.kubectl("-n", GATEWAY, "scale", "deployment/inferway-gateway", "--replicas=2")
    cluster.kubectl("-n", OPERATOR, "scale", "deployment/inferway-operator", "--replicas=1")
    for namespace in (GATEWAY, OPERATOR):
        cluster.await_rollout(namespace)
    until(lambda: len(cluster.items("pods", "-n", GATEWAY)) == len(cluster.gateway_pods()) == 2, "two pods", 90)


def roll(cluster: Cluster, namespace: str, deployment: str) -> float:
    """Replace all pods; returns the seconds until the last old one is gone."""
    began = monotonic()
    app = f"app.kubernetes.io/name={deployment}"
    old = {pod["metadata"]["name"] for pod in cluster.items("pods", "-n", namespace, "-l", app)}
    cluster.kubectl("-n", namespace, "rollout", "restart", f"deployment/{deployment}")
    cluster.await_rollout(namespace, deployment)
    until(
        lambda: old.isdisjoint(pod["metadata"]["name"] for pod in cluster.items("pods", "-n", namespace, "-l", app)),
        "the old pods are gone",
        90,
    )
    return monotonic() - began


def test_rollout_of_the_data_plane_loses_no_request(cluster: Cluster, figures: Figures):
    with steady_traffic(cluster.port, workload.PATH, workload.HOST) as traffic:
        sleep(SETTLED)
        took = roll(cluster, GATEWAY, "inferway-gateway")
        sleep(SETTLED)
    figures(f"rolled in {took:.0f} s: {traffic}")
    assert not traffic.failures, traffic.failures[:10]
    until(lambda: cluster.is_programmed("gwr", workload.NAMESPACE, "load"), "programmed by the new pods", 20)


def test_rollout_of_the_operator_loses_no_request(cluster: Cluster, figures: Figures):
    """A change during the rollout is served soon after."""
    with steady_traffic(cluster.port, workload.PATH, workload.HOST) as traffic:
        sleep(SETTLED)
        took = roll(cluster, OPERATOR, "inferway-operator")
        cluster.apply(route("after", workload.NAMESPACE, "after.example", "rolled"))
        began = monotonic()
        until(lambda: cluster.ask("/", "after.example").body == b"rolled", "a change is served", 20)
        changed = monotonic() - began
        sleep(SETTLED)
    figures(f"rolled in {took:.0f} s, a change served {changed:.1f} s later: {traffic}")
    assert not traffic.failures, traffic.failures[:10]


def test_rollout_of_the_upstream_loses_no_request(cluster: Cluster, figures: Figures):
    """Its pods end while requests are in flight: the gateway learns of it before they stop listening."""
    with steady_traffic(cluster.port, workload.PATH, workload.HOST) as traffic:
        sleep(SETTLED)
        took = roll(cluster, workload.NAMESPACE, "service-python")
        sleep(SETTLED)
    figures(f"rolled in {took:.0f} s: {traffic}")
    assert not traffic.failures, traffic.failures[:10]


def served_pods(cluster: Cluster) -> str:
    """Return the number of pods that serve the present route `served_pods`, and of all pods."""
    if not cluster.is_programmed("gwr", workload.NAMESPACE, "counted"):
        return ""
    return str(cluster.get("gwr", "counted", "-n", workload.NAMESPACE)["status"]["dataPlane"]["pods"])


def test_scaling_of_the_data_plane_loses_no_request(cluster: Cluster, figures: Figures):
    """Scale 1 -> 4 -> 2."""
    cluster.kubectl("-n", GATEWAY, "scale", "deployment/inferway-gateway", "--replicas=1")
    until(lambda: len(cluster.items("pods", "-n", GATEWAY)) == 1, "one pod is left", 90)
    with steady_traffic(cluster.port, workload.PATH, workload.HOST) as traffic:
        sleep(SETTLED)
        began = monotonic()
        for replicas in (4, 2):
            cluster.kubectl("-n", GATEWAY, "scale", "deployment/inferway-gateway", f"--replicas={replicas}")
            until(
                lambda replicas=replicas: (
                    len(cluster.gateway_pods()) == len(cluster.items("pods", "-n", GATEWAY)) == replicas
                ),
                f"{replicas} pods",
                90,
            )
            # A status counts the pods that existed when its object was programmed, so the test makes a change.
            cluster.apply(route("counted", workload.NAMESPACE, "counted.example", f"by {replicas}"))
            until(
                lambda replicas=replicas: served_pods(cluster) == f"{replicas}/{replicas}", f"{replicas}/{replicas}", 30
            )
        took = monotonic() - began
        sleep(SETTLED)
    figures(f"1 -> 4 -> 2 in {took:.0f} s: {traffic}")
    assert not traffic.failures, traffic.failures[:10]


def test_killed_pod_recovers_from_its_last_good_copy(cluster: Cluster, figures: Figures):
    """After SIGKILL only its requests, and new connections until the node detects it, are lost.

    The container restarts from its last good copy.
    """
    victim = cluster.gateway_pods()[0]
    with steady_traffic(cluster.port, workload.PATH, workload.HOST) as traffic:
        sleep(SETTLED)
        began = monotonic()
        cluster.kill_and_await(GATEWAY, victim)
        took = monotonic() - began
        done = len(traffic.failures)
        sleep(2 * SETTLED)
    figures(f"back after {took:.1f} s: {traffic}")
    assert len(traffic.failures) <= traffic.requests * 0.02, traffic.failures[:10]
    assert len(traffic.failures) == done, f"after it was back: {traffic.failures[done:]}"


def test_traffic_continues_while_the_operator_is_down(cluster: Cluster, figures: Figures):
    """For two minutes traffic continues; a killed pod and a new one serve the last published config.

    Changes made meanwhile are served when the operator is back.
    """
    cluster.kubectl("-n", OPERATOR, "scale", "deployment/inferway-operator", "--replicas=0")
    until(lambda: not cluster.items("pods", "-n", OPERATOR), "the operator is gone", 60)
    began = monotonic()
    cluster.apply(route("away", workload.NAMESPACE, "away.example", "back"))
    killed, replaced = cluster.gateway_pods()
    with steady_traffic(cluster.port, workload.PATH, workload.HOST) as traffic:
        sleep(SETTLED)
        cluster.kubectl("-n", GATEWAY, "delete", "pod", replaced, "--wait=false")
        until(lambda: len(set(cluster.gateway_pods()) - {replaced}) == 2, "a new pod is ready", 60)
        lost = len(traffic.failures)
        cluster.kill_and_await(GATEWAY, killed)
        back = len(traffic.failures)
        while monotonic() - began < OPERATOR_AWAY:
            sleep(0.5)
        assert cluster.ask("/", "away.example").status == 404, "the change is not published"
        cluster.kubectl("-n", OPERATOR, "scale", "deployment/inferway-operator", "--replicas=1")
        returned = monotonic()
        until(lambda: cluster.ask("/", "away.example").body == b"back", "what was changed is served", 60)
        took = monotonic() - returned
        sleep(SETTLED)
    figures(f"away {OPERATOR_AWAY:.0f} s, caught up {took:.1f} s after it was to return: {traffic}")
    assert lost == 0, traffic.failures[:10]
    assert len(traffic.failures) == back, traffic.failures[back:]
    assert len(traffic.failures) <= traffic.requests * 0.02
