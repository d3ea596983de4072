"""Builds the programs with Go from the modules that go.mod pins: about five minutes on two cores, once."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from time import monotonic

from inferway_envtest.progress import print_progress
from inferway_envtest.versions import MODULE, Program, required

PART = ".build-"
PROGRESS_INTERVAL = 30.0  # seconds between two lines of progress


class BuildError(Exception):
    """A build failed; the text is Go's output."""


def is_possible() -> bool:
    """Return whether Go is installed."""
    return shutil.which("go") is not None


def build(programs: Sequence[Program], folder: Path, module: Path = MODULE, flags: str = "") -> None:
    """Build programs of a module into a folder, under its lock; `flags` are the linker's, else those of Kubernetes.

    Each program appears there complete or not at all. Raises `BuildError`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for left in folder.glob(f"{PART}*"):
        shutil.rmtree(left)  # left by a killed build; this process holds the lock
    with tempfile.TemporaryDirectory(dir=folder, prefix=PART) as part:
        for program in programs:
            built = Path(part) / program.name
            run(program, command(program, built, flags or linker_flags()), module)
            built.rename(folder / program.name)


def command(program: Program, target: Path, flags: str) -> list[str]:
    """Return the command line of one build with the linker's flags."""
    return [
        "go",
        "build",
        "-trimpath",
        "-buildvcs=false",
        "-ldflags",
        flags,
        "-o",
        str(target),
        program.package,
    ]


def linker_flags() -> str:
    """Return the flags: without debug tables, with the version that `kubectl version` shows and feature gates use."""
    version = required("k8s.io/kubernetes")
    major, minor, _ = version.removeprefix("v").split(".")
    stamps = {"gitVersion": version, "gitMajor": major, "gitMinor": minor, "gitTreeState": "clean"}
    return " ".join(["-s -w", *(f"-X k8s.io/component-base/version.{name}={value}" for name, value in stamps.items())])


def run(program: Program, arguments: Sequence[str], module: Path = MODULE) -> None:
    """Run a build at low priority, and print its progress."""
    environment = {**os.environ, "CGO_ENABLED": "0", "GOFLAGS": "-mod=readonly"}
    began = monotonic()
    print_progress(f"building {program.name} with Go; the first time takes minutes")
    with (
        tempfile.TemporaryFile("w+", encoding="utf-8") as output,
        subprocess.Popen(["nice", *arguments], cwd=module, env=environment, stdout=output, stderr=output) as process,  # noqa: S603, S607
    ):
        try:
            while not is_over(process):
                print_progress(f"still building {program.name}, {monotonic() - began:.0f} s")
        except BaseException:
            process.kill()  # Ctrl-C: go itself ends its compilers
            raise
        if process.returncode != 0:
            output.seek(0)
            raise BuildError(f"go build {program.package} ended with {process.returncode}: {output.read()[-4000:]}")
    print_progress(f"built {program.name} in {monotonic() - began:.0f} s")


def is_over(process: subprocess.Popen[bytes]) -> bool:
    """Wait for its end, at most until the next line of progress."""
    try:
        process.wait(PROGRESS_INTERVAL)
    except subprocess.TimeoutExpired:
        return False
    return True
