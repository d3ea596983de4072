"""A problem that lasts is one line in the log."""

from __future__ import annotations

import logging

import pytest

from inferway_contract.problem_log import ProblemLog


def test_problem_is_logged_once_until_it_changes_or_is_over(caplog: pytest.LogCaptureFixture) -> None:
    problem = ProblemLog(logging.getLogger("inferway"))
    for error in ("full", "full", "gone", "full"):
        problem.report(logging.WARNING, "cannot write", error=error)
    assert problem.clear()
    assert not problem.clear()
    assert problem.report(logging.ERROR, "cannot write", error="full")
    assert not problem.report(logging.ERROR, "cannot write", error="full")
    logged = [(record.levelname, record.message, record.__dict__["error"]) for record in caplog.records]
    assert logged == [
        ("WARNING", "cannot write", "full"),
        ("WARNING", "cannot write", "gone"),
        ("WARNING", "cannot write", "full"),
        ("ERROR", "cannot write", "full"),
    ]
