"""Which cases a test is about: the pytest side of `make cases` (loaded by the root conftest).

`@pytest.mark.case("P1", "P3")` says that a test shows the whole of these cases (for several tests: all of them together).
A test that names an ID without the mark, in its name (`test_p1_...`) or in its parameter (`P1 two lengths`), shows a part.

PYTEST_DONT_REWRITE: `make cases` imports this before pytest could, and there is no assertion in it.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

CASES: dict[str, str] = yaml.safe_load(Path(__file__).with_name("cases.yaml").read_text("utf-8"))
"""ID and title, in order."""

_IN_NAME = re.compile(r"(?:_|^)([plcruskx]\d{1,2})(?=_)")
_IN_PARAMETER = re.compile(r"\b([PLCRUSKX]\d{1,2})\b")


def marked_cases(item: pytest.Item) -> set[str]:
    """IDs of which the test says that it shows them."""
    return {case for mark in item.iter_markers("case") for case in mark.args}


def named_cases(item: pytest.Item) -> set[str]:
    """IDs that the test names besides."""
    name, _, parameter = item.name.removeprefix("test").partition("[")
    named = {found.upper() for found in _IN_NAME.findall(name)} | set(_IN_PARAMETER.findall(parameter))
    return (named & CASES.keys()) - marked_cases(item)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A mark with an ID that the table does not have is a typing error."""
    for item in items:
        if unknown := marked_cases(item) - CASES.keys():
            raise pytest.UsageError(f"{item.nodeid}: no such case: {', '.join(sorted(unknown))}")
