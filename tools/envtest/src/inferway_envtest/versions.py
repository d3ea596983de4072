"""The programs, their versions and their modules, as pinned in go.mod."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path

MODULE = Path(__file__).resolve().parents[2]
"""The folder with go.mod and go.sum."""


@dataclass(frozen=True)
class Program:
    """A program that tests start."""

    name: str
    package: str
    """Go's name for its main package."""


ETCD = Program("etcd", "go.etcd.io/etcd/server/v3")
SERVER = Program("kube-apiserver", "k8s.io/kubernetes/cmd/kube-apiserver")
CONTROLLERS = Program("kube-controller-manager", "k8s.io/kubernetes/cmd/kube-controller-manager")
PROGRAMS = (ETCD, SERVER, CONTROLLERS)


def required(module: str) -> str:
    """Return the version of a module that go.mod requires, such as `v1.34.0`."""
    match = re.search(rf"^\t{re.escape(module)} (v\S+)$", (MODULE / "go.mod").read_text(encoding="utf-8"), re.MULTILINE)
    if match is None:
        raise LookupError(f"{MODULE / 'go.mod'} does not require {module}")
    return match[1]


def cache_key() -> str:
    """Return the name of the cache folder; it changes with the pins."""
    pins = hashlib.sha256()
    for name in ("go.mod", "go.sum"):
        pins.update((MODULE / name).read_bytes())
    return f"{required('k8s.io/kubernetes')}-{pins.hexdigest()[:10]}"
