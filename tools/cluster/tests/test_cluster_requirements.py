"""Each image has the packages that its code imports, in the versions of the tests."""

import ast
import re
import sys
from importlib.metadata import packages_distributions, requires
from pathlib import Path

import pytest
from dockerfiles import instructions, sources

from inferway_cluster.images import IMAGES, ROOT, Image

PYTHON = [image for image in IMAGES if image.context == "."]
of_python = pytest.mark.parametrize("image", PYTHON, ids=lambda image: image.name)
OURS = {
    "inferway_contract",
    "inferway_kube",
    "inferway_operator",
    "inferway_dataplane",
    "inferway_cli",
    "service_python",
    "inferway_live",
}
NOT_INSTALLED = {
    # Modules of commands that the image does not run.
    "standalone": {"kopf", "aiohttp", "kubernetes"},
    # `inferway crds` and docs/api.md: the generators are part of the contract, and run in a checkout.
}


def pins(name: str) -> dict[str, str]:
    """Return the versions of a requirements file."""
    text = (ROOT / "requirements" / f"{name}.txt").read_text()
    return {match[1].lower(): match[2] for match in re.finditer(r"^([A-Za-z0-9._-]+)==([^ ;\\]+)", text, re.MULTILINE)}


def imported(folder: Path) -> set[str]:
    """Return the top-level modules that the sources below a folder import anywhere."""
    modules = set()
    for path in folder.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                modules |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.level == 0:
                modules.add(str(node.module).partition(".")[0])
    return modules - set(sys.stdlib_module_names)


@of_python
def test_lock_file_covers_every_import(image: Image) -> None:
    folders = [ROOT / path for path in sources(image) if "/src/" in path]
    modules = set().union(*(imported(folder) for folder in folders))
    distributions = packages_distributions()
    there = {name.replace("_", "-") for name in pins(image.name)}
    missing = {
        module
        for module in modules - OURS - NOT_INSTALLED.get(image.name, set())
        if not any(name.lower().replace("_", "-") in there for name in distributions[module])
    }
    assert missing == set()
    assert modules & OURS <= {folder.name for folder in folders}, "a package of ours that the image has not"


@of_python
def test_lock_file_has_the_versions_of_the_tests(image: Image) -> None:
    tested = pins("dev")
    assert {name: version for name, version in pins(image.name).items() if tested[name] != version} == {}


@of_python
def test_lock_file_has_hashes_and_no_addresses(image: Image) -> None:
    text = (ROOT / "requirements" / f"{image.name}.txt").read_text()
    blocks = re.split(r"^(?=[a-z])", text, flags=re.MULTILINE)[1:]
    assert len(blocks) == len(pins(image.name))
    assert all("--hash=sha256:" in block for block in blocks)
    assert not re.search(r"https?://|--index|--find-links", text)


@of_python
def test_image_installs_its_lock_file_with_hash_checks(image: Image) -> None:
    (install,) = [each.rest for each in instructions(image) if each.stage == "packages" and each.name == "RUN"]
    assert f"source=requirements/{image.name}.txt," in install
    for flag in ("--require-hashes", "--only-binary :all:", "--no-deps"):
        assert flag in install


def test_declared_dependencies_are_in_the_lock_file() -> None:
    """Detect a dependency that was added without `make lock`."""
    extras = {"operator": {"operator"}, "dataplane": {"dataplane", "otel"}}
    for name, wanted in extras.items():
        declared = {
            re.split(r"[ <>=!;\[]", line)[0].lower()
            for line in requires("inferway") or []
            if "extra" not in line or any(f"'{extra}'" in line for extra in wanted)
        }
        assert declared - set(pins(name)) == set()
