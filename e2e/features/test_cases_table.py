"""The table of cases: what a mark, a name and a failure make of a case."""

from __future__ import annotations

import pytest

from e2e.case_marks import CASES, shown, touched
from e2e.cases import Collector


def test_every_case_is_in_the_table():
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
def test_cases_are_chosen_by_letter_or_by_id(prefixes, case, wanted):
    assert Collector(prefixes).wants(case) is wanted


def test_a_case_passes_when_a_test_is_marked_with_it_and_none_that_names_it_fails():
    collector = Collector(())
    assert collector.state("P1") == "not yet"
    collector.parts["P1"].add("test_a")
    assert collector.state("P1") == "not yet"
    collector.full["P1"].add("test_b")
    assert collector.state("P1") == "pass"
    collector.failed.add("test_a")
    assert collector.state("P1") == "fail"


@pytest.mark.parametrize("what", ["P3 its parameter", "none"])
def test_x9_p1_l2_tests_name_cases_in_their_names_and_parameters(request, what):
    assert touched(request.node) == {"P1", "L2"} | ({"P3"} if what != "none" else set())
    assert shown(request.node) == set()
