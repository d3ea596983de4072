"""helm for tests of the chart: in $KUBEBUILDER_ASSETS, in the cache, or built with Go from the module that helm/go.mod pins.

The build takes one to three minutes on two cores, once for each version.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Mapping
from pathlib import Path

from inferway_envtest import binaries
from inferway_envtest import build as envtest_build
from inferway_envtest.binaries import MissingProgramsError
from inferway_envtest.file_lock import locked
from inferway_envtest.versions import MODULE, Program, required

PINS = MODULE / "helm"
"""The folder with go.mod and go.sum."""
HELM = Program("helm", "helm.sh/helm/v3/cmd/helm")
TIMEOUT = 50.0  # seconds, below the time limit of a test


def find(environment: Mapping[str, str] = os.environ) -> Path:
    """Return the program. Raises `MissingProgramsError` without Go, and `build.BuildError`."""
    assets = environment.get(binaries.ASSETS)
    folder = binaries.cache(environment).parent / f"helm-{_version()}-{_key()}"
    for place in (Path(assets) if assets else folder, folder):
        if os.access(place / HELM.name, os.X_OK):
            return place / HELM.name
    if not envtest_build.is_possible():
        raise MissingProgramsError("no helm for tests of the chart: install Go (docs/testing.md, 'A real API server')")
    with locked(folder.with_suffix(".lock")):
        if not (folder / HELM.name).exists():  # another process may just have built it
            envtest_build.build([HELM], folder, PINS, linker_flags())
    return folder / HELM.name


def linker_flags() -> str:
    """Return the flags: without debug tables, with helm's version and the Kubernetes version that `helm template` assumes."""
    major, minor, _ = required("k8s.io/kubernetes").removeprefix("v").split(".")
    stamps = {"helm.sh/helm/v3/internal/version.version": _version()}
    for package in ("chartutil", "lint/rules"):
        stamps[f"helm.sh/helm/v3/pkg/{package}.k8sVersionMajor"] = major
        stamps[f"helm.sh/helm/v3/pkg/{package}.k8sVersionMinor"] = minor
    return " ".join(["-s -w", *(f"-X {name}={value}" for name, value in stamps.items())])


def _version() -> str:
    match = re.search(r"^require helm\.sh/helm/v3 (v\S+)$", (PINS / "go.mod").read_text(encoding="utf-8"), re.MULTILINE)
    if match is None:
        raise LookupError(f"{PINS / 'go.mod'} does not require helm.sh/helm/v3")
    return match[1]


def _key() -> str:
    pins = b"".join((PINS / name).read_bytes() for name in ("go.mod", "go.sum"))
    return hashlib.sha256(pins).hexdigest()[:10]
