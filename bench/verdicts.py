"""What a harness demands, with the figure of each demand; a table at the end, and the exit code."""

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
    """None = told, not judged."""


@dataclass(slots=True)
class Verdict:
    """Collects checks; `close` prints them and ends the program with 1 when one does not hold."""

    title: str
    checks: list[Check] = field(default_factory=list)

    def judge(self, demand: str, figure: str, holds: bool) -> None:
        """A demand that is met or not."""
        self.checks.append(Check(demand, figure, holds))

    def tell(self, what: str, figure: str) -> None:
        """A figure that nothing hangs on."""
        self.checks.append(Check(what, figure, None))

    @property
    def holds(self) -> bool:
        """Whether every demand is met. A verdict without a demand holds nothing."""
        judged = [check.holds for check in self.checks if check.holds is not None]
        return bool(judged) and all(judged)

    def close(self, console: rich.console.Console) -> None:
        """Print; raise `typer.Exit(1)` when it does not hold."""
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
