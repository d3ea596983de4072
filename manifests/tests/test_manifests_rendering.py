"""Rules for all kustomizations."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from kustomizations import (
    MANIFESTS,
    OVERLAYS,
    folders,
    of_kind,
    overlay,
    render,
    rendered,
    templates,
    with_components,
    with_webhook,
)

from inferway_contract import __version__

IMAGES = {
    "ghcr.io/inferway/operator",
    "ghcr.io/inferway/dataplane",
    "ghcr.io/inferway/standalone",
    "ghcr.io/inferway/service-python",
    "ghcr.io/inferway/service-node",
    "grafana/k6",
}


@pytest.mark.parametrize("folder", folders())
def test_kustomization_renders_unique_objects(folder: str) -> None:
    objects = rendered(folder)
    ids = [(item["kind"], item["metadata"].get("namespace"), item["metadata"]["name"]) for item in objects]
    assert ids
    assert len(ids) == len(set(ids))


def test_every_component_is_part_of_a_rendered_overlay(tmp_path: Path) -> None:
    used = {"webhook", "webhook-network-policy", "ship-access-log"}
    for folder in folders():
        kustomization = yaml.safe_load((MANIFESTS / folder / "kustomization.yaml").read_text())
        used |= {Path(name).name for name in kustomization.get("components", ())}
    assert used == {path.name for path in (MANIFESTS / "components").iterdir()}
    assert of_kind(with_webhook(tmp_path), "ValidatingWebhookConfiguration")
    shipped = templates(with_components(tmp_path, "dev", "ship-access-log"))["inferway-gateway"]
    assert [container["name"] for container in shipped["spec"]["initContainers"]] == ["access-log"]


def test_crds_apply_as_kustomization_and_as_folder() -> None:
    crds = MANIFESTS.parent / "crds"
    names = {item["metadata"]["name"] for item in render(crds)}
    assert names == {yaml.safe_load(file.read_text())["metadata"]["name"] for file in crds.glob("*.yaml")}


@pytest.mark.parametrize("folder", [folder for folder in folders() if not folder.startswith("base/")])
def test_pods_run_project_images_with_the_expected_tag(folder: str) -> None:
    for name, template in templates(rendered(folder)).items():
        for container in template["spec"]["containers"]:
            image, _, tag = container["image"].rpartition(":")
            assert image in IMAGES, name
            if not image.startswith("ghcr.io/inferway/"):
                continue
            if folder in ("base", "overlays/production") or folder.startswith("overlays/second-gateway"):
                expected = __version__
            else:
                expected = "dev"
                assert container["imagePullPolicy"] == "IfNotPresent", name
            assert tag == expected, (folder, name)


@pytest.mark.parametrize("folder", [*(f"overlays/{name}" for name in OVERLAYS), "monitoring"])
def test_every_object_has_the_recommended_labels(folder: str) -> None:
    for item in rendered(folder):
        if item["kind"] != "CustomResourceDefinition" and item["metadata"].get("namespace") != "inferway-load":
            labels = item["metadata"]["labels"]
            assert labels["app.kubernetes.io/part-of"] == "inferway", item["metadata"]["name"]
            assert {"app.kubernetes.io/name", "app.kubernetes.io/component"} <= labels.keys(), item["metadata"]["name"]


@pytest.mark.parametrize("folder", [*(f"overlays/{name}" for name in OVERLAYS), "samples"])
def test_namespaces_enforce_restricted(folder: str) -> None:
    namespaces = of_kind(rendered(folder), "Namespace")
    assert namespaces
    for namespace in namespaces:
        assert namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"


def test_selectors_match_their_pods(tmp_path: Path) -> None:
    for objects in (*map(overlay, OVERLAYS), rendered("samples"), with_webhook(tmp_path)):
        pods = [
            (item["metadata"]["namespace"], item["spec"]["template"]["metadata"]["labels"])
            for item in of_kind(objects, "Deployment")
        ]
        for item in of_kind(objects, "Deployment", "Service", "PodDisruptionBudget", "NetworkPolicy"):
            spec = item["spec"]
            selector = spec.get("podSelector", spec.get("selector", {}))
            wanted = selector.get("matchLabels", {}) if item["kind"] != "Service" else selector
            assert any(
                namespace == item["metadata"]["namespace"] and wanted.items() <= labels.items()
                for namespace, labels in pods
            ), (item["kind"], item["metadata"]["name"])
