"""Conditions: every type and every reason is explained, and nothing else is."""

import re
from pathlib import Path

from inferway_contract.conditions import ConditionType, Reason

TEXT = (Path(__file__).parents[2] / "docs/conditions.md").read_text(encoding="utf-8")


def rows(heading: str) -> list[list[str]]:
    """The rows of the table below a heading."""
    _, _, after = TEXT.partition(f"\n## {heading}\n")
    section = after.partition("\n## ")[0]
    lines = [line for line in section.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


def test_docs_list_every_condition_type() -> None:
    assert [row[0] for row in rows("Types")] == [f"`{kind.value}`" for kind in ConditionType]


def test_docs_give_every_reason_a_meaning_and_a_fix() -> None:
    found = [row for kind in ConditionType for row in rows(kind.value)]
    assert {row[0] for row in found} == {f"`{reason.value}`" for reason in Reason}
    for reason, status, meaning, mending in found:
        assert status in ("True", "False", "True or False", "Unknown"), reason
        assert len(meaning) > 20, reason
        assert len(mending) > 3, reason


def test_docs_list_a_reason_once_for_each_type() -> None:
    for kind in ConditionType:
        reasons = [row[0] for row in rows(kind.value)]
        assert reasons
        assert sorted(reasons) == sorted(set(reasons)), kind


def test_types_and_reasons_are_camel_case() -> None:
    for word in (*ConditionType, *Reason):
        assert re.fullmatch(r"[A-Z][A-Za-z]*", word.value)
