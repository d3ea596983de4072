"""An operator of a few namespaces, with only the rights described in docs/operations.md."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from identities import token
from kustomizations import MANIFESTS, ROOT, Manifest, of_kind, render, settings

from inferway_envtest import ApiServer
from inferway_envtest.binaries import Programs
from inferway_testing.process import Process, environment
from inferway_testing.until import until

ACCOUNT = "system:serviceaccount:inferway-operator:inferway-operator"
NEEDED = (
    "Namespace",
    "CustomResourceDefinition",
    "ServiceAccount",
    "Role",
    "RoleBinding",
    "ClusterRole",
    "ClusterRoleBinding",
)


def limited_objects(scratch: Path) -> tuple[Manifest, ...]:
    """Return the objects of the documented patch, applied to the overlay dev."""
    text = (ROOT / "docs/operations.md").read_text()
    blocks = re.findall(
        r"^```yaml\n# ((?:kustomization|operator-rights)\.yaml)(.*?)^```$", text, re.MULTILINE | re.DOTALL
    )
    assert [name for name, _ in blocks] == ["kustomization.yaml", "operator-rights.yaml"]
    for name, content in blocks:
        (scratch / name).write_text("#" + content)
    kustomization = yaml.safe_load((scratch / "kustomization.yaml").read_text())
    assert kustomization["resources"] == ["../production", "operator-rights.yaml"]
    kustomization["resources"][0] = os.path.relpath(MANIFESTS / "overlays/dev", scratch.resolve())
    (scratch / "kustomization.yaml").write_text(yaml.safe_dump(kustomization))
    return render(scratch)


def route(pattern: str) -> dict[str, Any]:
    answer = {"type": "DirectResponse", "directResponse": {"statusCode": 200, "body": "ok"}}
    match = {"path": {"type": "RegularExpression", "value": pattern}}
    return {
        "apiVersion": "inferway.dev/v1alpha1",
        "kind": "GatewayRoute",
        "metadata": {"name": "direct"},
        "spec": {"rules": [{"matches": [match], "filters": [answer]}]},
    }


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_operator_of_some_namespaces_reads_no_other_pods(api_server_programs: Programs, tmp_path: Path) -> None:
    objects = limited_objects(tmp_path)
    with ApiServer.started(api_server_programs) as api:
        api.apply(ROOT / "crds")
        for name in ("team-a", "team-b", "team-c"):
            api.ask("POST", "/api/v1/namespaces", {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
        api.kubectl("apply", "-f", "-", input=yaml.safe_dump_all(of_kind(objects, *NEEDED)))
        user = token(api, "inferway-operator", "inferway-operator")
        mark = api.mark()
        operator = Process(
            [sys.executable, "-m", "inferway_operator"],
            environment("INFERWAY_", "KUBE")
            | {
                **settings(objects, "operator"),
                "INFERWAY_OPERATOR_LISTEN": "127.0.0.1:0",
                "KUBECONFIG": str(api.kubeconfig(user)),
            },
        )
        try:
            for namespace, pattern, status in (("team-a", "/fine", "True"), ("team-b", "/(", "False")):
                path = f"/apis/inferway.dev/v1alpha1/namespaces/{namespace}/gatewayroutes"
                api.ask("POST", path, route(pattern))

                def accepted(path: str = path) -> str:
                    conditions = api.ask("GET", f"{path}/direct").get("status", {}).get("conditions", ())
                    return next((one["status"] for one in conditions if one["type"] == "Accepted"), "")

                until(lambda status=status: accepted() == status, f"{namespace} is judged; {operator.tail()}")
            until(
                lambda: api.ask("GET", "/apis/events.k8s.io/v1/namespaces/team-b/events")["items"],
                "an event reports it",
            )
            published = api.ask("GET", "/api/v1/namespaces/inferway-system/configmaps")["items"]
            assert "inferway-config" in [item["metadata"]["name"] for item in published]
        finally:
            code = operator.stop()
        assert code == 0, operator.tail()
        forbidden = [request for request in api.requests(mark, user=user) if request.code in (401, 403)]
        assert forbidden == [], operator.tail()
        for namespace, answer in (("team-a", "yes"), ("inferway-system", "yes"), ("team-c", "no"), ("", "no")):
            where = ("-n", namespace) if namespace else ("-A",)
            for kind in ("pods", "leases.coordination.k8s.io"):
                review = api.kubectl("auth", "can-i", "list", kind, *where, "--as", ACCOUNT, check=False)
                assert review.stdout.strip() == answer, (namespace, kind)
