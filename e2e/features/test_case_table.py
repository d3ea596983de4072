"""The table of cases: the effect of a mark, a name and a failure on a case."""

from __future__ import annotations

import pytest

from e2e.case_marks import CASES, marked_cases, named_cases
from e2e.cases import Collector


def test_table_has_every_case():
    counts = {letter: sum(case[0] == letter for case in CASES) for letter in "PLCRUSKX"}
    assert counts == {"P": 17, "L": 7, "C": 12, "R": 8, "U": 7, "S": 5, "K": 5, "X": 3}


@pytest.mark.parametrize(
    ("prefixes", "case", "wanted"),
    [
        ((), "P1", True),
        (("P",), "P17", True),
        (("P1",), "P17", False),
        (("P1",), "P1", True),
        (("L", "C1"), "P1", False),
    ],
)
def test_cases_are_selected_by_letter_or_id(prefixes, case, wanted):
    assert Collector(prefixes).wants(case) is wanted


def test_case_passes_if_its_marked_tests_pass_and_no_part_fails():
    collector = Collector(())
    assert collector.state("P1") == "not yet"
    collector.parts["P1"].add("test_a")
    assert collector.state("P1") == "not yet"
    collector.full["P1"].add("test_b")
    assert collector.state("P1") == "pass"
    collector.failed.add("test_a")
    assert collector.state("P1") == "fail"


@pytest.mark.parametrize("what", ["P3 its parameter", "none"])
def test_x9_p1_l2_cases_are_read_from_names_and_parameters(request, what):
    assert named_cases(request.node) == {"P1", "L2"} | ({"P3"} if what != "none" else set())
    assert marked_cases(request.node) == set()
