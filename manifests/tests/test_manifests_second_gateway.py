"""A second gateway next to the first: nothing of the first is overwritten, and its rights suffice."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import yaml
from identities import pod, token
from kustomizations import MANIFESTS, Manifest, named, of_kind, overlay, render, settings, templates

from inferway_envtest import ApiServer, User
from inferway_envtest.binaries import Programs
from inferway_testing.client import ask
from inferway_testing.process import Process, environment
from inferway_testing.until import until

SYSTEM, OPERATOR, TEAM = "inferway-system-b", "inferway-operator-b", "team-b"
CLUSTER_KINDS = {
    "Namespace",
    "ClusterRole",
    "ClusterRoleBinding",
    "CustomResourceDefinition",
    "PriorityClass",
    "ValidatingAdmissionPolicy",
    "ValidatingAdmissionPolicyBinding",
}


POD_NAMES = {"inferway-gateway", "inferway-operator"}
"""Values of the label app.kubernetes.io/name, which selectors look for within one namespace."""


def ids(objects: tuple[Manifest, ...]) -> set[tuple[str, str, str]]:
    """Return kind, namespace and name of each object as the API server has them."""
    return {
        (item["kind"], "" if item["kind"] in CLUSTER_KINDS else item["metadata"]["namespace"], item["metadata"]["name"])
        for item in objects
    }


def texts(value: Any) -> Iterator[str]:
    """Yield all texts in a manifest, keys too."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield str(key)
            yield from texts(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from texts(inner)
    elif isinstance(value, str):
        yield value


@pytest.mark.parametrize("first", ["dev", "production"])
def test_second_gateway_overwrites_nothing_of_the_first(first: str) -> None:
    assert not ids(overlay("second-gateway")) & ids(overlay(first))


def test_second_gateway_refers_to_its_own_objects_only() -> None:
    objects = overlay("second-gateway")
    of_first = {name for _, _, name in ids(overlay("dev")) if not name.startswith("inferway-gateway-settings")}
    namespaces = {"inferway-system", "inferway-operator"}
    for item in objects:
        labels = set(item["metadata"].get("labels", {}).values())
        rest = {key: value for key, value in item.items() if key != "metadata"}
        assert not (set(texts(rest)) & (of_first | namespaces)) - labels - POD_NAMES, item["metadata"]["name"]
    for binding in of_kind(objects, "RoleBinding", "ClusterRoleBinding"):
        for subject in binding["subjects"]:
            assert (subject["namespace"], subject["name"]) in {
                (SYSTEM, "inferway-gateway-b"),
                (OPERATOR, "inferway-operator-b"),
            }


def test_gateway_name_reaches_both_planes_and_the_lease_policy() -> None:
    objects = overlay("second-gateway")
    assert settings_of(objects, "gateway")["INFERWAY_GATEWAY"] == "b"
    read = settings_of(objects, "operator")
    assert (read["INFERWAY_OPERATOR_GATEWAY"], read["INFERWAY_OPERATOR_NAMESPACE"]) == ("b", SYSTEM)
    labels = templates(objects)["inferway-gateway-b"]["metadata"]["labels"]
    assert labels["inferway.dev/gateway"] == "b"
    assert named(objects, "ServiceAccount", "inferway-gateway-b")["metadata"]["labels"]["inferway.dev/gateway"] == "b"
    [binding] = of_kind(objects, "ValidatingAdmissionPolicyBinding")
    assert binding["spec"]["policyName"] == of_kind(objects, "ValidatingAdmissionPolicy")[0]["metadata"]["name"]
    assert binding["spec"]["matchResources"]["namespaceSelector"]["matchLabels"] == {
        "kubernetes.io/metadata.name": SYSTEM
    }


@pytest.mark.parametrize("affix", [{"namePrefix": "acme-"}, {"nameSuffix": "-acme"}])
def test_names_of_an_overlay_may_have_an_affix(tmp_path: Path, affix: dict[str, str]) -> None:
    folder = os.path.relpath(MANIFESTS / "overlays/production", tmp_path.resolve())
    (tmp_path / "kustomization.yaml").write_text(
        yaml.safe_dump(
            {"apiVersion": "kustomize.config.k8s.io/v1beta1", "kind": "Kustomization", "resources": [folder], **affix}
        )
    )
    objects = render(tmp_path)
    accounts = {
        (item["metadata"]["namespace"], item["metadata"]["name"]) for item in of_kind(objects, "ServiceAccount")
    }
    assert all("acme" in name for _, name in accounts)
    for binding in of_kind(objects, "RoleBinding", "ClusterRoleBinding"):
        assert {(one["namespace"], one["name"]) for one in binding["subjects"]} <= accounts
        assert binding["roleRef"]["name"] in {
            item["metadata"]["name"] for item in of_kind(objects, binding["roleRef"]["kind"])
        }
    [policy] = of_kind(objects, "ValidatingAdmissionPolicy")
    [bound] = of_kind(objects, "ValidatingAdmissionPolicyBinding")
    assert bound["spec"]["policyName"] == policy["metadata"]["name"]


def settings_of(objects: tuple[Manifest, ...], plane: str) -> dict[str, str]:
    """Return the settings of a plane of gateway `b`."""
    [found] = [
        item["data"]
        for item in of_kind(objects, "ConfigMap")
        if item["metadata"]["name"].startswith(f"inferway-{plane}-settings-b-")
    ]
    return dict(found)


@pytest.fixture(scope="module")
def both(api_server_programs: Programs) -> Iterator[ApiServer]:
    """Install the overlay dev and the second gateway on a separate server."""
    with ApiServer.started(api_server_programs) as api:
        api.kubectl("apply", "-k", str(MANIFESTS / "overlays/dev"))
        api.apply(MANIFESTS.parent / "crds")
        applied = api.kubectl("apply", "-k", str(MANIFESTS / "overlays/second-gateway"))
        assert "configured" not in applied.stdout
        assert "unchanged" not in applied.stdout
        api.ask("POST", "/api/v1/namespaces", {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": TEAM}})
        yield api


def route() -> dict[str, Any]:
    answer = {"type": "DirectResponse", "directResponse": {"statusCode": 200, "body": "of b"}}
    return {
        "apiVersion": "inferway.dev/v1alpha1",
        "kind": "GatewayRoute",
        "metadata": {"name": "direct"},
        "spec": {"hostnames": ["b.example"], "rules": [{"filters": [answer]}]},
    }


def operator_process(api: ApiServer, user: User, variables: dict[str, str]) -> Process:
    own = {"INFERWAY_OPERATOR_LISTEN": "127.0.0.1:0", "KUBECONFIG": str(api.kubeconfig(user))}
    return Process([sys.executable, "-m", "inferway_operator"], environment("INFERWAY_", "KUBE") | variables | own)


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_second_gateway_works_with_the_rights_of_its_manifests(both: ApiServer, tmp_path: Path) -> None:
    objects = overlay("second-gateway")
    gateway_pod = pod(both, templates(objects)["inferway-gateway-b"], SYSTEM, "inferway-gateway-b-0")
    operator_user = token(both, OPERATOR, "inferway-operator-b")
    gateway_user = token(both, SYSTEM, "inferway-gateway-b", gateway_pod)
    mark = both.mark()
    with ExitStack() as stack:
        operator = operator_process(
            both, operator_user, {**settings_of(objects, "operator"), "POD_NAMESPACE": OPERATOR}
        )
        stack.callback(operator.stop)
        gateway = Process(
            [sys.executable, "-m", "inferway_dataplane"],
            environment("INFERWAY_", "KUBE")
            | settings_of(objects, "gateway")
            | {
                "INFERWAY_LISTEN": "127.0.0.1:0",
                "INFERWAY_ADMIN": "127.0.0.1:0",
                "INFERWAY_STATE_DIRECTORY": str(tmp_path),
                "INFERWAY_SECRETS_DIRECTORY": str(tmp_path),
                "INFERWAY_DRAIN_DELAY": "0",
                "INFERWAY_KUBECONFIG": str(both.kubeconfig(gateway_user)),
                "POD_NAME": "inferway-gateway-b-0",
                "POD_NAMESPACE": SYSTEM,
                "POD_UID": gateway_pod["metadata"]["uid"],
            },
        )
        stack.callback(gateway.stop)
        port = gateway.port()
        both.set_pod(SYSTEM, "inferway-gateway-b-0", is_ready=True)
        path = f"/apis/inferway.dev/v1alpha1/namespaces/{TEAM}/gatewayroutes"
        both.ask("POST", path, route())

        def is_programmed() -> bool:
            conditions = both.ask("GET", f"{path}/direct").get("status", {}).get("conditions", ())
            return any((one["type"], one["status"]) == ("Programmed", "True") for one in conditions)

        until(is_programmed, lambda: f"it is programmed; {operator.tail()} {gateway.tail()}", 30)
        assert ask(port, "/", {"host": "b.example"}, timeout=5) == (200, b"of b")
        leases = f"/apis/coordination.k8s.io/v1/namespaces/{OPERATOR}/leases"
        assert [item["metadata"]["name"] for item in both.ask("GET", leases)["items"]] == ["inferway-operator-b"]
        names = {
            item["metadata"]["name"] for item in both.ask("GET", f"/api/v1/namespaces/{SYSTEM}/configmaps")["items"]
        }
        assert {"b-config", "b-endpoints"} <= names
    refused = [
        f"{request.verb} {request.resource} {request.namespace}: {request.code}"
        for user in (operator_user, gateway_user)
        for request in both.requests(mark, user=user)
        if request.code in (401, 403)
    ]
    assert refused == []


@pytest.mark.slow
@pytest.mark.timeout(60)
def test_operators_of_two_gateways_may_share_an_account(both: ApiServer) -> None:
    variables = {**settings(overlay("dev"), "operator"), "POD_NAMESPACE": "inferway-operator"}
    variables |= {"INFERWAY_OPERATOR_GATEWAY": "c", "INFERWAY_OPERATOR_NAMESPACES": "default"}
    operator = operator_process(both, token(both, "inferway-operator", "inferway-operator"), variables)
    try:
        until(lambda: any("leading as" in line for line in operator.lines), lambda: f"it leads; {operator.tail()}", 30)
    finally:
        operator.stop()
