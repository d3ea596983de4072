"""The cases of each test: the pytest side of `make cases` (loaded by the root conftest).

`@pytest.mark.case("P1", "P3")` means that a test proves these cases completely (several tests: all of them together).
A test that names an ID without the mark, in its name (`test_p1_...`) or in its parameter (`P1 two lengths`), proves a part.

PYTEST_DONT_REWRITE: `make cases` imports this module before pytest can, and it has no assertion.
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
    """Return the IDs in the test's marks."""
    return {case for mark in item.iter_markers("case") for case in mark.args}


def named_cases(item: pytest.Item) -> set[str]:
    """Return the IDs in the test's name and parameter."""
    name, _, parameter = item.name.removeprefix("test").partition("[")
    named = {case_id.upper() for case_id in _IN_NAME.findall(name)} | set(_IN_PARAMETER.findall(parameter))
    return (named & CASES.keys()) - marked_cases(item)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Fail for a mark with an ID that the table does not have."""
    for item in items:
        if unknown := marked_cases(item) - CASES.keys():
            raise pytest.UsageError(f"{item.nodeid}: no such case: {', '.join(sorted(unknown))}")
