"""Uninstalls everything without leftovers, then installs on an empty cluster and measures the time."""

from __future__ import annotations

import json
from collections.abc import Callable
from time import monotonic

import pytest

from e2e.cluster.access import DEMO, GATEWAY, OPERATOR, Cluster
from inferway_testing.until import until

pytestmark = pytest.mark.timeout(400)

READY_WITHIN = 120.0
"""Seconds from `kubectl apply -k` to everything Ready and the first answer (docs/install.md)."""
MARK = "inferway"
"""Part of the name or namespace of all objects of the project; names of definitions contain the API group."""


def installed_objects(cluster: Cluster) -> list[str]:
    """Return all objects of the project, of every kind, as kind/namespace/name."""
    # kind names the node after the cluster, so the node, its events, pods and Lease match too.
    nodes = cluster.kubectl("get", "nodes", "-o", "name").replace("node/", "").split()
    kinds = cluster.kubectl("api-resources", "--verbs=list", "-o", "name").split()
    objects = []
    for kind in kinds:
        listing = cluster.attempt("get", kind, "--all-namespaces", "-o", "json", "--ignore-not-found")
        if "NotFound" in listing.stderr:
            continue  # a definition deleted since it was listed
        assert listing.returncode == 0, listing.stderr
        if not listing.stdout:
            continue
        for item in json.loads(listing.stdout)["items"]:
            metadata = item["metadata"]
            place, name = metadata.get("namespace", ""), metadata["name"]
            if MARK in f"{place}/{name}" and not any(node in name for node in nodes):
                objects.append(f"{kind}/{place}/{name}")
    return objects


def test_uninstall_leaves_no_objects(cluster: Cluster):
    """Delete as in docs/install.md: resources first, then both planes. The overlay production has the most objects."""
    if cluster.attempt("get", "crd", "gatewayroutes.inferway.dev").returncode:  # an earlier run ended in between
        cluster.install("manifests/overlays/dev")
        cluster.kubectl("apply", "-k", "manifests/samples")
    cluster.kubectl("apply", "-k", "manifests/overlays/production")  # its images are not available, so no pod may run
    for folder in ("manifests/samples", "manifests/overlays/production"):
        cluster.kubectl("delete", "-k", folder, "--ignore-not-found", "--wait", "--timeout=140s")
    deadline = monotonic() + 30
    while left := installed_objects(cluster):
        assert monotonic() < deadline, left


def test_install_on_an_empty_cluster_serves_the_samples(cluster: Cluster, figures: Callable[[str], None]):
    """Apply the overlay dev and the samples; wait for the first answer and 2/2."""
    began = monotonic()
    cluster.install("manifests/overlays/dev")
    for namespace in (OPERATOR, GATEWAY):
        cluster.await_rollout(namespace, within=150)
    # Only now, because a status counts the pods that were ready when its object was programmed.
    cluster.kubectl("apply", "-k", "manifests/samples")
    cluster.await_rollout(DEMO, within=150)
    ready = monotonic() - began
    until(lambda: cluster.ask("/infer?prompt=first").status == 200, "the first answer", 30)
    answered = monotonic() - began
    for kind, name in (("gwr", "infer"), ("gwr", "logs"), ("rlp", "default-limits")):
        until(lambda kind=kind, name=name: cluster.is_programmed(kind, DEMO, name), f"{name} is programmed", 30)
    figures(
        f"Ready after {ready:.0f} s, first answer after {answered:.0f} s, Programmed after {monotonic() - began:.0f} s"
    )
    assert answered <= READY_WITHIN
    shown = cluster.kubectl("get", "gwr,rlp", "--all-namespaces")
    print(shown)
    lines = [line for line in shown.splitlines() if "inferway.dev/" in line]
    assert len(lines) == 3
    for line in lines:
        assert "2/2" in line
        assert "False" not in line


def test_pods_meet_the_restricted_standard(cluster: Cluster):
    """Check that namespaces enforce the policy, and that pods also restrict the fields it leaves open."""
    for namespace in (OPERATOR, GATEWAY, DEMO):
        labels = cluster.get("namespace", namespace)["metadata"]["labels"]
        assert labels["pod-security.kubernetes.io/enforce"] == "restricted"
        pods = cluster.items("pods", "-n", namespace)
        assert pods
        for pod in pods:
            spec = pod["spec"]
            assert spec["securityContext"]["runAsNonRoot"] is True
            assert spec["securityContext"]["runAsUser"] >= 10000
            assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
            for container in spec["containers"]:
                context = container["securityContext"]
                assert context["readOnlyRootFilesystem"] is True
                assert context["allowPrivilegeEscalation"] is False
                assert context["capabilities"] == {"drop": ["ALL"]}


@pytest.mark.parametrize(
    ("namespace", "app"), [(OPERATOR, "inferway-operator"), (GATEWAY, "inferway-gateway"), (DEMO, "service-python")]
)
def test_processes_run_unprivileged_with_a_read_only_root(cluster: Cluster, namespace: str, app: str):
    """Check in the running container: the user, no capability, no new privileges, a read-only root file system."""
    code = (
        "import os; s = dict(l.split(':', 1) for l in open('/proc/1/status')); "
        "print(os.getuid(), s['CapEff'].strip(), s['NoNewPrivs'].strip(), s['Seccomp'].strip()); "
        "\ntry:\n open('/written', 'w')\nexcept OSError as e:\n print(e.strerror)"
    )
    lines = cluster.run_python(namespace, f"deployment/{app}", code).split("\n")
    uid, capabilities, no_new, seccomp = lines[0].split()
    assert int(uid) >= 10000
    assert (int(capabilities, 16), no_new, seccomp) == (0, "1", "2")
    assert lines[1] == "Read-only file system"


def test_privileged_pod_is_rejected(cluster: Cluster):
    """Check that PodSecurity restricted is enforced."""
    pod = json.dumps(
        {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": "root", "namespace": GATEWAY},
            "spec": {"containers": [{"name": "root", "image": "busybox:1", "securityContext": {"privileged": True}}]},
        }
    )
    rejection = cluster.attempt("apply", "-f", "-", given=pod)
    assert rejection.returncode != 0
    assert "restricted" in rejection.stderr


@pytest.mark.parametrize(("namespace", "account"), [(OPERATOR, "inferway-operator"), (GATEWAY, "inferway-gateway")])
def test_accounts_may_not_read_secrets_or_create_pods(cluster: Cluster, namespace: str, account: str):
    """Check the most dangerous rights; manifests/tests compare the whole list."""
    user = f"--as=system:serviceaccount:{namespace}:{account}"
    for verb, what in (
        ("get", "secrets"), ("list", "secrets"), ("create", "pods"), ("create", "pods/exec"), ("delete", "configmaps"),
        ("update", "gatewayroutes.inferway.dev"), ("create", "clusterrolebindings"), ("impersonate", "users"), ("*", "*"),
    ):  # fmt: skip
        answer = cluster.attempt("auth", "can-i", verb, what, user, "-n", "kube-system")
        assert answer.stdout.strip() == "no", (verb, what)
