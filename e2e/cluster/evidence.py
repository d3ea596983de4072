"""What a failed test leaves behind: logs, events, resources and documents, in one folder."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Final

from e2e.cluster.access import ROOT, Cluster

FOLDER: Final = ROOT / "build" / "e2e"

LOOKS: Final[dict[str, tuple[str, ...]]] = {
    "pods.txt": ("get", "pods", "--all-namespaces", "-o", "wide"),
    "pods-described.txt": ("describe", "pods", "--all-namespaces"),
    "events.txt": ("get", "events", "--all-namespaces", "--sort-by=.metadata.creationTimestamp"),
    "resources.yaml": ("get", "gatewayroutes,ratelimitpolicies", "--all-namespaces", "-o", "yaml"),
    "documents.yaml": ("get", "configmaps", "-n", "inferway-system", "-o", "yaml"),
    "leases.yaml": ("get", "leases", "-n", "inferway-system", "-o", "yaml"),
    "endpoints.yaml": ("get", "endpointslices", "--all-namespaces", "-o", "yaml"),
    "policies.yaml": ("get", "networkpolicies", "--all-namespaces", "-o", "yaml"),
    "nodes.txt": ("describe", "nodes"),
}
LINES: Final = "3000"
"""Of each container's log."""


def collect(cluster: Cluster, test: str, failure: str) -> Path:
    """Everything into a folder of the test's name, which replaces an earlier one; where it is. What cannot be had is told in
    its place: nothing here hides the failure that it is about."""
    folder = FOLDER / re.sub(r"[^\w.-]+", "-", test)
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "logs").mkdir(parents=True)
    (folder / "failure.txt").write_text(failure)
    for name, arguments in LOOKS.items():
        (folder / name).write_text(_said(cluster, *arguments))
    pods = _said(
        cluster,
        "get",
        "pods",
        "--all-namespaces",
        "-o",
        "jsonpath={range .items[*]}{.metadata.namespace}/{.metadata.name} {end}",
    )
    for pod in pods.split():
        namespace, _, name = pod.partition("/")
        for file, flags in ((f"{name}.log", ()), (f"{name}.previous.log", ("--previous",))):
            said = cluster.attempt(
                "logs", "-n", namespace, name, "--all-containers", f"--tail={LINES}", "--timestamps", *flags
            )
            if said.returncode == 0 or not flags:  # most have no previous container
                (folder / "logs" / f"{namespace}-{file}").write_text(said.stdout or said.stderr)
    return folder


def _said(cluster: Cluster, *arguments: str) -> str:
    done = cluster.attempt(*arguments)
    return done.stdout if done.returncode == 0 else f"kubectl {' '.join(arguments)}: {done.stderr}"
