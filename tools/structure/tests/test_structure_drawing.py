"""The drawing in docs/architecture.md follows the import contracts, and these name every module of what they layer."""

import importlib.util
import pkgutil
from pathlib import Path

import pytest

from inferway_structure.__main__ import CONTRACTS, END, START, TITLES, Contracts, draw, updated

ROOT = Path(__file__).parents[3]
PRODUCT = Contracts(CONTRACTS.read_text(encoding="utf-8"))
SMALL = """
[importlinter]
root_packages =
    inferway_contract
    inferway_kube
    inferway_dataplane

[importlinter:contract:low]
name = The contract and kube import no package
type = forbidden
source_modules =
    inferway_contract
    inferway_kube
forbidden_modules =
    inferway_contract
    inferway_kube
    inferway_dataplane

[importlinter:contract:dataplane]
name = The data plane reads downwards
type = layers
containers = inferway_dataplane
layers =
    main | (admin)
    engine | stores

[importlinter:contract:engine]
name = The engine reads downwards
type = layers
containers = inferway_dataplane.engine
layers =
    stages
    clock
"""
SMALL_DRAWING = """
┌─ dataplane/: the data plane ─────────────────────────────────────────────────────────────┐
│ main | admin                                                                             │
│ stores                                                                                   │
│ ┌─ engine ─────────────────────────────────────────────────────────────────────────────┐ │
│ │ stages                                                                               │ │
│ │ clock                                                                                │ │
│ └──────────────────────────────────────────────────────────────────────────────────────┘ │
└──────────────────────────────────────────────────────────────────────────────────────────┘
┌─ crds/: the contract ─────────────────────┐  ┌─ kube/: the client of the API server ─────┐
└───────────────────────────────────────────┘  └───────────────────────────────────────────┘
"""


def test_drawing_is_current() -> None:
    text = (ROOT / "docs/architecture.md").read_text(encoding="utf-8")
    assert text == updated(text, PRODUCT), "run `make drawing`"


@pytest.mark.parametrize("container", PRODUCT.layers)
def test_layers_name_every_module(container: str) -> None:
    spec = importlib.util.find_spec(container)
    assert spec is not None
    modules = {module.name for module in pkgutil.iter_modules(spec.submodule_search_locations)}
    assert {name for names in PRODUCT.layers[container] for name in names} == modules


def test_packages_are_drawn_above_those_they_may_import() -> None:
    levels = {package: PRODUCT.level(package) for package in PRODUCT.packages}
    assert levels == {
        "inferway_cli": 2,
        "inferway_operator": 1,
        "inferway_dataplane": 1,
        "inferway_contract": 0,
        "inferway_kube": 0,
    }
    assert set(TITLES) == set(levels)


def test_layers_within_layers_are_boxes() -> None:
    small = draw(Contracts(SMALL))
    assert SMALL_DRAWING in small
    assert small.endswith("- The data plane reads downwards.\n- The engine reads downwards.\n")


def test_text_around_the_drawing_stays() -> None:
    small = Contracts(SMALL)
    assert updated(f"before\n{START}old\n{END}after\n", small) == f"before\n{START}{draw(small)}{END}after\n"
    with pytest.raises(ValueError, match="not found"):
        updated("no marker", small)
