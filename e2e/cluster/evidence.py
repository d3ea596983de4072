"""What a failed test leaves behind: logs, events, resources and documents, in one folder."""

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
"""Of each container's log."""
SECONDS: Final = 30.0
"""For each look: the API server itself may be what has failed."""


def collect(cluster: Cluster, test: str, failure: str) -> Path:
    """Everything into a folder of the test's name, which replaces an earlier one; where it is. What cannot be had is told in
    its place: nothing here hides the failure that it is about."""
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
            continue  # it is an error that stands there
        look = ("logs", "-n", namespace, name, "--all-containers", f"--tail={LINES}", "--timestamps")
        (folder / "logs" / f"{namespace}-{name}.log").write_text(_output_of(cluster, *look))
        # Of most there is none, which is what this file says then.
        (folder / "logs" / f"{namespace}-{name}.previous.log").write_text(_output_of(cluster, *look, "--previous"))
    return folder


def _output_of(cluster: Cluster, *arguments: str) -> str:
    try:
        done = cluster.attempt(*arguments, timeout=SECONDS)
    except subprocess.TimeoutExpired as error:
        return str(error)
    return done.stdout if done.returncode == 0 else f"kubectl {' '.join(arguments)}: {done.stderr}"
