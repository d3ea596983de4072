"""What tests on a cluster share (loaded by the root conftest): the cluster, figures, evidence of failures, a table at the end.

Figures that a test notes (`figures("from the write to every pod", "p99 0.4 s")`) stand in that table beside its time, and all
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
    """What the table says of a test."""

    outcome: str = ""
    seconds: float = 0.0
    """With its fixtures."""
    figures: list[str] = field(default_factory=list)


ROWS: dict[str, Row] = {}
"""Of the tests of this folder, by name, in the order in which they ran."""


def is_ours(item: pytest.Item) -> bool:
    """Whether a test is one on a cluster."""
    return item.path.parent == HERE


@pytest.fixture(scope="session")
def cluster() -> Cluster:
    """It is there, or nothing here can be tested, and the run ends with an error."""
    found = Cluster()
    if found.attempt("version").returncode:
        pytest.exit(f"there is no cluster {found.context}: make cluster", returncode=2)
    shutil.rmtree(evidence.FOLDER, ignore_errors=True)  # what stands there afterwards is of this run
    clear(found)
    return found


@pytest.fixture
def figures(request: pytest.FixtureRequest) -> Callable[[str], None]:
    """Takes what a test has measured, in a few words."""
    noted = ROWS.setdefault(request.node.name, Row()).figures

    def note(text: str) -> None:
        noted.append(text)
        print(text)

    return note


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Evidence while everything is still as it was when the test failed, before fixtures clean up."""
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
    """What was done, how long it took, what was measured."""
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
