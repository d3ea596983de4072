"""Every attribute of a core class is read by the product: an option that no code reads does nothing."""

import ast
from collections import defaultdict
from pathlib import Path

import inferway_dataplane
from inferway_dataplane.core.rule import Rule

ROOT = Path(inferway_dataplane.__file__).parent
TREES = {path.relative_to(ROOT).as_posix(): ast.parse(path.read_text(encoding="utf-8")) for path in ROOT.rglob("*.py")}


def readers() -> dict[str, set[str]]:
    """Which modules read an attribute, by its name."""
    modules = defaultdict(set)
    for module, tree in TREES.items():
        for node in ast.walk(tree):
            if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Load):
                modules[node.attr].add(module)
    return modules


def slots(module: str) -> dict[str, set[str]]:
    """The slots of a module's classes, by class."""
    return {
        node.name: set(ast.literal_eval(statement.value))
        for node in TREES[module].body
        if isinstance(node, ast.ClassDef)
        for statement in node.body
        if isinstance(statement, ast.Assign) and ast.unparse(statement.targets[0]) == "__slots__"
    }


def test_core_attributes_are_all_read() -> None:
    modules = readers()
    defined = {
        (module, name, slot)
        for module in TREES
        if module.startswith(("core/", "stores/"))
        for name, names in slots(module).items()
        for slot in names
    }
    assert ("core/messages/request_head.py", "FieldBlock", "keep_alive") in defined
    assert sorted(entry for entry in defined if not modules[entry[2]]) == []


def test_rule_attributes_are_read_outside_of_its_module() -> None:
    modules = readers()
    assert slots("core/rule.py")["Rule"] == set(Rule.__slots__)
    assert [slot for slot in Rule.__slots__ if not modules[slot] - {"core/rule.py"}] == []
