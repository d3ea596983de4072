"""A real API server accepts the rendered objects: schemas, defaults and admission, by server-side dry-run."""

from __future__ import annotations

import base64
import re
from pathlib import Path

import pytest
import trustme
import yaml
from identities import pod
from kustomizations import (
    MANIFESTS,
    OVERLAYS,
    ROOT,
    Manifest,
    folders,
    of_kind,
    overlay,
    rendered,
    templates,
    with_components,
    with_webhook,
)

from inferway_envtest import ApiServer
from inferway_envtest.client import Refused
from inferway_envtest.kubectl import KubectlError

AUTHORITY = base64.b64encode(trustme.CA().cert_pem.bytes()).decode()
FOREIGN = "monitoring.coreos.com/"
"""prometheus-operator's kinds are not on this server; test_manifests_monitoring.py checks them."""


def dry_run(api: ApiServer, objects: tuple[Manifest, ...]) -> list[str]:
    """Run `kubectl apply` without storing; returns the accepted names. Warnings count as errors."""
    core_objects = [item for item in objects if not item["apiVersion"].startswith(FOREIGN)]
    # A dry run creates no namespace for later objects.
    names = {item["metadata"].get("namespace", "") for item in core_objects} - {""}
    api.kubectl("apply", "-f", "-", input=yaml.safe_dump_all(_namespace(objects, name) for name in sorted(names)))
    output = api.kubectl(
        *("apply", "--dry-run=server", "--validate=strict", "-o", "name", "-f", "-"),
        input=yaml.safe_dump_all(core_objects),
    )
    # The API server's default of that field, at the creation of any headless Service.
    warnings = output.stderr.replace("Warning: spec.SessionAffinity is ignored for headless services", "")
    assert "Warning" not in warnings, warnings
    taken = output.stdout.split()
    assert len(taken) == len(core_objects)
    return taken


def _namespace(objects: tuple[Manifest, ...], name: str) -> Manifest:
    ours = [item for item in of_kind(objects, "Namespace") if item["metadata"]["name"] == name]
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
    return ours[0] if ours else namespace


@pytest.mark.parametrize(
    "folder", [folder for folder in folders() if folder != "base" and not folder.startswith("base/")]
)
def test_api_server_accepts_every_object(installed: ApiServer, folder: str) -> None:
    dry_run(installed, rendered(folder))


def test_api_server_accepts_the_webhook(installed: ApiServer, tmp_path: Path) -> None:
    taken = dry_run(installed, with_webhook(tmp_path))
    assert "validatingwebhookconfiguration.admissionregistration.k8s.io/inferway" in taken


def test_dry_run_rejects_an_unknown_field(installed: ApiServer) -> None:
    service = of_kind(overlay("dev"), "Service")[0]
    wrong = {**service, "spec": {**service["spec"], "selectors": {}}}
    with pytest.raises(KubectlError, match="selectors"):
        dry_run(installed, (wrong,))


def test_samples_apply_and_a_second_overlay_apply_adds_none(installed: ApiServer) -> None:
    installed.kubectl("apply", "-k", str(MANIFESTS / "samples"))
    names = installed.kubectl("get", "-n", "inferway-demo", "gwr,rlp", "-o", "name").stdout.split()
    assert names == [
        "gatewayroute.inferway.dev/infer",
        "gatewayroute.inferway.dev/logs",
        "ratelimitpolicy.inferway.dev/default-limits",
    ]
    again = installed.kubectl("apply", "-k", str(MANIFESTS / "overlays/dev")).stdout
    assert "created" not in again


def test_documented_delete_by_label_keeps_the_crds(installed: ApiServer) -> None:
    text = (ROOT / "docs/install.md").read_text().replace("\\\n", "")
    command = re.search(r"^kubectl (delete -l .*)$", text, re.MULTILINE)
    assert command
    names = installed.kubectl(*command[1].split(), "--dry-run=server", "-o", "name").stdout.split()
    # Other tests may have created a PriorityClass meanwhile.
    assert {item for item in names if not item.startswith("priorityclass.")} == {
        "clusterrole.rbac.authorization.k8s.io/inferway-edit",
        "clusterrole.rbac.authorization.k8s.io/inferway-operator",
        "clusterrole.rbac.authorization.k8s.io/inferway-view",
        "clusterrolebinding.rbac.authorization.k8s.io/inferway-operator",
        "validatingadmissionpolicy.admissionregistration.k8s.io/inferway-gateway-leases",
        "validatingadmissionpolicybinding.admissionregistration.k8s.io/inferway-gateway-leases",
    }


@pytest.mark.parametrize("folder", [*(f"overlays/{name}" for name in OVERLAYS), "samples"])
def test_pods_run_where_restricted_is_enforced(installed: ApiServer, folder: str) -> None:
    namespace = "restricted-" + folder.rpartition("/")[2]
    installed.kubectl("apply", "-f", "-", input=yaml.safe_dump(restricted(namespace)))
    for item in of_kind(rendered(folder), "PriorityClass"):
        installed.kubectl("apply", "-f", "-", input=yaml.safe_dump(item))
    for name, template in templates(rendered(folder)).items():
        assert pod(installed, template, namespace, name)["spec"]["containers"]


def test_pod_with_a_log_shipper_runs_where_restricted_applies(installed: ApiServer, tmp_path: Path) -> None:
    installed.kubectl("apply", "-f", "-", input=yaml.safe_dump(restricted("restricted-shipping")))
    template = templates(with_components(tmp_path, "dev", "ship-access-log"))["inferway-gateway"]
    assert pod(installed, template, "restricted-shipping", "inferway-gateway")["spec"]["initContainers"]


def test_ca_bundle_of_the_webhook_survives_a_second_apply(installed: ApiServer, tmp_path: Path) -> None:
    configurations = of_kind(with_webhook(tmp_path), "ValidatingWebhookConfiguration")
    path = "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations/inferway"
    installed.kubectl("apply", "-f", "-", input=yaml.safe_dump_all(configurations))
    try:
        patch = [{"op": "add", "path": "/webhooks/0/clientConfig/caBundle", "value": AUTHORITY}]
        installed.ask("PATCH", path, patch, "application/json-patch+json")
        installed.kubectl("apply", "-f", "-", input=yaml.safe_dump_all(configurations))
        assert installed.ask("GET", path)["webhooks"][0]["clientConfig"]["caBundle"] == AUTHORITY
    finally:
        installed.ask("DELETE", path)


def test_root_pod_is_rejected_where_restricted_is_enforced(installed: ApiServer) -> None:
    namespace = "restricted-negative"
    installed.kubectl("apply", "-f", "-", input=yaml.safe_dump(restricted(namespace)))
    template = templates(overlay("dev"))["inferway-gateway"]
    lax = {**template, "spec": {**template["spec"], "securityContext": {"runAsUser": 0}}}
    with pytest.raises(Refused, match="violates PodSecurity"):
        pod(installed, lax, namespace, "root")


def restricted(name: str) -> Manifest:
    """Return a namespace with the project's labels, for another test's pods."""
    labels = of_kind(overlay("dev"), "Namespace")[0]["metadata"]["labels"]
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}}
