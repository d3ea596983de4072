"""Tests replace no name of core, engine or stores: in compiled form such a patch has no effect, silently.

Tests reach clock, random, connector, ticks and failures through constructor arguments or fakes.
"""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
FOLDERS = ("dataplane/tests", "e2e", "bench")
COMPILED = tuple(f"inferway_dataplane.{package}" for package in ("core", "engine", "stores"))
PATCHES = ("setattr", "delattr", "patch", "patch.object")
"""How calls of a patch end, whatever the fixture or the module is called."""


def patches(source: str) -> Iterator[tuple[int, str]]:
    """Find patches of names in `COMPILED`: their lines and targets."""
    tree = ast.parse(source)
    imported = dict(imports(tree))
    for node in ast.walk(tree):
        # In `for module in (timeouts, pool):`, the variable stands for any of them.
        if isinstance(node, ast.For) and isinstance(node.target, ast.Name):
            for each in ast.walk(node.iter):
                if isinstance(each, ast.Name) and each.id in imported:
                    imported[node.target.id] = imported[each.id]
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.Call)
            and node.args
            and f".{ast.unparse(node.func)}".endswith(tuple(f".{name}" for name in PATCHES))
        ):
            target = target_of(node.args[0], imported)
            if target.startswith(COMPILED):
                yield node.lineno, target


def imports(tree: ast.Module) -> Iterator[tuple[str, str]]:
    """Find what a module imports: the name here, and the full name."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            yield from ((alias.asname or alias.name, f"{node.module}.{alias.name}") for alias in node.names)
        elif isinstance(node, ast.Import):
            for alias in node.names:
                package = alias.name.partition(".")[0]
                yield (alias.asname, alias.name) if alias.asname else (package, package)


def target_of(argument: ast.expr, imported: dict[str, str]) -> str:
    """Return the full name that a patch replaces or looks into; "" if it is an object of the test."""
    if isinstance(argument, ast.Constant):
        return str(argument.value)
    first, _, rest = ast.unparse(argument).partition(".")
    return ".".join(filter(None, (imported.get(first, ""), rest))) if first in imported else ""


def test_no_test_patches_a_compiled_module() -> None:
    patched = [
        f"{path.relative_to(ROOT)}:{line} {target}"
        for folder in FOLDERS
        for path in sorted((ROOT / folder).rglob("*.py"))
        for line, target in patches(path.read_text(encoding="utf-8"))
    ]
    assert patched == []


@pytest.mark.parametrize(
    ("source", "target"),
    [
        ("monkeypatch.setattr('inferway_dataplane.core.retry.random', f)", "inferway_dataplane.core.retry.random"),
        ("from inferway_dataplane.engine import pool\nmonkeypatch.setattr(pool, 'X', 1)", "inferway_dataplane.engine.pool"),
        (
            "from inferway_dataplane.engine.pool import Pool as P\nmonkeypatch.setattr(P, 'connect', f)",
            "inferway_dataplane.engine.pool.Pool",
        ),
        ("import inferway_dataplane.stores.memory\nmonkeypatch.delattr(inferway_dataplane.stores.memory, 'X')", "inferway_dataplane.stores.memory"),
        ("from inferway_dataplane.engine import a\nfor module in (a,):\n    monkeypatch.setattr(module, 'x', 1)", "inferway_dataplane.engine.a"),
        ("with monkeypatch.context() as m:\n    m.setattr('inferway_dataplane.core.x', 1)", "inferway_dataplane.core.x"),
        ("mock.patch('inferway_dataplane.stores.memory.now')", "inferway_dataplane.stores.memory.now"),
        ("monkeypatch.setattr('inferway_dataplane.system.memory.now', f)", ""),
        ("import os\nmonkeypatch.setattr(os, 'listdir', f)", ""),
        ("monkeypatch.setattr(wire.transport, 'write', f)", ""),
    ],
)  # fmt: skip
def test_patch_is_found_by_its_target(source: str, target: str) -> None:
    assert [name for _, name in patches(source)] == ([target] if target else [])
