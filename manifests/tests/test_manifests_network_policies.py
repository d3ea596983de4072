"""Which clients the NetworkPolicies let reach which port of which pods: the table of docs/install.md."""

from __future__ import annotations

import re
import textwrap
from pathlib import Path

import yaml
from kustomizations import (
    MANIFESTS,
    ROOT,
    Manifest,
    of_kind,
    overlay,
    render,
    settings,
    templates,
    with_components,
    with_webhook,
)

TEXT = (ROOT / "docs/install.md").read_text()
SCRAPES = {"namespaceSelector": {"matchLabels": {"inferway.dev/scrapes": "allowed"}}}
ALL = "all"


def ingress(objects: tuple[Manifest, ...]) -> dict[tuple[str, int], object]:
    """Return the clients of each port of the pods that a policy opens; `ALL` = any address."""
    opened: dict[tuple[str, int], object] = {}
    for policy in of_kind(objects, "NetworkPolicy"):
        pods = policy["spec"]["podSelector"].get("matchLabels", {}).get("app.kubernetes.io/name", "")
        for rule in policy["spec"].get("ingress", ()):
            for port in rule["ports"]:
                assert port["protocol"] == "TCP"
                assert (pods, port["port"]) not in opened
                opened[pods, port["port"]] = rule.get("from", ALL)
    return opened


def listening(objects: tuple[Manifest, ...]) -> set[tuple[str, int]]:
    """Return the ports that the pods have."""
    return {
        (name, port["containerPort"])
        for name, template in templates(objects).items()
        for container in template["spec"]["containers"]
        for port in container.get("ports", ())
    }


def test_each_port_of_production_has_the_named_clients(tmp_path: Path) -> None:
    closed = {
        ("inferway-gateway", 8080): ALL,
        ("inferway-gateway", 9090): [SCRAPES],
        ("inferway-operator", 9091): [SCRAPES],
    }
    assert ingress(overlay("production")) == ingress(overlay("e2e")) == closed
    assert listening(overlay("production")) == closed.keys()
    objects = with_webhook(tmp_path)
    assert ingress(objects) == {**closed, ("inferway-operator", 9443): ALL}
    assert listening(objects) == ingress(objects).keys()


def test_pods_of_both_namespaces_are_closed_otherwise() -> None:
    objects = overlay("production")
    namespaces = {item["metadata"]["namespace"] for item in of_kind(objects, "Deployment")}
    closed = {
        policy["metadata"]["namespace"]
        for policy in of_kind(objects, "NetworkPolicy")
        if policy["spec"]["podSelector"] == {} and policy["spec"]["policyTypes"] == ["Ingress", "Egress"]
    }
    assert closed == namespaces


def test_webhook_without_its_policy_is_closed_in_production(tmp_path: Path) -> None:
    assert ("inferway-operator", 9443) not in ingress(with_components(tmp_path, "production", "webhook"))


def test_documented_table_has_every_open_port(tmp_path: Path) -> None:
    table = re.search(r"\| port \| clients \|\n(.*?)\n\n", TEXT, re.DOTALL)
    assert table
    named_ports = {int(number) for number in re.findall(r"\b(\d{4})\b of the", table[1])}
    assert named_ports == {port for _, port in ingress(with_webhook(tmp_path))}


def test_documented_patch_narrows_the_webhook(tmp_path: Path) -> None:
    blocks = [
        textwrap.dedent(block) for block in re.findall(r"^ *```yaml\n(.*?)^ *```$", TEXT, re.MULTILINE | re.DOTALL)
    ]
    (patch,) = [
        yaml.safe_load(block)["patches"] for block in blocks if "inferway-webhook" in block and "patches:" in block
    ]
    (tmp_path / "base").mkdir()
    with_webhook(tmp_path / "base")
    (tmp_path / "kustomization.yaml").write_text(
        yaml.safe_dump(
            {
                "apiVersion": "kustomize.config.k8s.io/v1beta1",
                "kind": "Kustomization",
                "resources": ["base"],
                "patches": patch,
            }
        )
    )
    opened = ingress(render(tmp_path))
    assert opened["inferway-operator", 9443] == [{"ipBlock": {"cidr": "192.0.2.11/32"}}]


def test_optional_client_certificates_match_the_mount(tmp_path: Path) -> None:
    objects = with_webhook(tmp_path)
    assert "INFERWAY_OPERATOR_WEBHOOK_CLIENT_CA" not in settings(objects, "operator")
    text = (MANIFESTS / "components/webhook/settings.env").read_text()
    value = re.search(r"^# INFERWAY_OPERATOR_WEBHOOK_CLIENT_CA=(.*)$", text, re.MULTILINE)
    template = templates(objects)["inferway-operator"]
    mount = next(
        item for item in template["spec"]["containers"][0]["volumeMounts"] if item["name"] == "webhook-client-ca"
    )
    volume = next(item for item in template["spec"]["volumes"] if item["name"] == "webhook-client-ca")
    assert value
    assert value[1] == f"{mount['mountPath']}/ca.crt"
    assert volume["configMap"] == {"name": "inferway-webhook-client-ca", "optional": True}
    operations = (ROOT / "docs/operations.md").read_text()
    assert value[0].removeprefix("# ") in operations
    assert "create configmap inferway-webhook-client-ca --from-file=ca.crt" in operations
