"""Output of `inferway status`: two tables followed by notable conditions, or JSON."""

from collections.abc import Iterator
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any, Final

from rich.console import Console
from rich.table import Table
from rich.text import Text

from inferway_cli.commands.status.rows import ConditionState, PodRow, Report, Row
from inferway_contract.acknowledgement import LEASE_SECONDS
from inferway_contract.conditions import ConditionType

_PIPED: Final = 100_000  # columns in a pipe: a program that reads lines gets one resource a line

_UNITS: Final = ((86_400 * 2, 86_400, "d"), (3_600 * 2, 3_600, "h"), (60 * 2, 60, "m"))
"""Least seconds, seconds of the unit and its letter."""


def show(report: Report, now: datetime, *, is_terminal: bool) -> None:
    """Print to standard output; on a terminal in its width and with colours."""
    console = Console(width=None if is_terminal else _PIPED, highlight=False, markup=False, emoji=False)
    if report.rows:
        console.print(_resources(report.rows, now))
    if report.pods:
        console.print()
        console.print(_pods(report.pods, now))
    for line in (*_notable_conditions(report.rows), *_pod_errors(report.pods or ())):
        console.print(line, soft_wrap=not is_terminal)


def _table(*columns: str) -> Table:
    table = Table(box=None, pad_edge=False)
    for column in columns:
        table.add_column(column, overflow="fold")
    return table


def _resources(rows: tuple[Row, ...], now: datetime) -> Table:
    table = _table("Kind", "Namespace/Name", "Ready", "Accepted", "Resolved", "Programmed", "Pods", "Revision", "Age")
    for row in rows:
        table.add_row(
            row.kind,
            Text(f"{row.namespace}/{row.name}"),
            Text(row.ready.status, style="green" if row.is_good else "red"),
            _state(row.state(ConditionType.ACCEPTED)),
            _state(row.state(ConditionType.RESOLVED_REFS, ConditionType.TARGETS_RESOLVED)),
            _state(row.state(ConditionType.PROGRAMMED)),
            Text(row.pods or "-"),
            Text(row.revision or "-"),
            age(row.created, now),
        )
    return table


def _state(state: ConditionState) -> Text:
    """Return `True`, or `False (Reason)`."""
    if state.status == "True" and state.reason != "PartiallyInvalid":
        return Text("True", style="green")
    text = f"{state.status} ({state.reason})" if state.reason else state.status
    return Text(text, style="yellow" if state.status == "True" else "red")


def _pods(pods: tuple[PodRow, ...], now: datetime) -> Table:
    table = _table("Gateway", "Pod", "Config", "Endpoints", "Formats", "Renewed")
    for pod in pods:
        renewed = Text(f"{age(pod.renewed, now)} ago" if pod.renewed else "never")
        if is_silent(pod, now):
            renewed = Text(f"{renewed}: silent", style="red")
        table.add_row(
            Text(pod.gateway),
            Text(f"{pod.namespace}/{pod.name}"),
            Text(pod.acknowledgement.config or "-"),
            Text(pod.acknowledgement.endpoints or "-"),
            ",".join(map(str, pod.acknowledgement.formats)),
            renewed,
        )
    return table


def _notable_conditions(rows: tuple[Row, ...]) -> Iterator[Text]:
    for row in rows:
        if not row.notable and not row.laggards:
            continue
        yield Text(f"\n{row.kind} {row.namespace}/{row.name}", style="bold")
        for kind, state in row.notable:
            reason = f" ({state.reason})" if state.reason else ""
            yield Text(f"  {kind}={state.status}{reason}: {state.message}")
        for laggard in row.laggards:
            serves = f"serves {laggard.revision}" if laggard.revision else "serves nothing"
            yield Text(f"    {laggard.pod} {serves}{f': {laggard.error}' if laggard.error else ''}")


def _pod_errors(pods: tuple[PodRow, ...]) -> Iterator[Text]:
    for pod in pods:
        if pod.acknowledgement.refused:
            yield Text(f"\nPod {pod.namespace}/{pod.name}", style="bold")
            yield Text(f"  rejects {pod.acknowledgement.refused}: {pod.acknowledgement.error}")


def as_json(report: Report) -> dict[str, Any]:
    """Return the report as JSON's types."""
    return {
        "resources": [
            {
                "kind": row.kind,
                "namespace": row.namespace,
                "name": row.name,
                "isGood": row.is_good,
                "conditions": {kind.value: asdict(state) for kind, state in row.conditions.items()},
                "pods": row.pods,
                "revision": row.revision,
                "laggards": [asdict(laggard) for laggard in row.laggards],
                "creationTimestamp": row.created,
            }
            for row in report.rows
        ],
        "pods": None
        if report.pods is None
        else [
            {
                "gateway": pod.gateway,
                "namespace": pod.namespace,
                "name": pod.name,
                "renewTime": pod.renewed,
                **pod.acknowledgement.model_dump(mode="json"),
            }
            for pod in report.pods
        ],
        "notes": list(report.notes),
    }


def is_silent(pod: PodRow, now: datetime) -> bool:
    """Whether the pod's Lease has expired."""
    seconds = _seconds(pod.renewed, now)
    return seconds is None or seconds > LEASE_SECONDS


def age(since: str, now: datetime) -> str:
    """Return the age as kubectl prints it: `45s`, `3m`, `5h`, `12d`; `-` if unknown."""
    seconds = _seconds(since, now)
    if seconds is None:
        return "-"
    whole = max(0, int(seconds))  # the clocks of two machines differ
    for least, unit, letter in _UNITS:
        if whole >= least:
            return f"{whole // unit}{letter}"
    return f"{whole}s"


def _seconds(since: str, now: datetime) -> float | None:
    try:
        then = datetime.fromisoformat(since)
    except ValueError:
        return None
    return (now - (then if then.tzinfo else then.replace(tzinfo=UTC))).total_seconds()
