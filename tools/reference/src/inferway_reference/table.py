"""Markdown tables, and the docstrings of module constants."""

import ast
from collections.abc import Iterable
from itertools import pairwise
from pathlib import Path


def table(columns: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """Return a Markdown table."""
    head = tuple(columns)
    lines = "".join(f"| {' | '.join(map(_cell, row))} |\n".replace("|  |", "| |") for row in (head, *rows))
    first, rest = lines.split("\n", 1)
    return f"{first}\n{'|---' * len(head)}|\n{rest}"


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def docstrings(path: Path) -> dict[str, str]:
    """Return the constants of a module that are followed by a docstring."""
    body = ast.parse(path.read_text(encoding="utf-8")).body
    found = {}
    for node, following in pairwise(body):
        if (
            isinstance(node, ast.AnnAssign)
            and isinstance(node.target, ast.Name)
            and isinstance(following, ast.Expr)
            and isinstance(following.value, ast.Constant)
            and isinstance(following.value.value, str)
        ):
            found[node.target.id] = " ".join(following.value.value.split())
    return found
