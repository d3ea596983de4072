"""The chart on a real API server."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import charts
import pytest
import yaml
from kustomizations import MANIFESTS, overlay

from inferway_chart import chart as chart_module
from inferway_envtest import ApiServer
from inferway_envtest.binaries import Programs

pytestmark = pytest.mark.timeout(180)

ROUTE = {
    "apiVersion": "inferway.dev/v1alpha1",
    "kind": "GatewayRoute",
    "metadata": {"name": "kept", "namespace": "default"},
    "spec": {"rules": [{"filters": [{"type": "DirectResponse", "directResponse": {"statusCode": 200}}]}]},
}
DEPLOYMENT = "/apis/apps/v1/namespaces/inferway-system/deployments/inferway-gateway"


@dataclass(frozen=True)
class Cluster:
    """An API server without Inferway, helm, and the chart's archive."""

    api: ApiServer
    helm: Path
    archive: Path
    dev: Path
    """The values of the overlay dev."""

    def run(self, *arguments: str) -> str:
        """Run helm with the release's namespace. Raises `AssertionError` with its message."""
        done = self.attempt(*arguments)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def attempt(self, *arguments: str) -> Any:
        """Run helm with the release's namespace; the result may be a failure."""
        command = (*arguments, "--namespace", "releases")
        return charts.run(self.helm, *command, home=self.archive.parent, kubeconfig=self.api.kubeconfig())

    def settings(self) -> str:
        """Return the name of the ConfigMap that the gateway's pods read."""
        [container] = self.api.ask("GET", DEPLOYMENT)["spec"]["template"]["spec"]["containers"]
        return str(container["envFrom"][0]["configMapRef"]["name"])

    def config_maps(self) -> set[str]:
        """Return the names of the ConfigMaps in the gateway's namespace."""
        listed = self.api.ask("GET", "/api/v1/namespaces/inferway-system/configmaps")
        return {item["metadata"]["name"] for item in listed["items"]}


@pytest.fixture
def cluster(api_server_programs: Programs, helm: Path, tmp_path: Path) -> Iterator[Cluster]:
    """Start a server and write the chart."""
    content = chart_module.files()
    archive, dev = tmp_path / f"inferway-{chart_module.version()}.tgz", tmp_path / "values-dev.yaml"
    archive.write_bytes(chart_module.archive(content))
    dev.write_text(content["values-dev.yaml"], encoding="utf-8")
    with ApiServer.started(api_server_programs) as api:
        yield Cluster(api, helm, archive, dev)


def test_helm_and_kustomize_install_the_same(cluster: Cluster) -> None:
    """Let Helm take over an installation of kustomize, uninstall it, install and upgrade it, and roll back."""
    cluster.api.kubectl("apply", "-k", str(MANIFESTS / "overlays/dev"))
    cluster.api.kubectl("wait", "--for=condition=Established", "--timeout=20s", "crd", "--all")
    cluster.api.kubectl("apply", "-f", "-", input=json.dumps(ROUTE))
    expected = charts.live(cluster.api, overlay("dev"))
    compared = cluster.api.kubectl("diff", "-k", str(MANIFESTS / "overlays/dev"), check=False)
    assert (compared.code, compared.stdout) == (0, "")

    install = ("install", "inferway", str(cluster.archive), "--create-namespace", "-f", str(cluster.dev))
    refused = cluster.attempt(*install)
    assert refused.returncode != 0
    assert "cannot be imported into the current release" in refused.stderr
    cluster.run(*install, "--take-ownership")
    assert charts.live(cluster.api, overlay("dev")) == expected

    cluster.run("uninstall", "inferway")
    left = cluster.api.kubectl("get", "crd,gwr", "-A", "-o", "name").stdout.split()
    assert [name.rpartition("/")[2] for name in left] == [
        "gatewayroutes.inferway.dev",
        "ratelimitpolicies.inferway.dev",
        "kept",
    ]
    assert "inferway" not in cluster.api.kubectl("get", "clusterrole,clusterrolebinding", "-o", "name").stdout
    cluster.api.kubectl("wait", "--for=delete", "--timeout=30s", "ns/inferway-system", "ns/inferway-operator")

    # The definitions that it kept are this release's again.
    cluster.run(*install)
    assert charts.live(cluster.api, overlay("dev")) == expected
    first = cluster.settings()

    cluster.run("upgrade", "inferway", str(cluster.archive), "--reset-values")
    production = without_policy()
    found = cluster.api.kubectl("get", "-o", "name", "-f", "-", input=yaml.safe_dump_all(production)).stdout
    assert len(found.split()) == len(production)
    assert cluster.settings() != first
    assert {first, cluster.settings()} <= cluster.config_maps(), "pods of the previous version may still start"

    cluster.run("rollback", "inferway", "1")
    assert cluster.settings() == first
    assert charts.live(cluster.api, overlay("dev")) == expected


def without_policy() -> list[dict[str, Any]]:
    """Return production without the hostname policy, whose name has the hash of a text with comments."""
    return [
        item for item in overlay("production") if not item["metadata"]["name"].startswith("inferway-hostname-policy")
    ]
