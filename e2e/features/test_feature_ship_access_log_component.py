"""manifests/components/ship-access-log: its changes of a gateway's Deployment."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

COMPONENT = Path(__file__).parents[2] / "manifests" / "components" / "ship-access-log"
KUBECTL = Path(sys.executable).with_name("kubectl")
GATEWAY = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: inferway-gateway, namespace: inferway-system}
spec:
  selector: {matchLabels: {a: b}}
  template:
    metadata: {labels: {a: b}}
    spec:
      containers:
      - name: gateway
        image: ghcr.io/inferway/dataplane
        volumeMounts: [{name: state, mountPath: /var/lib/inferway}]
      volumes: [{name: state, emptyDir: {}}]
"""


@pytest.fixture
def pod(tmp_path: Path) -> dict[str, Any]:
    """Render the pod's spec."""
    (tmp_path / "deployment.yaml").write_text(GATEWAY)
    component = os.path.relpath(COMPONENT, tmp_path)
    (tmp_path / "kustomization.yaml").write_text(f"resources: [deployment.yaml]\ncomponents: [{component}]\n")
    rendered = subprocess.run([KUBECTL, "kustomize", tmp_path], capture_output=True, text=True, check=True)
    spec: dict[str, Any] = yaml.safe_load(rendered.stdout)["spec"]["template"]["spec"]
    return spec


def test_gateway_and_shipper_open_the_same_pipe(pod: dict[str, Any]) -> None:
    [shipper], [gateway] = pod["initContainers"], pod["containers"]
    assert shipper["args"][0].splitlines()[0] == gateway["args"][0].splitlines()[0], "both make the pipe"
    assert shipper["args"][0].splitlines()[-1] == "exec node src/ship.js 0<>/run/access-log/pipe"
    assert gateway["args"][0].splitlines()[-1] == "exec python -m inferway_dataplane 1<>/run/access-log/pipe"
    for container in (shipper, gateway):
        assert {"name": "access-log", "mountPath": "/run/access-log"} in container["volumeMounts"]
    assert {"name": "access-log", "emptyDir": {"medium": "Memory", "sizeLimit": "1Mi"}} in pod["volumes"]


def test_component_keeps_the_pod_and_adds_a_restricted_sidecar(pod: dict[str, Any]) -> None:
    [shipper], [gateway] = pod["initContainers"], pod["containers"]
    assert {"name": "state", "mountPath": "/var/lib/inferway"} in gateway["volumeMounts"]
    assert shipper["restartPolicy"] == "Always", "a sidecar, or the gateway would never start"
    assert shipper["image"] == "ghcr.io/inferway/service-node:dev"
    assert shipper["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
