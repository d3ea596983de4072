"""Two gateways with three tenants: two share the first one and one of these means harm; the third has the second gateway."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import yaml

from e2e.cluster.access import DEMO, GATEWAY, OPERATOR, ROOT, Cluster, route
from e2e.cluster.breaking import overlay_with
from e2e.cluster.leftovers import SECOND_GATEWAY
from inferway_chart import chart as chart_module
from inferway_testing.until import until

NEIGHBOUR: Final = "team-a"
HOSTILE: Final = "team-hostile"
"""Tenants of the first gateway."""
SEPARATE: Final = "team-b"
"""The tenant of the second gateway, as in its manifests."""

SECOND: Final = "inferway-system-b"
SECOND_OPERATOR: Final = "inferway-operator-b"
"""Namespaces of the second gateway."""

RELEASES: Final = "inferway-releases"
"""The namespace of Helm's own state."""
VALUES: Final[dict[str, Any]] = {
    "gatewayName": "b",
    "nameSuffix": "-b",
    "namespaces": {"operator": SECOND_OPERATOR, "gateway": SECOND},
    "crds": {"install": False},
    "roles": {"aggregate": False},
    "operator": {"settings": {"INFERWAY_OPERATOR_NAMESPACES": SEPARATE}},
    "gateway": {"replicas": 1, "service": {"type": "", "nodePort": None}},
}
"""Of a release that is the second gateway, in addition to those of the overlay dev."""

ACCOUNTS: Final = """
apiVersion: v1
kind: Namespace
metadata: {{name: {tenant}, labels: {{pod-security.kubernetes.io/enforce: restricted}}}}
---
apiVersion: v1
kind: ServiceAccount
metadata: {{name: author, namespace: {tenant}}}
---
apiVersion: v1
kind: ServiceAccount
metadata: {{name: reader, namespace: {tenant}}}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {{name: author, namespace: {tenant}}}
roleRef: {{apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: edit}}
subjects: [{{kind: ServiceAccount, name: author, namespace: {tenant}}}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {{name: reader, namespace: {tenant}}}
roleRef: {{apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: view}}
subjects: [{{kind: ServiceAccount, name: reader, namespace: {tenant}}}]
"""
"""A namespace whose people have Kubernetes' own roles and nothing of this project."""

TRAFFIC: Final = """
import http.client, json, time
end, count, longest, failures = time.monotonic() + %f, 0, 0.0, []
while time.monotonic() < end:
    began = time.monotonic()
    try:
        connection = http.client.HTTPConnection(%r, 80, timeout=5)
        connection.request("GET", "/", headers={"host": %r})
        answer = connection.getresponse()
        body = answer.read().decode()
        if (answer.status, body) != (200, %r):
            failures.append(f"{answer.status} {body[:80]}")
        connection.close()
    except OSError as error:
        failures.append(repr(error))
    count, longest = count + 1, max(longest, time.monotonic() - began)
    time.sleep(0.02)
print(json.dumps({"requests": count, "longest": longest, "failures": failures[:5]}))
"""


def second_overlay(folder: Path) -> Path:
    """Write an overlay: the shipped second gateway with locally built images and one pod."""
    pull = "- {op: add, path: /spec/template/spec/containers/0/imagePullPolicy, value: IfNotPresent}"
    one = "- {op: replace, path: /spec/replicas, value: 1}"
    text = {
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        "resources": [os.path.relpath(ROOT / SECOND_GATEWAY, folder)],
        "images": [{"name": f"ghcr.io/inferway/{name}", "newTag": "dev"} for name in ("operator", "dataplane")],
        "patches": [{"target": {"kind": "Deployment"}, "patch": f"{pull}\n{one}"}],
    }
    (folder / "kustomization.yaml").write_text(json.dumps(text))
    return folder


@contextmanager
def installed(cluster: Cluster, folder: Path) -> Iterator[None]:
    """Install the second gateway and the tenants; afterwards both are gone, and the first gateway serves every namespace."""
    first, second = folder / "first", folder / "second"
    first.mkdir()
    second.mkdir()
    for tenant in (NEIGHBOUR, HOSTILE, SEPARATE):
        cluster.apply(ACCOUNTS.format(tenant=tenant))
    own = ",".join((DEMO, NEIGHBOUR, HOSTILE))
    cluster.install(str(overlay_with(first, operator=f"INFERWAY_OPERATOR_NAMESPACES={own}")))
    cluster.kubectl("apply", "-k", str(second_overlay(second)))
    try:
        for namespace in (OPERATOR, GATEWAY, SECOND_OPERATOR, SECOND):
            cluster.await_rollout(namespace)
        yield
    finally:
        cluster.kubectl("delete", "namespace", NEIGHBOUR, HOSTILE, SEPARATE, "--timeout=100s")
        cluster.kubectl("delete", "-k", SECOND_GATEWAY, "--ignore-not-found", "--wait", "--timeout=120s")
        cluster.install("manifests/overlays/dev")
        cluster.await_rollout(OPERATOR)


def as_user(tenant: str, account: str) -> str:
    """Return kubectl's flag for acting as an account of a tenant."""
    return f"--as=system:serviceaccount:{tenant}:{account}"


def write(cluster: Cluster, tenant: str, *manifests: str | dict[str, Any]) -> None:
    """Apply as the tenant's author; large ones have no room in an annotation, so by the API server."""
    texts = [one if isinstance(one, str) else json.dumps(one) for one in manifests]
    cluster.kubectl(
        "apply", "--server-side", "-n", tenant, as_user(tenant, "author"), "-f", "-", given="\n---\n".join(texts)
    )


def publish(cluster: Cluster, tenant: str, host: str, body: str) -> None:
    """Write the tenant's route as its author, and wait until it is ready."""
    # Kubernetes adds the rights on our kinds to its roles a moment after the definitions.
    until(
        lambda: cluster.attempt("auth", "can-i", "create", "gatewayroutes.inferway.dev", "-n", tenant, as_user(tenant, "author")).stdout.strip() == "yes",
        f"the author of {tenant} may write routes",
        30,
    )  # fmt: skip
    write(cluster, tenant, route("main", tenant, host, body))
    cluster.kubectl(
        "wait", "-n", tenant, "--for=condition=Ready", "gwr/main", "--timeout=30s", as_user(tenant, "reader")
    )


def ask_second(cluster: Cluster, seconds: float, host: str, body: str) -> dict[str, Any]:
    """Send requests to the second gateway from a pod of the cluster for some seconds; returns counts and failures."""
    # By address: the cluster's DNS answers late for a new name.
    address = cluster.get("service", "inferway-gateway-b", "-n", SECOND)["spec"]["clusterIP"]
    code = TRAFFIC % (seconds, address, host, body)
    return dict(json.loads(cluster.run_python(DEMO, "deployment/service-python", code, timeout=seconds + 30)))


# --- Helm ------------------------------------------------------------------------------------------------------------


@contextmanager
def installed_by_helm(cluster: Cluster, helm: Path, folder: Path) -> Iterator[set[tuple[str, str]]]:
    """Install the second gateway as a release, in place of its manifests; yields kinds and names of its objects."""
    chart = folder / "inferway"
    chart_module.write(chart_module.files(), chart)
    (folder / "values.yaml").write_text(yaml.safe_dump(VALUES))
    files = ("--values", str(chart / "values-dev.yaml"), "--values", str(folder / "values.yaml"))
    cluster.kubectl("delete", "-k", SECOND_GATEWAY, "--ignore-not-found", "--wait", "--timeout=120s")
    run_helm(
        cluster, helm, "install", "second", str(chart), *files, "--create-namespace", "--wait", "--timeout", "120s"
    )
    try:
        manifest = run_helm(cluster, helm, "get", "manifest", "second")
        yield {(one["kind"], one["metadata"]["name"]) for one in yaml.safe_load_all(manifest) if one}
    finally:
        run_helm(cluster, helm, "uninstall", "second", "--wait", "--timeout", "120s")
        cluster.kubectl("delete", "namespace", RELEASES, "--timeout=60s")


def run_helm(cluster: Cluster, helm: Path, *arguments: str) -> str:
    """Run helm and return its output; on failure, fail the test with its error output."""
    command = [str(helm), "--kube-context", cluster.context, "--namespace", RELEASES, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=150, check=False)
    assert done.returncode == 0, f"helm {' '.join(arguments)}: {done.stderr}"
    return done.stdout


def shipped_objects(cluster: Cluster) -> set[tuple[str, str]]:
    """Return kinds and names of the objects that the manifests of the second gateway have."""
    rendered = cluster.kubectl("kustomize", SECOND_GATEWAY)
    return {(one["kind"], one["metadata"]["name"]) for one in yaml.safe_load_all(rendered) if one}
