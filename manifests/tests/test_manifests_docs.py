"""docs/install.md agrees with the manifests and the code."""

from __future__ import annotations

import re
import textwrap
from pathlib import Path

import yaml
from kustomizations import (
    MANIFESTS,
    ROOT,
    Manifest,
    folders,
    named,
    of_kind,
    overlay,
    rendered,
    settings,
    with_patches,
    with_webhook,
)
from pydantic import TypeAdapter

from inferway_contract import __version__
from inferway_dataplane.settings import ClusterSettings, Settings
from inferway_operator.settings import HttpSettings, OperatorSettings
from inferway_operator.world.hostname_policy import HostnamePolicy, may_claim, patterns_of
from inferway_operator.world.objects import RouteObject
from inferway_operator.world.resources import parse

TEXT = (ROOT / "docs/install.md").read_text()
BLOCKS = [textwrap.dedent(block) for block in re.findall(r"^ *```yaml\n(.*?)^ *```$", TEXT, re.MULTILINE | re.DOTALL)]
POLICY = TypeAdapter(HostnamePolicy).validate_python(
    yaml.safe_load(
        named(overlay("production"), "ConfigMap", "inferway-hostname-policy")["data"]["hostname-policy.yaml"]
    )
)


def is_let_in(route: Manifest) -> bool:
    """Return whether production serves a route under each of its hostnames."""
    read = parse(route)
    assert isinstance(read, RouteObject)
    assert read.errors == ()
    patterns = patterns_of(POLICY, read.meta.namespace, {})
    return all(may_claim(hostname, patterns) for hostname in read.hostnames or ("",))


def test_folders_named_in_the_docs_exist() -> None:
    named = set(re.findall(r"\bmanifests/[a-z0-9/.-]+[a-z0-9]", TEXT))
    assert len(named) >= 5
    assert [name for name in sorted(named) if not (ROOT / name).exists()] == []


def test_docs_name_every_overlay_and_component() -> None:
    for name in (*(folder for folder in folders() if folder.startswith("overlays/") and folder.count("/") == 1),):
        assert f"`{name}`" in TEXT, name
    for path in (MANIFESTS / "components").iterdir():
        assert f"`{path.name}`" in TEXT


def test_settings_named_in_the_docs_exist() -> None:
    names = {
        f"INFERWAY_OPERATOR_{field.upper()}" for field in (*OperatorSettings.model_fields, *HttpSettings.model_fields)
    }
    names |= {f"INFERWAY_{field.upper()}" for field in (*Settings.model_fields, *ClusterSettings.model_fields)}
    assert set(re.findall(r"\bINFERWAY_[A-Z_]*[A-Z](?![A-Z_])", TEXT)) <= names


def test_documented_namespace_labels_match_the_policies() -> None:
    selected = set()
    for policy in of_kind(overlay("production"), "NetworkPolicy"):
        for rule in (*policy["spec"].get("ingress", ()), *policy["spec"].get("egress", ())):
            for peer in (*rule.get("from", ()), *rule.get("to", ())):
                selected |= set(peer.get("namespaceSelector", {}).get("matchLabels", {}).items())
    ours = {f"{key}={value}" for key, value in selected if key.startswith("inferway.dev/")}
    assert set(re.findall(r"inferway\.dev/(?:upstreams|scrapes)=[a-z]+", TEXT)) == ours
    demo = of_kind(rendered("samples"), "Namespace")[0]["metadata"]["labels"]
    assert demo["inferway.dev/upstreams"] == "allowed"


def test_download_addresses_have_the_current_version() -> None:
    refs = re.findall(r"\?ref=(\S+)", TEXT)
    assert len(refs) == 3
    assert set(refs) == {f"v{__version__}"}


def test_first_documented_route_passes_production_policy() -> None:
    objects = [item for block in BLOCKS if "kind: GatewayRoute" in block for item in yaml.safe_load_all(block)]
    assert [item["kind"] for item in objects] == ["Namespace", "GatewayRoute"]
    assert objects[1]["metadata"]["namespace"] == objects[0]["metadata"]["name"]
    assert is_let_in(objects[1])


def test_samples_are_outside_the_production_policy() -> None:
    """Check the statement of the text about the samples."""
    assert not any(is_let_in(route) for route in of_kind(rendered("samples"), "GatewayRoute"))
    assert re.search(r"`manifests/samples` .* is for the overlay `dev`", TEXT)


def test_uninstall_deletes_all_cluster_objects_except_the_crds(tmp_path: Path) -> None:
    objects = with_webhook(tmp_path)
    without_namespace = {item["kind"] for item in objects if "namespace" not in item["metadata"]}
    kinds = re.search(r"^kubectl delete -l app\.kubernetes\.io/part-of=inferway \\\n  (\S+)$", TEXT, re.MULTILINE)
    assert kinds
    assert sorted(kinds[1].split(",")) == sorted(
        kind.lower() for kind in without_namespace - {"CustomResourceDefinition", "Namespace"}
    )
    deleted = re.search(r"^kubectl delete namespace (.*)$", TEXT, re.MULTILINE)
    assert deleted
    assert set(deleted[1].split()) == {item["metadata"]["name"] for item in of_kind(objects, "Namespace")}


def test_documented_network_policy_patches_apply(tmp_path: Path) -> None:
    patches = [yaml.safe_load(block)["patches"] for block in BLOCKS if block.startswith("patches:")]
    assert len(patches) == 3  # that of the webhook's policy: test_manifests_network_policies
    objects = with_patches(tmp_path, "production", [patch for block in patches for patch in block])
    gateway = named(objects, "NetworkPolicy", "inferway-gateway")["spec"]["egress"]
    operator = named(objects, "NetworkPolicy", "inferway-operator")["spec"]["egress"]
    api_server = {"to": [{"ipBlock": {"cidr": "192.0.2.10/32"}}], "ports": [tcp(6443), tcp(443)]}
    assert (gateway[0], operator) == (api_server, [api_server])
    names = [rule for rule in gateway if tcp(53) in rule.get("ports", ())]
    blocks = [peer["ipBlock"]["cidr"] for rule in names for peer in rule["to"] if "ipBlock" in peer]
    assert blocks == ["169.254.20.10/32", "198.51.100.10/32"]


def test_network_policies_exclude_the_pod_network_of_kind() -> None:
    network = settings(overlay("load"), "gateway")["INFERWAY_TRUSTED_PROXIES"]
    for name in ("gateway", "operator"):
        rules = named(overlay("e2e"), "NetworkPolicy", f"inferway-{name}")["spec"]["egress"]
        blocks = [peer["ipBlock"] for rule in rules for peer in rule["to"] if "ipBlock" in peer]
        assert [block["except"] for block in blocks if block["cidr"] == "0.0.0.0/0"] == [[network]]


def tcp(port: int) -> dict[str, object]:
    return {"protocol": "TCP", "port": port}
