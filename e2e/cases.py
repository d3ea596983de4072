"""`make cases`: runs the tests that name a case, and prints the result of each case.

pass: all tests marked with it passed. fail: one of them, or of those that prove a part, failed (also an expected
failure, because the case is not fulfilled). not yet: no test is marked with it.
"""

from __future__ import annotations

import sys
from collections import defaultdict
from dataclasses import dataclass, field
from typing import Annotated

import pytest
import typer
from rich.console import Console
from rich.table import Table

from e2e.case_marks import CASES, marked_cases, named_cases

app = typer.Typer(add_completion=False)


@dataclass(eq=False)  # pytest keeps plugins by identity
class Collector:
    """A pytest plugin that runs only the tests of these cases, and keeps their results."""

    prefixes: tuple[str, ...]
    full: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    parts: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    failed: set[str] = field(default_factory=set)
    reasons: dict[str, str] = field(default_factory=dict)
    """Of the expected failures."""

    def wants(self, case: str) -> bool:
        """Return whether a case is selected. `P` selects all of P, `P1` only P1."""
        return not self.prefixes or any(case == one or (one.isalpha() and case[:1] == one) for one in self.prefixes)

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, config: pytest.Config, items: list[pytest.Item]) -> None:
        """Deselect tests without a selected case."""
        kept, left_out = [], []
        for item in items:
            of_item = dict.fromkeys(marked_cases(item), self.full) | dict.fromkeys(named_cases(item), self.parts)
            wanted = {case: table for case, table in of_item.items() if self.wants(case)}
            for case, table in wanted.items():
                table[case].add(item.nodeid)
            (kept if wanted else left_out).append(item)
        config.hook.pytest_deselected(items=left_out)
        items[:] = kept

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Keep the tests that did not pass."""
        if report.failed or (report.when == "call" and report.skipped):
            self.failed.add(report.nodeid)
            if hasattr(report, "wasxfail"):
                self.reasons[report.nodeid] = report.wasxfail

    def state(self, case: str) -> str:
        """Return pass, fail or not yet."""
        if (self.full[case] | self.parts[case]) & self.failed:
            return "fail"
        return "pass" if self.full[case] else "not yet"


@app.command()
def main(cases: Annotated[list[str] | None, typer.Argument(help="IDs, or letters for all of theirs")] = None) -> None:
    """Run the tests and print the table; the exit code is 1 if a case failed."""
    collector = Collector(tuple(case.upper() for case in cases or ()))
    code = pytest.main(["-q", "--no-header", "-p", "no:cacheprovider", "--tb=short", "-r", "fE"], plugins=[collector])
    if code not in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED, pytest.ExitCode.NO_TESTS_COLLECTED):
        raise typer.Exit(int(code))
    console = Console() if sys.stdout.isatty() else Console(width=160)
    table = Table("case", "what it is about", "result", "tests")
    states = {case: collector.state(case) for case in CASES if collector.wants(case)}
    colours = {"pass": "green", "fail": "red", "not yet": "yellow"}
    for case, state in states.items():
        table.add_row(case, CASES[case], f"[{colours[state]}]{state}", _tests_of(collector, case))
    console.print(table)
    counts = {state: list(states.values()).count(state) for state in colours}
    console.print(", ".join(f"{count} {state}" for state, count in counts.items()))
    if counts["fail"]:
        raise typer.Exit(1)


def _tests_of(collector: Collector, case: str) -> str:
    """Return the tests of a case: failed ones, else marked ones, else the number of those that prove a part."""
    failed = sorted((collector.full[case] | collector.parts[case]) & collector.failed)
    if failed:
        reasons = {collector.reasons.get(test, "failed") for test in failed}
        return f"{_names(failed)}: {'; '.join(sorted(reasons))}"
    if collector.full[case]:
        return _names(sorted(collector.full[case]))
    parts = len(collector.parts[case])
    return f"a part, in {parts} tests" if parts else ""


def _names(tests: list[str]) -> str:
    names = sorted({test.partition("[")[0].rpartition("/")[2] for test in tests})
    more = f", and {len(names) - 3} more" if len(names) > 3 else ""
    return ", ".join(names[:3]) + more


if __name__ == "__main__":
    app()
