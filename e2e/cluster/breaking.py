"""Breaks a cluster, reads the reports of its pods, and repairs it with the commands of docs/install.md."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from time import monotonic
from typing import Any, Final

import urllib3

from e2e.cluster.access import DEMO, GATEWAY, JSON, OPERATOR, ROOT, Cluster, is_ready, route
from inferway_testing.until import until

OVERLAY: Final = "manifests/overlays/dev"
SAMPLES: Final = "manifests/samples"
SAMPLED: Final = (("gwr", "infer"), ("gwr", "logs"), ("rlp", "default-limits"))
OPERATOR_APP: Final = "inferway-operator"
GATEWAY_APP: Final = "inferway-gateway"

PLACE: Final = "bad-input"
"""A namespace of these tests, without a rate limit policy."""
HOST: Final = "bad-input.example"
NAME: Final = "steady"

MANIFEST: Final = "/etc/kubernetes/manifests/kube-apiserver.yaml"
ASIDE: Final = "/etc/kubernetes/kube-apiserver.yaml"
"""Paths on the node: the kubelet runs the pods of the first folder, and ends all others."""


def now() -> str:
    """Return the time for `kubectl logs --since-time`. The node's clock is this machine's."""
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def reinstall(cluster: Cluster) -> None:
    """Apply both planes and the samples with the documented commands."""
    cluster.install(OVERLAY)
    cluster.kubectl("apply", "-k", SAMPLES)


def set_route_body(cluster: Cluster, body: str) -> None:
    """Set the answer of these tests' route."""
    cluster.apply(route(NAME, PLACE, HOST, body))


def await_route_body(cluster: Cluster, body: str, within: float) -> None:
    """Wait until the answer is served by all pods and programmed."""
    until(lambda: serves_body(cluster, body), f"{body} is served", within)
    until(lambda: cluster.is_programmed("gwr", PLACE, NAME), f"{body} is programmed", within)


def serves_body(cluster: Cluster, body: str) -> bool:
    """Return whether the route answers this; false without a pod behind the Service."""
    try:
        return cluster.ask("/", HOST).body == body.encode()
    except urllib3.exceptions.HTTPError:
        return False


def is_healthy(cluster: Cluster) -> bool:
    """Return whether the state is that after `make cluster`: rolled out, ready, served."""
    for namespace in (OPERATOR, GATEWAY, DEMO):
        for deployment in cluster.items("deployments", "-n", namespace):
            status, wanted = deployment["status"], deployment["spec"]["replicas"]
            if status.get("observedGeneration") != deployment["metadata"]["generation"]:
                return False
            if not wanted == status.get("replicas") == status.get("updatedReplicas") == status.get("readyReplicas"):
                return False
    return all(cluster.is_programmed(kind, DEMO, name) for kind, name in SAMPLED)


def restore(cluster: Cluster) -> None:
    """Restore the cluster after any test."""
    bring_api_server_back(cluster)
    revive_controllers(cluster)
    reinstall(cluster)
    for namespace in (OPERATOR, GATEWAY, DEMO):
        cluster.await_rollout(namespace, within=120)
    until(lambda: is_healthy(cluster), "everything is as it was", 60)


# --- reports of pods ------------------------------------------------------------------------------------------------------


def pod_of(cluster: Cluster, namespace: str, app: str) -> JSON:
    """Return the only pod of an app, or the first ready one."""
    candidates = cluster.pods(namespace, app)
    return next((pod for pod in candidates if is_ready(pod)), candidates[0])


def lines(cluster: Cluster, namespace: str, pod: str, since: str) -> list[JSON]:
    """Return the JSON lines of a pod's log since then, without those about requests."""
    text = cluster.logs(namespace, f"pod/{pod}", f"--since-time={since}")
    entries = [json.loads(line) for line in text.splitlines() if line.startswith("{")]
    return [line for line in entries if line.get("event") != "request"]


def warnings(cluster: Cluster, namespace: str, pod: str, since: str) -> list[str]:
    """Return the warnings of a pod, each as one text.

    The text has `message` of the operator's log (kopf's form), or `event`, `error` and `mend` of the data plane's.
    """
    return [
        " | ".join(str(line[name]) for name in ("message", "event", "error", "mend") if name in line)
        for line in lines(cluster, namespace, pod, since)
        if line.get("severity", line.get("level")) in ("warn", "warning", "error", "critical")
    ]


def restarts(cluster: Cluster) -> dict[str, int]:
    """Return the restarts of both planes' containers, by pod: a pod that recovers is neither restarted nor replaced."""
    return {
        pod["metadata"]["name"]: sum(one["restartCount"] for one in pod["status"].get("containerStatuses", ()))
        for namespace, app in ((OPERATOR, OPERATOR_APP), (GATEWAY, GATEWAY_APP))
        for pod in cluster.pods(namespace, app)
    }


def last_termination(pod: JSON) -> JSON:
    """Return the last termination of a pod's first container: `exitCode`, and the end of its log as `message`; or {}."""
    for status in pod["status"].get("containerStatuses", ()):
        for state in (status.get("state", {}), status.get("lastState", {})):
            if "terminated" in state:
                return dict(state["terminated"])
    return {}


# --- breaking -------------------------------------------------------------------------------------------------------------


def overlay_with(folder: Path, operator: str = "", gateway: str = "") -> Path:
    """Write an overlay as in docs/install.md: the one for kind, plus these settings (`NAME=value`)."""
    text = (
        "apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\n"
        f"resources: [{os.path.relpath(ROOT / OVERLAY, folder)}]\nconfigMapGenerator:\n"
    )
    for name, namespace, settings in (
        ("inferway-operator-settings", OPERATOR, operator),
        ("inferway-gateway-settings", GATEWAY, gateway),
    ):
        if settings:
            literals = json.dumps(settings.split())
            text += f"- {{name: {name}, namespace: {namespace}, behavior: merge, literals: {literals}}}\n"
    (folder / "kustomization.yaml").write_text(text)
    return folder


def bare_pod(name: str, image: str, **spec: Any) -> str:
    """Return a pod that PodSecurity `restricted` admits, whose image gets no settings."""
    return json.dumps(
        {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": name, "namespace": DEMO},
            "spec": {
                "restartPolicy": "Never",
                "terminationGracePeriodSeconds": 1,
                "securityContext": {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}},
                "containers": [
                    {
                        "name": "bare",
                        "image": image,
                        "imagePullPolicy": "IfNotPresent",
                        "terminationMessagePolicy": "FallbackToLogsOnError",
                        "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
                    }
                ],
                **spec,
            },
        }
    )


def node_of(cluster: Cluster) -> str:
    """Return the node of the kind cluster, which is a local container."""
    return cluster.context.removeprefix("kind-") + "-control-plane"


def on_node(cluster: Cluster, *command: str, check: bool = True) -> str:
    """Run a program on the cluster's node and return its output."""
    done = subprocess.run(
        ["docker", "exec", node_of(cluster), *command], capture_output=True, text=True, timeout=30, check=False
    )
    assert not check or done.returncode == 0, f"{' '.join(command)}: {done.stderr}"
    return done.stdout


def take_api_server_away(cluster: Cluster) -> None:
    """Kill the API server, as in a power cut; this also saves the half minute of an orderly end."""
    on_node(cluster, "mv", MANIFEST, ASIDE)
    kill_container(cluster, f"kube-apiserver-{node_of(cluster)}", "kube-apiserver")
    until(lambda: cluster.attempt("get", "--raw", "/readyz", "--request-timeout=2s").returncode, "it is away", 60)


def bring_api_server_back(cluster: Cluster) -> None:
    """Restart the API server if it is away, and wait until it is ready and pods reach it.

    Pods reach it by a Service, which kube-proxy may close until it has contact with the API server, for at most half a minute.
    """
    on_node(cluster, "sh", "-c", f"! test -e {ASIDE} || mv {ASIDE} {MANIFEST}")
    until(lambda: cluster.attempt("get", "--raw", "/readyz", "--request-timeout=2s").stdout == "ok", "it is ready", 120)
    address = cluster.get("service", "kubernetes", "-n", "default")["spec"]["clusterIP"]
    until(lambda: ask_from_node(cluster, f"https://{address}/readyz") == "ok", "pods can reach it", 60)


def revive_controllers(cluster: Cluster) -> None:
    """Restart Kubernetes' own controllers.

    They end if they cannot renew their Leases, and after several outages the kubelet delays their restart by minutes.
    """

    def are_ready() -> bool:
        return all(is_ready(pod) for pod in cluster.items("pods", "-n", "kube-system", "-l", "tier=control-plane"))

    if not are_ready():
        on_node(cluster, "systemctl", "restart", "kubelet")
        until(are_ready, "Kubernetes' own controllers are ready", 90)


def kill_container(cluster: Cluster, pod: str, container: str) -> None:
    """Kill a container as the kernel does without memory; the kubelet restarts it. This needs no API server."""
    names = f'labels."io.kubernetes.pod.name"=={pod},labels."io.kubernetes.container.name"=={container}'
    for container_id in on_node(cluster, "ctr", "-n", "k8s.io", "containers", "list", "-q", names).split():
        on_node(cluster, "ctr", "-n", "k8s.io", "tasks", "kill", "--signal", "SIGKILL", container_id, check=False)


def ask_from_node(cluster: Cluster, url: str, header: str = "accept: */*") -> str:
    """Return a pod's answer, without the API server and without a Service; "" = no answer."""
    return on_node(cluster, "curl", "--silent", "--insecure", "--max-time", "2", "--header", header, url, check=False)


@contextmanager
def timed() -> Iterator[list[float]]:
    """Measure the block; the yielded list has its seconds at the end."""
    began, took = monotonic(), [0.0]
    yield took
    took[0] = monotonic() - began
