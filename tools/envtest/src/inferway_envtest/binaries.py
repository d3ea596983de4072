"""The sources of the three programs. Each program is searched in this order:

1. in the folder $KUBEBUILDER_ASSETS, as for controller-runtime's envtest;
2. in the cache: $ENVTEST_CACHE, else `inferway/envtest` in the user's cache folder, one folder for each set of pins;
3. in the archive $ENVTEST_ARCHIVE, if set (it is unpacked into the cache);
4. built with Go from the modules that go.mod pins (into the cache).

The public archives have no kube-controller-manager, so that program then comes from another source.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from inferway_envtest import archive, versions
from inferway_envtest import build as envtest_build
from inferway_envtest.file_lock import locked
from inferway_envtest.progress import print_progress

ASSETS = "KUBEBUILDER_ASSETS"
CACHE = "ENVTEST_CACHE"
ARCHIVE = "ENVTEST_ARCHIVE"


class MissingProgramsError(Exception):
    """No source has a program."""


Programs = Mapping[str, Path]
"""The path of each program, by name."""


def cache(environment: Mapping[str, str] = os.environ) -> Path:
    """Return the cache folder of the present pins."""
    configured = environment.get(CACHE)
    users = Path(environment.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return (Path(configured) if configured else users / "inferway" / "envtest") / versions.cache_key()


def find(environment: Mapping[str, str] = os.environ) -> Programs:
    """Return the programs; building missing ones takes minutes.

    Raises `MissingProgramsError` if a program has no source; `OSError`, `archive.ArchiveError` or `build.BuildError` if a source fails.
    """
    folder = cache(environment)
    assets = environment.get(ASSETS)
    programs = present(folder) | (present(Path(assets)) if assets else {})
    if missing_programs(programs):
        with locked(folder.with_suffix(".lock")):
            programs = present(folder) | programs  # another process may just have built them
            if missing_programs(programs) and (address := environment.get(ARCHIVE)):
                archive.fetch(address, missing_programs(programs), folder)
                programs = present(folder) | programs
            if missing_programs(programs):
                programs = {**build(programs, folder), **programs}
    return programs


def build(present_programs: Programs, folder: Path) -> Programs:
    """Build the missing programs, into the cache."""
    if not envtest_build.is_possible():
        names = ", ".join(program.name for program in missing_programs(present_programs))
        raise MissingProgramsError(
            f"no {names} for a real API server: install Go, or set {ASSETS} to a folder that has them "
            "(docs/testing.md, 'A real API server')"
        )
    envtest_build.build(missing_programs(present_programs), folder)
    return present(folder)


def present(folder: Path) -> dict[str, Path]:
    """Return the programs that a folder contains."""
    paths = {program.name: folder / program.name for program in versions.PROGRAMS}
    return {name: path for name, path in paths.items() if os.access(path, os.X_OK) and path.is_file()}


def missing_programs(programs: Programs) -> list[versions.Program]:
    """Return the missing programs."""
    return [program for program in versions.PROGRAMS if program.name not in programs]


def print_paths(programs: Programs) -> None:
    """Print the path of each program."""
    for name, path in programs.items():
        print_progress(f"{name}: {path}")
