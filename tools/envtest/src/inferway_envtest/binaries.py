"""Where the three programs come from. Each is looked for in turn:

1. in the folder that $KUBEBUILDER_ASSETS names, as for controller-runtime's envtest;
2. in the cache: $INFERWAY_ENVTEST_CACHE, else `inferway/envtest` in the user's cache folder, one folder for each set of pins;
3. in the archive that $INFERWAY_ENVTEST_ARCHIVE names, when it is set (it goes into the cache);
4. built with Go from the modules that go.mod pins (into the cache).

The public archives have no kube-controller-manager, so that one then comes from another way.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from inferway_envtest import archive, versions
from inferway_envtest import build as envtest_build
from inferway_envtest.file_lock import locked
from inferway_envtest.progress import tell

ASSETS = "KUBEBUILDER_ASSETS"
CACHE = "INFERWAY_ENVTEST_CACHE"
ARCHIVE = "INFERWAY_ENVTEST_ARCHIVE"


class Missing(Exception):  # noqa: N818 - it is no fault, the machine just lacks what is needed
    """A program that none of the ways gives."""


Programs = Mapping[str, Path]
"""Where each program is, by its name."""


def cache(environment: Mapping[str, str] = os.environ) -> Path:
    """The folder for what is built from the present pins."""
    own = environment.get(CACHE)
    users = Path(environment.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return (Path(own) if own else users / "inferway" / "envtest") / versions.cache_key()


def find(environment: Mapping[str, str] = os.environ) -> Programs:
    """The programs, built if need be, which takes minutes.

    Raises `Missing` when no way is open to one of them; `OSError`, `archive.Unfit` or `building.Failed` when a way is
    open and goes wrong.
    """
    folder = cache(environment)
    assets = environment.get(ASSETS)
    found = present(folder) | (present(Path(assets)) if assets else {})
    if lacking(found):
        with locked(folder.with_suffix(".lock")):
            found = present(folder) | found  # somebody else may just have built them
            if lacking(found) and (address := environment.get(ARCHIVE)):
                archive.fetch(address, lacking(found), folder)
                found = present(folder) | found
            if lacking(found):
                found = {**build(found, folder), **found}
    return found


def build(found: Programs, folder: Path) -> Programs:
    """Build what is lacking, into the cache."""
    if not envtest_build.is_possible():
        names = ", ".join(program.name for program in lacking(found))
        raise Missing(
            f"no {names} for a real API server: install Go, or set {ASSETS} to a folder that has them "
            "(docs/testing.md, 'A real API server')"
        )
    envtest_build.build(lacking(found), folder)
    return present(folder)


def present(folder: Path) -> dict[str, Path]:
    """Those of the programs that a folder has."""
    paths = {program.name: folder / program.name for program in versions.PROGRAMS}
    return {name: path for name, path in paths.items() if os.access(path, os.X_OK) and path.is_file()}


def lacking(found: Programs) -> list[versions.Program]:
    """Those that are not there yet."""
    return [program for program in versions.PROGRAMS if program.name not in found]


def tell_where(found: Programs) -> None:
    """Say where each is."""
    for name, path in found.items():
        tell(f"{name}: {path}")
