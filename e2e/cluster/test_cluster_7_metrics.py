"""Third-party add-ons: prometheus-operator with the ServiceMonitors, metrics-server with the HorizontalPodAutoscaler.

Their manifests come from the directory E2E_ADDONS, by file name, else from their release pages.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from time import monotonic
from typing import Any
from urllib.parse import quote

import pytest
import urllib3

from e2e.cluster.access import GATEWAY, OPERATOR, ROOT, Cluster, load_image
from e2e.cluster.leftovers import restore
from inferway_testing.until import until

pytestmark = pytest.mark.timeout(420)

Figures = Callable[[str], None]
ADDONS = os.environ.get("E2E_ADDONS", "")
RELEASES = {
    "prometheus-operator.yaml": "https://github.com/prometheus-operator/prometheus-operator/releases/download/v0.85.0/bundle.yaml",
    "metrics-server.yaml": "https://github.com/kubernetes-sigs/metrics-server/releases/download/v0.9.0/components.yaml",
}
PROMETHEUS = "quay.io/prometheus/prometheus:v3.5.0"
MONITORING = "inferway-monitoring"
AUTOSCALER = "manifests/components/autoscaling/horizontal-pod-autoscaler.yaml"
INSECURE = "--kubelet-insecure-tls"
"""A flag that metrics-server needs on kind, whose kubelets sign their certificates themselves."""
SCALED_WITHIN = 180.0  # seconds of load


def released(name: str) -> str:
    """Return the manifests; the test is skipped on a machine that cannot reach the release page."""
    try:
        answer = urllib3.request("GET", RELEASES[name], timeout=30, retries=2)
    except urllib3.exceptions.HTTPError as error:
        pytest.skip(f"{name}: E2E_ADDONS names no folder with it, and its release page is out of reach: {error}")
    assert answer.status == 200, (RELEASES[name], answer.status)
    return answer.data.decode()


@pytest.fixture(scope="module")
def addon(cluster: Cluster) -> Iterator[Callable[[str], None]]:
    """Return a function that installs an add-on with local images; all are removed at the end."""
    installed = []

    def install(name: str) -> None:
        text = (Path(ADDONS) / name).read_text() if ADDONS else released(name)
        load_image(cluster, *dict.fromkeys(re.findall(r"(?:image: |config-reloader=)(\S+)", text)))
        installed.append(text)
        cluster.kubectl("apply", "--server-side", "-f", "-", given=text)

    yield install
    restore(cluster)
    for text in installed:
        cluster.kubectl("delete", "--ignore-not-found", "--wait=false", "-f", "-", given=text)


@pytest.fixture(scope="module")
def prometheus(cluster: Cluster, addon: Callable[[str], None]) -> Iterator[Callable[[str], list[dict[str, Any]]]]:
    """Start a Prometheus with every ServiceMonitor and rule; returns a query function."""
    addon("prometheus-operator.yaml")
    load_image(cluster, PROMETHEUS)
    cluster.await_rollout("default", "prometheus-operator")
    cluster.kubectl("apply", "-k", "manifests/monitoring")
    cluster.apply(PROMETHEUS_OBJECTS)
    until(
        lambda: cluster.attempt("-n", MONITORING, "get", "statefulset", "prometheus-e2e").returncode == 0,
        "Prometheus",
        60,
    )
    cluster.kubectl("-n", MONITORING, "rollout", "status", "statefulset/prometheus-e2e", "--timeout=120s")

    def query(text: str) -> list[dict[str, Any]]:
        path = f"/api/v1/namespaces/{MONITORING}/pods/prometheus-e2e-0:9090/proxy/api/v1/query?query={quote(text)}"
        result: list[dict[str, Any]] = json.loads(cluster.kubectl("get", "--raw", path))["data"]["result"]
        return result

    yield query
    cluster.kubectl("delete", "-k", "manifests/monitoring")


def test_prometheus_scrapes_every_pod(
    cluster: Cluster, prometheus: Callable[[str], list[dict[str, Any]]], figures: Figures
):
    """Check `up` of each pod of both planes, and counters of each pod of the data plane."""
    began = monotonic()
    expected = {pod["metadata"]["name"] for pod in cluster.pods(OPERATOR, "inferway-operator")} | set(
        cluster.gateway_pods()
    )
    assert len(expected) == 3

    def up() -> set[str]:
        return {one["metric"]["pod"] for one in prometheus('up{namespace=~"inferway-.*"}') if one["value"][1] == "1"}

    until(lambda: up() == expected, f"{expected} are up", 90)
    figures(f"all up after {monotonic() - began:.0f} s")

    def counted() -> dict[str, float]:
        samples = prometheus('sum by (pod) (http_requests_total{job="inferway-gateway-admin"})')
        return {one["metric"]["pod"]: float(one["value"][1]) for one in samples}

    def ask() -> None:
        for number in range(40):  # on new connections, so that both pods receive some
            cluster.ask(f"/infer?prompt=scraped-{number}")

    ask()  # a pod counts nothing before its first request
    before = until(lambda: (c := counted()) and set(c) == set(cluster.gateway_pods()) and c, "counters of all pods", 60)
    ask()
    until(lambda: all(count > before[pod] for pod, count in counted().items()), "every pod has counted more", 60)


def test_prometheus_evaluates_every_rule(cluster: Cluster, prometheus: Callable[[str], list[dict[str, Any]]]):
    """Check that each rule of all groups of the PrometheusRule is evaluated without an error."""
    path = f"/api/v1/namespaces/{MONITORING}/pods/prometheus-e2e-0:9090/proxy/api/v1/rules"
    wanted = {
        group["name"] for item in cluster.items("prometheusrules", "-n", GATEWAY) for group in item["spec"]["groups"]
    }
    assert wanted

    def healthy() -> bool:
        groups = json.loads(cluster.kubectl("get", "--raw", path))["data"]["groups"]
        ours = [group for group in groups if group["name"] in wanted]
        return len(ours) == len(wanted) and all(rule["health"] == "ok" for group in ours for rule in group["rules"])

    until(healthy, f"{wanted} are evaluated", 120)


def test_autoscaler_adds_pods_under_load(
    cluster: Cluster, addon: Callable[[str], None], tmp_path: Path, figures: Figures
):
    """Scaling uses the CPU figures of metrics-server. Scaling down takes five minutes and is not tested."""
    addon("metrics-server.yaml")
    server = cluster.get("deployment", "metrics-server", "-n", "kube-system")["spec"]["template"]["spec"]["containers"][
        0
    ]
    if INSECURE not in server["args"]:
        patch = json.dumps([{"op": "add", "path": "/spec/template/spec/containers/0/args/-", "value": INSECURE}])
        cluster.kubectl("-n", "kube-system", "patch", "deployment", "metrics-server", "--type=json", "-p", patch)
    cluster.await_rollout("kube-system", "metrics-server")
    load_image(cluster, "grafana/k6:1.1.0")
    cluster.install("manifests/overlays/load")
    cluster.await_rollout(GATEWAY)
    until(lambda: cluster.attempt("top", "pods", "-n", GATEWAY).returncode == 0, "figures of the pods", 120)
    cluster.kubectl("apply", "-f", AUTOSCALER)

    def autoscaler() -> dict[str, Any]:
        return dict(cluster.get("hpa", "inferway-gateway", "-n", GATEWAY)["status"])

    until(lambda: autoscaler().get("currentMetrics"), "the autoscaler has figures", 120)
    print(cluster.kubectl("get", "hpa", "-n", GATEWAY))
    assert len(cluster.gateway_pods()) == 2
    with (tmp_path / "load.log").open("w+") as log:
        load = subprocess.Popen(
            [sys.executable, "-m", "inferway_load", "job", "steady", "--context", cluster.context, "--set", "RATE=800",
             "--set", "DURATION=3m", "--set", "LIMITED_SHARE=1"],
            env={**os.environ, "PYTHONPATH": str(ROOT / "tools/load/src")}, cwd=ROOT, stdout=log, stderr=log,
        )  # fmt: skip
        try:
            began = monotonic()
            until(lambda: len(cluster.gateway_pods()) > 2, "a third pod is ready", SCALED_WITHIN)
            shown = cluster.kubectl("get", "hpa", "-n", GATEWAY)
            figures(f"a third pod was ready {monotonic() - began:.0f} s after the load began; {shown.splitlines()[1]}")
        finally:
            load.terminate()
            load.wait(30)
            log.seek(0)
            print(log.read()[-3000:])
            restore(cluster)


PROMETHEUS_OBJECTS = f"""
apiVersion: v1
kind: Namespace
metadata: {{name: {MONITORING}, labels: {{inferway.dev/scrapes: allowed}}}}
---
apiVersion: v1
kind: ServiceAccount
metadata: {{name: prometheus, namespace: {MONITORING}}}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {{name: inferway-e2e-prometheus}}
rules:
- {{apiGroups: [""], resources: [services, endpoints, pods], verbs: [get, list, watch]}}
- {{apiGroups: [discovery.k8s.io], resources: [endpointslices], verbs: [get, list, watch]}}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {{name: inferway-e2e-prometheus}}
roleRef: {{apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: inferway-e2e-prometheus}}
subjects: [{{kind: ServiceAccount, name: prometheus, namespace: {MONITORING}}}]
---
apiVersion: monitoring.coreos.com/v1
kind: Prometheus
metadata: {{name: e2e, namespace: {MONITORING}}}
spec:
  image: {PROMETHEUS}
  version: v3.5.0
  replicas: 1
  serviceAccountName: prometheus
  serviceMonitorSelector: {{}}
  serviceMonitorNamespaceSelector: {{}}
  ruleSelector: {{}}
  ruleNamespaceSelector: {{}}
  resources: {{requests: {{cpu: 50m, memory: 128Mi}}}}
"""
