"""The summary of a run: read from its output, and shown as a table."""

from __future__ import annotations

import json
from typing import Any

from rich.markup import escape
from rich.table import Table

BEGIN = "-----BEGIN LOAD SUMMARY-----"
END = "-----END LOAD SUMMARY-----"
EXPECTED_HITS = (0.6, 0.8)
"""Share of GETs with a warm cache, by design of the traffic mix (tests/load/lib/traffic.js)."""


class MissingSummaryError(Exception):
    """The output has no complete summary: the run ended before writing it."""


def find(output: str) -> dict[str, Any]:
    """Return the last summary in a run's output. Raises `MissingSummaryError`."""
    _, begin, rest = output.rpartition(BEGIN)
    text, end, _ = rest.partition(END)
    if not begin or not end:
        raise MissingSummaryError("the run ended without a summary")
    summary: dict[str, Any] = json.loads(text)
    return summary


def table(summary: dict[str, Any]) -> Table:
    """Return the table: figures first, then the demands and their results."""
    passed = "[green]passed[/]" if summary["passed"] else "[red]failed[/]"
    shown = Table(title=f"{summary['script']} against {summary['target']}: {passed}", title_justify="left")
    shown.add_column(overflow="fold", min_width=len("http_req_duration{status:200}"))
    shown.add_column("figure", justify="right", no_wrap=True)
    shown.add_column("demand, remark")
    for row in figures(summary):
        shown.add_row(*map(escape, row))
    shown.add_section()
    for one in summary["checks"]:
        verdict = f"[red]{one['fails']:,} did not[/]" if one["fails"] else "[green]all[/]"
        shown.add_row(escape(one["name"]), f"{one['passes']:,}", verdict)
    shown.add_section()
    for one in sorted(summary["thresholds"], key=lambda one: str(one["metric"])):
        verdict = "[green]holds[/]" if one["holds"] else "[red]missed[/]"
        shown.add_row(escape(one["metric"]), escape(one["demand"]), verdict)
    return shown


def figures(summary: dict[str, Any]) -> list[tuple[str, str, str]]:
    """Return rows of name, value, remark."""
    statuses, cache = summary["statuses"], summary["cache_of_gets"]
    least, most = EXPECTED_HITS
    return [
        ("requests", f"{summary['requests']:,}", f"in {summary['seconds']:.1f} s"),
        ("requests/s", f"{summary['requests_per_second']:.1f}", f"{summary['not_started']:,} not started for want of users"),
        ("GET, POST", f"{summary['methods']['GET']:,}, {summary['methods']['POST']:,}", f"bodies of {_number(summary['mean_body_bytes'])} bytes"),
        ("failed", _percent(summary["failed_share"]), _counts(statuses)),
        ("refused by limits (429)", _percent(summary["limited_share"]), "counted apart from failures"),
        ("hits of GETs", _percent(summary["hit_share_of_gets"]), f"expected {least:.0%} - {most:.0%} once warm; {_counts(cache)}"),
        ("hits of all answers", _percent(summary["hit_share"]), ""),
        ("p50, p95, p99 ms", _durations(summary["duration_ms"]), f"longest {_number(summary['duration_ms']['max'])}"),
        ("the same of 200s", _durations(summary["served_duration_ms"]), ""),
    ]  # fmt: skip


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{share:.3%}"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:,.0f}"


def _durations(durations: dict[str, float | None]) -> str:
    values = (durations[name] for name in ("p50", "p95", "p99"))
    return ", ".join("-" if value is None else f"{value:.1f}" for value in values)


def _counts(counts: dict[str, int]) -> str:
    return ", ".join(f"{name} {count:,}" for name, count in counts.items() if count)
