"""docs/install.md speaks of what there is."""

from __future__ import annotations

import re

from kustomizations import MANIFESTS, ROOT, folders, of_kind, overlay, rendered

from inferway_dataplane.cluster_settings import ClusterSettings
from inferway_dataplane.settings import Settings
from inferway_operator.http_settings import HttpSettings
from inferway_operator.settings import OperatorSettings

TEXT = (ROOT / "docs/install.md").read_text()


def test_every_folder_that_is_named_exists() -> None:
    named = set(re.findall(r"\bmanifests/[a-z0-9/.-]+[a-z0-9]", TEXT))
    assert len(named) >= 5
    assert [name for name in sorted(named) if not (ROOT / name).exists()] == []


def test_every_overlay_and_component_is_named() -> None:
    for name in (*(folder for folder in folders() if folder.startswith("overlays/") and folder.count("/") == 1),):
        assert f"`{name}`" in TEXT
    for path in (MANIFESTS / "components").iterdir():
        assert f"`{path.name}`" in TEXT


def test_every_setting_that_is_named_is_one_of_the_code() -> None:
    known = {
        f"INFERWAY_OPERATOR_{field.upper()}" for field in (*OperatorSettings.model_fields, *HttpSettings.model_fields)
    }
    known |= {f"INFERWAY_{field.upper()}" for field in (*Settings.model_fields, *ClusterSettings.model_fields)}
    assert set(re.findall(r"\bINFERWAY_[A-Z_]*[A-Z]", TEXT)) <= known


def test_labels_of_namespaces_are_those_of_the_policies() -> None:
    selected = set()
    for policy in of_kind(overlay("production"), "NetworkPolicy"):
        for rule in (*policy["spec"].get("ingress", ()), *policy["spec"].get("egress", ())):
            for peer in (*rule.get("from", ()), *rule.get("to", ())):
                selected |= set(peer.get("namespaceSelector", {}).get("matchLabels", {}).items())
    ours = {f"{key}={value}" for key, value in selected if key.startswith("inferway.dev/")}
    assert set(re.findall(r"inferway\.dev/(?:upstreams|scrapes)=[a-z]+", TEXT)) == ours
    demo = of_kind(rendered("samples"), "Namespace")[0]["metadata"]["labels"]
    assert demo["inferway.dev/upstreams"] == "allowed"
