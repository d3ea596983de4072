"""The demands of a harness, the figure of each, a table at the end, and the exit code."""

from __future__ import annotations

from dataclasses import dataclass, field

import rich.console
import rich.table
import typer


@dataclass(frozen=True, slots=True)
class Check:
    demand: str
    figure: str
    holds: bool | None
    """None = reported, not judged."""


@dataclass(slots=True)
class Verdict:
    """Collects checks; `close` prints them and ends the program with code 1 if a demand fails."""

    title: str
    checks: list[Check] = field(default_factory=list)

    def judge(self, demand: str, figure: str, holds: bool) -> None:
        """Add a demand and whether it holds."""
        self.checks.append(Check(demand, figure, holds))

    def note(self, what: str, figure: str) -> None:
        """Add a figure without a demand."""
        self.checks.append(Check(what, figure, None))

    @property
    def holds(self) -> bool:
        """Return whether all demands hold; false without a demand."""
        judged = [check.holds for check in self.checks if check.holds is not None]
        return bool(judged) and all(judged)

    def close(self, console: rich.console.Console) -> None:
        """Print the table. Raises `typer.Exit(1)` if a demand fails."""
        table = rich.table.Table(title=self.title, title_justify="left")
        for heading in ("demand", "figure", ""):
            table.add_column(heading)
        words = {True: "[green]PASS[/]", False: "[bold red]FAIL[/]", None: ""}
        for check in self.checks:
            table.add_row(check.demand, check.figure, words[check.holds])
        console.print(table)
        console.print(f"{self.title}: {words[self.holds]}")
        if not self.holds:
            raise typer.Exit(1)
