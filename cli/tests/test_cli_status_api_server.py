"""`inferway status` on a real API server: its output, with and without permissions."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from inferway_cli.main import app
from inferway_contract import acknowledgement
from inferway_contract.acknowledgement import Acknowledgement
from inferway_envtest import ApiServer
from inferway_fakes.yaml_builders import policy, route
from inferway_operator.compiler import Verdict
from inferway_operator.compiler import compile as compile_world
from inferway_operator.status import decision
from inferway_operator.status.programmed import ConfigFragment
from inferway_operator.world.pods import PodAck
from inferway_operator.world.world import from_manifests

GROUP = "/apis/inferway.dev/v1alpha1"
MAY_READ = {
    "apiGroups": ["inferway.dev"],
    "resources": ["gatewayroutes", "ratelimitpolicies"],
    "verbs": ["get", "list"],
}
SERVES = Acknowledgement(config="3f2a91c04d", endpoints="0a1b2c3d4e")


def inferway(kubeconfig: Path, *arguments: str) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, ("status", "--kubeconfig", str(kubeconfig), *arguments))
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.exit_code, result.stdout, result.stderr


def published_part(verdict: Verdict) -> ConfigFragment:
    """The part of the config that both pods of these tests have."""
    return ConfigFragment(verdict.meta.kind, "f" * 64, {"3f2a91c04d": "f" * 64}.get, "3f2a91c04d")


def with_status(api: ApiServer, namespace: str, kind: str, name: str, acks: list[PodAck]) -> dict[str, Any]:
    """Write the status that the operator would, and give the object as the API server has it then."""
    path = f"{GROUP}/namespaces/{namespace}/{kind}/{name}"
    found = api.ask("GET", path)
    (verdict,) = compile_world(from_manifests([found], standalone=True)).verdicts
    made = decision.decide(verdict, published_part(verdict), acks, found.get("status"), datetime.now(UTC))
    patch = {"apiVersion": found["apiVersion"], "kind": found["kind"], "metadata": {"name": name}, "status": made}
    content = "application/apply-patch+yaml"
    return dict(api.ask("PATCH", f"{path}/status?fieldManager=inferway-operator&force=true", patch, content))


@pytest.fixture
def served_namespace(api_server: ApiServer, namespace: str) -> str:
    """The namespace, with a route and a policy that both pods have, and the pods' Leases."""
    for text in (
        route("filters: [{type: DirectResponse, directResponse: {statusCode: 200}}]", name="shop"),
        policy("{name: all, rate: {requests: 1, per: 1s}, burst: 1, scope: Pod}"),
    ):
        api_server.kubectl("apply", "-n", namespace, "-f", "-", input=text)
    acks = [PodAck("pod-a", SERVES, False), PodAck("pod-b", SERVES, False)]
    with_status(api_server, namespace, "gatewayroutes", "shop", acks)
    with_status(api_server, namespace, "ratelimitpolicies", "limits", acks)
    for name in ("pod-a", "pod-b"):
        lease = {
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": {
                "name": name,
                "labels": {"inferway.dev/gateway": f"of-{namespace}"},
                "annotations": acknowledgement.annotations(SERVES),
            },
            "spec": {
                "holderIdentity": name,
                "leaseDurationSeconds": 15,
                "renewTime": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
            },
        }
        api_server.ask("POST", f"/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases", lease)
    return namespace


def test_status_of_healthy_resources_exits_with_0(api_server: ApiServer, served_namespace: str) -> None:
    code, stdout, stderr = inferway(api_server.kubeconfig(namespace=served_namespace))
    assert (code, stderr) == (0, "")
    for resource in (f"GatewayRoute +{served_namespace}/shop", f"RateLimitPolicy +{served_namespace}/limits"):
        assert re.search(rf"^{resource}( +True){{4}} +2/2 +3f2a91c04d +\d+s", stdout, re.MULTILINE)
    assert re.search(
        rf"^of-{served_namespace} +{served_namespace}/pod-b +3f2a91c04d +0a1b2c3d4e +1 +\d+s ago *$",
        stdout,
        re.MULTILINE,
    )


def test_status_with_a_laggard_names_the_pod(api_server: ApiServer, served_namespace: str) -> None:
    refusing = replace(
        PodAck("pod-b", SERVES, False), acknowledgement=Acknowledgement(config="old", refused="3f2a91c04d", error="no")
    )
    with_status(api_server, served_namespace, "gatewayroutes", "shop", [PodAck("pod-a", SERVES, False), refusing])
    code, stdout, _ = inferway(api_server.kubeconfig(), "-n", served_namespace)
    assert code == 1
    assert (
        "\n  Programmed=False (Rejected): 1/2 pods; pod pod-b rejected the config (no)\n    pod-b serves old: no\n"
        in stdout
    )


def test_status_of_a_changed_resource_is_unknown(api_server: ApiServer, served_namespace: str) -> None:
    patch = {"spec": {"hostnames": ["a.example.com"]}}
    api_server.ask(
        "PATCH", f"{GROUP}/namespaces/{served_namespace}/gatewayroutes/shop", patch, "application/merge-patch+json"
    )
    code, stdout, _ = inferway(api_server.kubeconfig(), "-n", served_namespace)
    assert code == 1
    assert "Accepted=Unknown: not evaluated yet" in stdout


def test_written_status_is_accepted_and_replaced_whole(api_server: ApiServer, served_namespace: str) -> None:
    acks = [PodAck("pod-a", SERVES, False), PodAck("pod-b", SERVES, True)]
    found = with_status(api_server, served_namespace, "ratelimitpolicies", "limits", acks)
    assert found["status"]["dataPlane"]["laggards"][0]["pod"] == "pod-b"
    (verdict,) = compile_world(from_manifests([found], standalone=True)).verdicts
    again = decision.decide(verdict, published_part(verdict), acks, found["status"], datetime.now(UTC))
    assert again is None, "what the API server gives back is what was written"
    acks[1] = PodAck("pod-b", SERVES, False)
    healed = with_status(api_server, served_namespace, "ratelimitpolicies", "limits", acks)
    assert "laggards" not in healed["status"]["dataPlane"], "what is not applied again goes"


def test_status_of_all_namespaces_lists_resources_and_pods(api_server: ApiServer, served_namespace: str) -> None:
    _, stdout, _ = inferway(api_server.kubeconfig(), "-A", "-o", "json")
    found = json.loads(stdout)
    assert [item["name"] for item in found["resources"] if item["namespace"] == served_namespace] == ["shop", "limits"]
    assert [pod["name"] for pod in found["pods"] if pod["namespace"] == served_namespace] == ["pod-a", "pod-b"]


def test_status_with_namespace_rights_only_omits_pods(api_server: ApiServer, served_namespace: str) -> None:
    user = api_server.service_account(served_namespace, "reader", rules=[MAY_READ])
    code, stdout, stderr = inferway(api_server.kubeconfig(user), "-n", served_namespace)
    assert code == 0
    assert f"{served_namespace}/shop" in stdout
    assert stderr.startswith("note: the data plane's pods are not shown: the API server does not allow it: 403 leases.")
    code, stdout, stderr = inferway(api_server.kubeconfig(user), "-A")
    assert (code, stdout) == (1, "")
    assert stderr.startswith(
        "inferway: the API server does not allow it: 403 gatewayroutes.inferway.dev is forbidden: User "
    )
    assert stderr.count("\n") == 1


def test_status_with_an_invalid_token_reports_401(api_server: ApiServer) -> None:
    stranger = replace(api_server.admin, token="unknown")
    assert inferway(api_server.kubeconfig(stranger)) == (
        1, "", f"inferway: the API server {api_server.url} does not know you (401): log in again\n",
    )  # fmt: skip


def test_status_with_an_untrusted_certificate_reports_it(api_server: ApiServer, tmp_path: Path) -> None:
    found = json.loads(api_server.kubeconfig().read_text())
    del found["clusters"][0]["cluster"]["certificate-authority-data"]
    (tmp_path / "config").write_text(json.dumps(found))
    code, stdout, stderr = inferway(tmp_path / "config")
    assert (code, stdout) == (1, "")
    assert stderr.startswith(f"inferway: cannot reach the API server {api_server.url}: ")
    assert "certificate verify failed" in stderr
    assert stderr.count("\n") == 1
