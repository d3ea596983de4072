"""Shared parts of tests on a cluster (loaded by the root conftest): cluster, figures, evidence of failures, final table.

Figures recorded by a test (`figures("from the write to every pod", "p99 0.4 s")`) are in that table next to its time, and all
of it in build/e2e/summary.json.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Generator
from dataclasses import asdict, dataclass, field
from pathlib import Path

import pytest
from rich.console import Console
from rich.table import Table

from e2e.cluster import evidence
from e2e.cluster.access import Cluster
from e2e.cluster.leftovers import clear

HERE = Path(__file__).parent


@dataclass
class Row:
    """A test's row of the table."""

    outcome: str = ""
    seconds: float = 0.0
    """With its fixtures."""
    figures: list[str] = field(default_factory=list)


ROWS: dict[str, Row] = {}
"""The rows of this folder's tests, by name, in the order of execution."""


def is_ours(item: pytest.Item) -> bool:
    """Return whether a test runs on a cluster."""
    return item.path.parent == HERE


@pytest.fixture(scope="session")
def cluster() -> Cluster:
    """Return the cluster; without one, end the run with an error."""
    existing = Cluster()
    if existing.attempt("version").returncode:
        pytest.exit(f"there is no cluster {existing.context}: make cluster", returncode=2)
    shutil.rmtree(evidence.FOLDER, ignore_errors=True)  # so all evidence is from this run
    clear(existing)
    return existing


@pytest.fixture
def figures(request: pytest.FixtureRequest) -> Callable[[str], None]:
    """Return a function that records a figure of a test."""
    noted = ROWS.setdefault(request.node.name, Row()).figures

    def note(text: str) -> None:
        noted.append(text)
        print(text)

    return note


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Collect evidence of a failed test before fixtures clean up."""
    report = yield
    if not is_ours(item):
        return report
    row = ROWS.setdefault(item.name, Row())
    row.seconds += report.duration
    if report.when == "call" or report.outcome != "passed":
        row.outcome = report.outcome
    if report.failed:
        folder = evidence.collect(Cluster(), f"{item.name}-{report.when}", report.longreprtext)
        report.sections.append(("evidence", str(folder)))
    return report


def pytest_terminal_summary() -> None:
    """Print the tests, their times and their figures."""
    if not ROWS:
        return
    table = Table("step", "", "seconds", "figures", box=None, pad_edge=False)
    for name, row in ROWS.items():
        step = name.removeprefix("test_").replace("_", " ")
        table.add_row(step, row.outcome, f"{row.seconds:.1f}", "\n".join(row.figures))
    Console(width=160).print(table)
    evidence.FOLDER.mkdir(parents=True, exist_ok=True)
    (evidence.FOLDER / "summary.json").write_text(
        json.dumps({name: asdict(row) for name, row in ROWS.items()}, indent=1) + "\n"
    )
