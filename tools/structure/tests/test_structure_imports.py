"""The imports of the product have no cycle: imports for types count, and so does a package's `__init__`.

import-linter's contract of acyclic siblings compares whole folders, but not a package with its own modules.
"""

from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import grimp
import pytest
from importlinter import api

ROOT = Path(__file__).parents[3]


def import_cycle(*packages: str) -> list[str]:
    """Return the modules of one cycle, the first one again at the end, or nothing."""
    graph = grimp.build_graph(*packages, cache_dir=None)
    try:
        TopologicalSorter({name: graph.find_modules_directly_imported_by(name) for name in graph.modules}).prepare()
    except CycleError as error:
        return list(reversed(error.args[1]))  # each one imports the next
    return []


def test_product_has_no_import_cycle() -> None:
    options = api.read_configuration(str(ROOT / ".importlinter"))["session_options"]
    assert import_cycle(*options["root_packages"]) == []


@pytest.mark.parametrize(
    ("first", "second", "cycle"),
    [
        ("", "from shapes import first", []),
        ("from shapes import second", "", []),
        ("from shapes import second", "from shapes import first", ["shapes.first", "shapes.second"]),
        (
            "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from shapes.second import Two",
            "def two():\n    from shapes.first import One",
            ["shapes.first", "shapes.second"],
        ),
        ("from shapes import ONE", "", ["shapes", "shapes.first"]),
    ],
    ids=["none", "down only", "each other", "for types and late", "with the package"],
)
def test_cycle_in_a_small_package(
    first: str, second: str, cycle: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "shapes"
    package.mkdir()
    (package / "__init__.py").write_text("from shapes.first import ONE\n" if "shapes" in cycle else "")
    (package / "first.py").write_text(first)
    (package / "second.py").write_text(second)
    monkeypatch.syspath_prepend(tmp_path)
    modules = import_cycle("shapes")
    assert sorted(set(modules)) == cycle
    assert modules[:1] == modules[-1:]
