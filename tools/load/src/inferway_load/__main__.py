"""`python -m inferway_load job steady` in the current cluster; `local baseline` with the k6 of this machine."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from inferway_load import jobs, local, runs, summaries
from inferway_load.kubectl import Kubectl, KubectlError

app = typer.Typer(add_completion=False, no_args_is_help=True)
Name = Annotated[str, typer.Argument(help=", ".join(runs.RUNS))]
Assignments = Annotated[
    list[str] | None, typer.Option("--set", metavar="NAME=VALUE", help=f"NAME: {', '.join(runs.PARAMETERS)}")
]
Json = Annotated[Path | None, typer.Option("--json", help="also write the summary to this file")]
EXPECTED = (jobs.JobError, KubectlError, local.NoK6Error, runs.UnknownError)


@app.command()
def job(
    name: Name,
    assignments: Assignments = None,
    context: Annotated[str | None, typer.Option(help="context of kubectl; default: the current one")] = None,
    start_within: Annotated[float, typer.Option(help="seconds that the Job's pod may take to start")] = 120.0,
    json_file: Json = None,
) -> None:
    """Run the script as a Job, follow it, show its summary. Exit code: 0, or k6's (99 = thresholds missed), or 1."""
    _show(
        name,
        assignments,
        json_file,
        lambda run, given, console: jobs.run(run, given, Kubectl.find(context), console, start_within=start_within),
    )


@app.command("local")
def run_here(name: Name, assignments: Assignments = None, json_file: Json = None) -> None:
    """Run the script with the local k6 against TARGET. Exit code: k6's (99 = thresholds missed), or 1."""
    _show(name, assignments, json_file, local.run)


def _show(
    name: str,
    assignments: list[str] | None,
    json_file: Path | None,
    run: Callable[[str, dict[str, str], Console], tuple[str, int]],
) -> None:
    console = Console()
    try:
        output, code = run(runs.run_of(name), runs.parameters(assignments or []), console)
    except EXPECTED as error:
        sys.stderr.write(f"{error}\n")
        raise typer.Exit(1) from None
    try:
        _print_summary(output, json_file, console)
    except summaries.MissingSummaryError as error:
        sys.stderr.write(f"{output[-4000:]}\n{error} (k6 ended with {code})\n")
        raise typer.Exit(code or 1) from None
    raise typer.Exit(code)


def _print_summary(output: str, json_file: Path | None, console: Console) -> None:
    summary = summaries.find(output)
    console.print(summaries.table(summary))
    if json_file is not None:
        json_file.write_text(output.rpartition(summaries.BEGIN)[2].partition(summaries.END)[0].strip() + "\n")


if __name__ == "__main__":
    app()
