"""Breaking a cluster, hearing what its pods say of it, and mending it with the commands that docs/install.md names."""

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
"""A namespace of these tests, where no policy limits what they ask."""
HOST: Final = "bad-input.example"
NAME: Final = "steady"

MANIFEST: Final = "/etc/kubernetes/manifests/kube-apiserver.yaml"
ASIDE: Final = "/etc/kubernetes/kube-apiserver.yaml"
"""Of the node: the kubelet runs what is in the folder of the first, and ends what is not."""


def now() -> str:
    """As `kubectl logs --since-time` wants it. The node's clock is this machine's."""
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def reinstall(cluster: Cluster) -> None:
    """Both planes and the samples, as whoever installs them writes it."""
    cluster.install(OVERLAY)
    cluster.kubectl("apply", "-k", SAMPLES)


def set_route_body(cluster: Cluster, body: str) -> None:
    """The route of these tests answers this from now on."""
    cluster.apply(route(NAME, PLACE, HOST, body))


def await_route_body(cluster: Cluster, body: str, within: float) -> None:
    """It is served, and every pod has proved it."""
    until(lambda: serves_body(cluster, body), f"{body} is served", within)
    until(lambda: cluster.is_programmed("gwr", PLACE, NAME), f"{body} is programmed", within)


def serves_body(cluster: Cluster, body: str) -> bool:
    """Whether the route answers this; without a pod behind the Service nobody does."""
    try:
        return cluster.ask("/", HOST).body == body.encode()
    except urllib3.exceptions.HTTPError:
        return False


def is_healthy(cluster: Cluster) -> bool:
    """Whether everything is as `make cluster` leaves it: at its newest, ready, served."""
    for namespace in (OPERATOR, GATEWAY, DEMO):
        for found in cluster.items("deployments", "-n", namespace):
            status, wanted = found["status"], found["spec"]["replicas"]
            if status.get("observedGeneration") != found["metadata"]["generation"]:
                return False
            if not wanted == status.get("replicas") == status.get("updatedReplicas") == status.get("readyReplicas"):
                return False
    return all(cluster.is_programmed(kind, DEMO, name) for kind, name in SAMPLED)


def restore(cluster: Cluster) -> None:
    """Whatever a test has left behind."""
    bring_api_server_back(cluster)
    revive_controllers(cluster)
    reinstall(cluster)
    for namespace in (OPERATOR, GATEWAY, DEMO):
        cluster.await_rollout(namespace, within=120)
    until(lambda: is_healthy(cluster), "everything is as it was", 60)


# --- what pods say --------------------------------------------------------------------------------------------------------


def pod_of(cluster: Cluster, namespace: str, app: str) -> JSON:
    """The only one of an app, or the first that is ready."""
    found = cluster.pods(namespace, app)
    return next((pod for pod in found if is_ready(pod)), found[0])


def lines(cluster: Cluster, namespace: str, pod: str, since: str) -> list[JSON]:
    """The JSON lines of a pod's log since then, without those about requests."""
    text = cluster.logs(namespace, f"pod/{pod}", f"--since-time={since}")
    found = [json.loads(line) for line in text.splitlines() if line.startswith("{")]
    return [line for line in found if line.get("event") != "request"]


def warnings(cluster: Cluster, namespace: str, pod: str, since: str) -> list[str]:
    """What a pod complains of, each line as one text with everything in it: `message` of the operator's log (kopf's
    form), `event`, `error` and `reinstall` of the data plane's."""
    return [
        " | ".join(str(line[name]) for name in ("message", "event", "error", "mend") if name in line)
        for line in lines(cluster, namespace, pod, since)
        if line.get("severity", line.get("level")) in ("warn", "warning", "error", "critical")
    ]


def restarts(cluster: Cluster) -> dict[str, int]:
    """Of both planes' containers, by pod: who recovers by itself is neither restarted nor replaced."""
    return {
        pod["metadata"]["name"]: sum(one["restartCount"] for one in pod["status"].get("containerStatuses", ()))
        for namespace, app in ((OPERATOR, OPERATOR_APP), (GATEWAY, GATEWAY_APP))
        for pod in cluster.pods(namespace, app)
    }


def last_termination(pod: JSON) -> JSON:
    """How the first container of a pod ended last: `exitCode`, and in `message` the last of its log; {} = it did not."""
    for status in pod["status"].get("containerStatuses", ()):
        for state in (status.get("state", {}), status.get("lastState", {})):
            if "terminated" in state:
                return dict(state["terminated"])
    return {}


# --- breaking -------------------------------------------------------------------------------------------------------------


def overlay_with(folder: Path, operator: str = "", gateway: str = "") -> Path:
    """An overlay of one's own, as docs/install.md shows it: the one for kind, with these settings (`NAME=value`) besides."""
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
    """A pod as PodSecurity `restricted` lets it in, whose image is told nothing."""
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
    """The node of kind's cluster, which is a container of this machine."""
    return cluster.context.removeprefix("kind-") + "-control-plane"


def on_node(cluster: Cluster, *command: str, check: bool = True) -> str:
    """What a program prints on the cluster's node."""
    done = subprocess.run(
        ["docker", "exec", node_of(cluster), *command], capture_output=True, text=True, timeout=30, check=False
    )
    assert not check or done.returncode == 0, f"{' '.join(command)}: {done.stderr}"
    return done.stdout


def take_api_server_away(cluster: Cluster) -> None:
    """Without a farewell: it ends as in a power cut, which also spares the half minute that it takes to end in order."""
    on_node(cluster, "mv", MANIFEST, ASIDE)
    kill_container(cluster, f"kube-apiserver-{node_of(cluster)}", "kube-apiserver")
    until(lambda: cluster.attempt("get", "--raw", "/readyz", "--request-timeout=2s").returncode, "it is away", 60)


def bring_api_server_back(cluster: Cluster) -> None:
    """Until it is ready, and pods reach it: their way is a Service, which kube-proxy may close until it has heard of the API
    server itself, half a minute later at worst. Nothing is done where it is not away."""
    on_node(cluster, "sh", "-c", f"! test -e {ASIDE} || mv {ASIDE} {MANIFEST}")
    until(lambda: cluster.attempt("get", "--raw", "/readyz", "--request-timeout=2s").stdout == "ok", "it is ready", 120)
    address = cluster.get("service", "kubernetes", "-n", "default")["spec"]["clusterIP"]
    until(lambda: ask_from_node(cluster, f"https://{address}/readyz") == "ok", "pods can reach it", 60)


def revive_controllers(cluster: Cluster) -> None:
    """Kubernetes' own controllers end when they cannot renew their Leases, and after several outages the kubelet lets them
    wait for minutes; one that is started again does not."""

    def are_ready() -> bool:
        return all(is_ready(pod) for pod in cluster.items("pods", "-n", "kube-system", "-l", "tier=control-plane"))

    if not are_ready():
        on_node(cluster, "systemctl", "restart", "kubelet")
        until(are_ready, "Kubernetes' own controllers are ready", 90)


def kill_container(cluster: Cluster, pod: str, container: str) -> None:
    """As the kernel would where memory is short; the kubelet starts it again. It needs no API server."""
    names = f'labels."io.kubernetes.pod.name"=={pod},labels."io.kubernetes.container.name"=={container}'
    for found in on_node(cluster, "ctr", "-n", "k8s.io", "containers", "list", "-q", names).split():
        on_node(cluster, "ctr", "-n", "k8s.io", "tasks", "kill", "--signal", "SIGKILL", found, check=False)


def ask_from_node(cluster: Cluster, url: str, header: str = "accept: */*") -> str:
    """What a pod answers, without the API server and past every Service; "" = it does not."""
    return on_node(cluster, "curl", "--silent", "--insecure", "--max-time", "2", "--header", header, url, check=False)


@contextmanager
def timed() -> Iterator[list[float]]:
    """`[seconds]` of the block, once it is over."""
    began, took = monotonic(), [0.0]
    yield took
    took[0] = monotonic() - began
