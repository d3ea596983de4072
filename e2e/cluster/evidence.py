"""Evidence of a failed test: logs, events, resources and documents, in one folder."""

from __future__ import annotations

import re
import shutil
import subprocess
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
"""Lines of each container's log."""
SECONDS: Final = 30.0
"""Timeout of each command, because the API server itself may have failed."""


def collect(cluster: Cluster, test: str, failure: str) -> Path:
    """Collect everything in a folder named after the test, which replaces an earlier one; returns its path.

    A file that cannot be collected contains the error instead, so nothing here hides the test's failure.
    """
    folder = FOLDER / re.sub(r"[^\w.-]+", "-", test)
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "logs").mkdir(parents=True)
    (folder / "failure.txt").write_text(failure)
    for name, arguments in LOOKS.items():
        (folder / name).write_text(_output_of(cluster, *arguments))
    pods = _output_of(
        cluster,
        "get",
        "pods",
        "--all-namespaces",
        "-o",
        "jsonpath={range .items[*]}{.metadata.namespace}/{.metadata.name} {end}",
    )
    for pod in pods.split():
        namespace, _, name = pod.partition("/")
        if not name:
            continue  # the file contains an error
        look = ("logs", "-n", namespace, name, "--all-containers", f"--tail={LINES}", "--timestamps")
        (folder / "logs" / f"{namespace}-{name}.log").write_text(_output_of(cluster, *look))
        # Most containers have no previous log; then the file contains that error.
        (folder / "logs" / f"{namespace}-{name}.previous.log").write_text(_output_of(cluster, *look, "--previous"))
    return folder


def _output_of(cluster: Cluster, *arguments: str) -> str:
    try:
        done = cluster.attempt(*arguments, timeout=SECONDS)
    except subprocess.TimeoutExpired as error:
        return str(error)
    return done.stdout if done.returncode == 0 else f"kubectl {' '.join(arguments)}: {done.stderr}"
