"""Hostile requests cost little more than plain ones of their size: nothing in a request makes matching slower than linear."""

from __future__ import annotations

import sys

import pytest

from bench import hostile_requests
from bench.hostile_requests import CASES, Case


@pytest.mark.skipif(sys.gettrace() is not None, reason="a tracer makes loops in Python many times slower than others")
@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_hostile_request_costs_at_most_ten_plain_ones(case: Case) -> None:
    # CPU time of one thread, the best of some rounds, in turns. Another program makes a measurement worse, never better.
    ratio = min(hostile_requests.measure(case, rounds=3, requests=5).ratio for _ in range(3))
    assert ratio < hostile_requests.MOST


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_hostile_request_has_the_size_of_the_plain_one(case: Case) -> None:
    assert 0.6 < len(case.hostile) / len(case.plain) < 1.1
    for request in (case.hostile, case.plain):
        line, _, fields = request.partition(b"\r\n")
        assert len(line) < 8192
        assert len(fields) < 32768
