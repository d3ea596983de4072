"""The progress of a run, from k6's output."""

from __future__ import annotations

import re
from collections.abc import Iterable

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

# "load   [  33% ] 001/025 VUs  2.0s/6s  50.00 iters/s"
PERCENT = re.compile(r"^load\s.*?\[\s*(\d+)% \]\s*(.*)$")
K6_MESSAGE = re.compile(r'^time="[^"]*" level=(?:warning|error|fatal|panic) ')


MOST_MESSAGES = 10
"""Number of messages shown; an absent target causes one for each request."""


def percent(line: str) -> tuple[int, str] | None:
    """Return the percentage and k6's text for it."""
    bar = PERCENT.match(line)
    return (int(bar[1]), " ".join(bar[2].split())) if bar else None


def follow(name: str, lines: Iterable[str], console: Console) -> list[str]:
    """Show the progress, and k6's warnings and errors, until the lines end. Returns the lines."""
    seen = []
    messages = 0
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.percentage:>3.0f}%"))
    with Progress(*columns, TimeElapsedColumn(), TextColumn("{task.fields[status]}"), console=console) as shown:
        task = shown.add_task(name, total=100, status="")
        for line in lines:
            seen.append(line)
            if (progress := percent(line)) is not None:
                shown.update(task, completed=progress[0], status=progress[1])
            elif K6_MESSAGE.match(line):
                messages += 1
                if messages <= MOST_MESSAGES:
                    shown.console.print(line.rstrip(), markup=False, highlight=False, soft_wrap=True)
        if messages > MOST_MESSAGES:
            shown.console.print(f"and {messages - MOST_MESSAGES:,} more messages of k6")
    return seen
