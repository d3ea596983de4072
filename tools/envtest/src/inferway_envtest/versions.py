"""Which programs, of which versions, from where: read from go.mod, which pins them."""

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
    """The version of a module that go.mod requires, such as `v1.34.0`."""
    found = re.search(rf"^\t{re.escape(module)} (v\S+)$", (MODULE / "go.mod").read_text(encoding="utf-8"), re.MULTILINE)
    if found is None:
        raise LookupError(f"{MODULE / 'go.mod'} does not require {module}")
    return found[1]


def cache_key() -> str:
    """The name of the folder for what is built: another pin, another folder."""
    pins = hashlib.sha256()
    for name in ("go.mod", "go.sum"):
        pins.update((MODULE / name).read_bytes())
    return f"{required('k8s.io/kubernetes')}-{pins.hexdigest()[:10]}"
