"""Runs other programs: docker, kind, kubectl."""

import shutil
import subprocess
import sys
from collections.abc import Sequence
from typing import Final

WHERE: Final = {
    "docker": "https://docs.docker.com/engine/install/",
    "kind": "https://kind.sigs.k8s.io/docs/user/quick-start/#installation",
    "kubectl": "https://kubernetes.io/docs/tasks/tools/",
    "tilt": "https://docs.tilt.dev/install.html",
}
"""How to install each."""


class CommandError(Exception):
    """A command failed. The message names the error and its fix in one line for the user."""


def need(*programs: str) -> None:
    """Raise `CommandError` if a program is not on PATH, or if docker does not answer."""
    missing = [program for program in programs if shutil.which(program) is None]
    if missing:
        raise CommandError("; ".join(f"{program} is not installed: {WHERE[program]}" for program in missing))
    if "docker" in programs:
        info = subprocess.run(["docker", "info"], capture_output=True, text=True, check=False)
        if info.returncode != 0:
            last_line = (info.stderr.strip() or info.stdout.strip()).splitlines()[-1:]
            raise CommandError(f"docker does not answer: {''.join(last_line)}")


def run(*command: str, feed: str | None = None) -> None:
    """Run a command and show its output. Raises `CommandError` if it fails."""
    sys.stderr.write(f"+ {' '.join(command)}\n")
    sys.stderr.flush()
    ended = subprocess.run(command, input=feed, text=True, check=False)
    if ended.returncode != 0:
        raise CommandError(f"{_short(command)} failed with exit code {ended.returncode}")


def ask(*command: str) -> str:
    """Run a command and return its standard output. Raises `CommandError` with its standard error if it fails."""
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    if ended.returncode != 0:
        raise CommandError(f"{_short(command)}: {ended.stderr.strip()}")
    return ended.stdout


def _short(command: Sequence[str]) -> str:
    return " ".join(command[:4])
