"""`make fuzz`: a million inputs over all pure parsers, by atheris where it is installed, else by hypothesis.

Each target runs in a process of its own, since libFuzzer ends the one it runs in. A failure prints the input.
"""

import importlib.util
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Final

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from fuzzing import targets

app = typer.Typer(add_completion=False)
TICK: Final = "tick "


@app.command()
def main(
    inputs: Annotated[int, typer.Option(min=1, help="over all targets together")] = 1_000_000,
    only: Annotated[str, typer.Option(help="targets whose name begins so")] = "",
    engine: Annotated[str, typer.Option(help="atheris or hypothesis; empty = atheris where it is installed")] = "",
) -> None:
    """Feed every target; the exit code is 1 when an invariant did not hold."""
    chosen = [target for target in targets.ALL if target.name.startswith(only)]
    if not chosen:
        raise typer.BadParameter(f"no target begins with {only!r}")
    chosen_engine = engine or ("atheris" if importlib.util.find_spec("atheris") else "hypothesis")
    console = Console()
    console.print(f"{len(chosen)} parsers, {inputs} inputs, by {chosen_engine}")
    columns = (TextColumn("{task.description:18}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    failed: dict[str, str] = {}
    each = -(-inputs // len(chosen))
    with Progress(*columns, console=console, refresh_per_second=4) as progress:
        for target in chosen:
            task = progress.add_task(target.name, total=each)
            output = _feed(
                chosen_engine, target.name, each, lambda done, task=task: progress.update(task, completed=done)
            )
            if output is not None:
                failed[target.name] = output
    for name, output in failed.items():
        console.print(f"[red]{name} does not hold:[/red]")
        console.print(output, markup=False, highlight=False)
    console.print(f"{len(chosen) - len(failed)} of {len(chosen)} parsers hold")
    if failed:
        raise typer.Exit(1)


def _feed(engine: str, name: str, inputs: int, on_progress: Callable[[int], None]) -> str | None:
    """Run one target. Return its last lines of output if it failed, None if all invariants held."""
    command = [sys.executable, "-m", f"fuzzing.by_{engine}", name, str(inputs)]
    lines: list[str] = []
    with subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        cwd=Path(__file__).parent.parent,
    ) as running:
        for line in running.stdout or ():
            if line.startswith(TICK):
                on_progress(int(line.removeprefix(TICK)))
            else:
                lines.append(line)
    if running.returncode == 0:
        on_progress(inputs)
        return None
    return "".join(lines[-40:])


if __name__ == "__main__":
    app()
