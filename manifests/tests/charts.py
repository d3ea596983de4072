"""The chart as users get it, and what `helm` makes of it."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml
from kustomizations import Manifest

from inferway_envtest import ApiServer

TIMEOUT = 50.0  # seconds, below the time limit of a test
CLUSTER_SCOPED = {"ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding"}
"""Kinds that the kustomize of kubectl puts into a namespace, which the API server ignores."""

Key = tuple[str, str, str]


def run(helm: Path, *arguments: str, home: Path, kubeconfig: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run helm with its caches in a folder."""
    environment = {"PATH": os.environ.get("PATH", ""), "HOME": str(home), "TZ": "UTC"}
    if kubeconfig is not None:
        environment["KUBECONFIG"] = str(kubeconfig)
    return subprocess.run(
        [str(helm), *arguments], capture_output=True, text=True, timeout=TIMEOUT, env=environment, check=False
    )


def template(helm: Path, chart: Path, *arguments: str) -> list[Manifest]:
    """Return the objects of `helm template`. Raises `AssertionError` with helm's message."""
    done = run(helm, "template", "release", str(chart), *arguments, home=chart.parent)
    assert done.returncode == 0, done.stderr
    return [item for item in yaml.safe_load_all(done.stdout) if item]


def values_file(folder: Path, values: dict[str, Any]) -> str:
    """Write a file of values, and return its path."""
    file = folder / "values.yaml"
    file.write_text(yaml.safe_dump(values), encoding="utf-8")
    return str(file)


def by_key(objects: Sequence[Manifest]) -> dict[Key, Manifest]:
    """Return objects by kind, namespace and name, without what only Helm reads."""
    plain = [_without_helm(item) for item in objects]
    keys = {_key(item): item for item in plain}
    assert len(keys) == len(plain)
    return keys


def live(api: ApiServer, objects: Sequence[Manifest]) -> dict[Key, Manifest]:
    """Return the live objects of the same names, as users wrote them: without status and the server's own fields."""
    found = api.kubectl("get", "-o", "yaml", "-f", "-", input=yaml.safe_dump_all(objects)).stdout
    return by_key([_as_written(item) for item in yaml.safe_load(found)["items"]])


def _key(item: Manifest) -> Key:
    metadata = item["metadata"]
    return item["kind"], metadata.get("namespace", ""), metadata["name"]


def _without_helm(item: Manifest) -> Manifest:
    metadata = dict(item["metadata"])
    annotations = {name: value for name, value in metadata.pop("annotations", {}).items() if "helm.sh/" not in name}
    if annotations:
        metadata["annotations"] = annotations
    if item["kind"] in CLUSTER_SCOPED:
        metadata.pop("namespace", None)
    return {**item, "metadata": metadata}


def _as_written(item: Manifest) -> Manifest:
    metadata = {name: item["metadata"].get(name, {}) for name in ("labels", "annotations")}
    labels = {name: value for name, value in metadata["labels"].items() if name != "app.kubernetes.io/managed-by"}
    metadata["annotations"].pop("kubectl.kubernetes.io/last-applied-configuration", None)
    names = {name: item["metadata"][name] for name in ("name", "namespace") if name in item["metadata"]}
    rest = {name: value for name, value in item.items() if name not in ("metadata", "status")}
    if item["kind"] == "Service":
        rest["spec"] = {name: value for name, value in item["spec"].items() if not name.startswith("clusterIP")}
    return {**rest, "metadata": {**names, "labels": labels, "annotations": metadata["annotations"]}}
