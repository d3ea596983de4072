"""Tables for the reader, `latest.json` for programs that compare runs."""

from __future__ import annotations

import dataclasses
import datetime
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import rich.console
import rich.table

from bench import compare, measure, peers, ratios

STOLEN = 2.0
"""Percent of the proxy core that the hypervisor may take before the table shows it."""
COLUMNS = {
    "req/s": ("per_second", 1.0, ",.0f"),
    "CPU us/req": ("cpu_us", 1.0, ",.1f"),
    "p50 us": ("p50_us", 1.0, ",.0f"),
    "p99 us": ("p99_us", 1.0, ",.0f"),
    "max RSS MB": ("max_rss", 1e-6, ",.1f"),
    "proxy core %": ("proxy_busy", 1.0, ".0f"),
    "load core %": ("load_busy", 1.0, ".0f"),
}


def print_header(console: rich.console.Console, facts: Mapping[str, str], plan: compare.Plan) -> None:
    for name, value in facts.items():
        console.print(f"{name:>13}: {value}", highlight=False)
    console.print(
        f"{'plan':>13}: {plan.rounds} rounds of {plan.seconds} s, proxy on core {plan.cores.proxy}, wrk and origin on core "
        f"{plan.cores.load}, about {plan.expected_seconds() / 60:.0f} min\n",
        highlight=False,
    )


def _spread(rounds: list[measure.Measurement], field: str) -> ratios.Spread:
    return ratios.Spread.of([float(getattr(one, field)) for one in rounds])


def print_cases(console: rich.console.Console, measurements: ratios.Measurements) -> None:
    for case in peers.Case:
        keys = [key for key in measurements if key.case is case]
        if not keys:
            continue
        table = rich.table.Table(title=f"{case}: median of the rounds (± half the range)", title_justify="left")
        for name in ("conns", "proxy", *COLUMNS, ""):
            table.add_column(name, justify="left" if name in ("proxy", "") else "right", no_wrap=True)
        for key in keys:
            rounds = list(measurements[key])
            cells = []
            for field, factor, form in COLUMNS.values():
                spread = _spread(rounds, field)
                cells.append(format(spread.median * factor, form))
            cells[0] += f" ±{_spread(rounds, 'per_second').percent:.0f}%"
            cells[1] += f" ±{_spread(rounds, 'cpu_us').percent:.0f}%"
            end_of_group = key is keys[-1] or keys[keys.index(key) + 1].connections != key.connections
            table.add_row(str(key.connections), key.peer, *cells, remarks(rounds), end_section=end_of_group)
        console.print(table)


def remarks(rounds: list[measure.Measurement]) -> str:
    notes = ["load-bound"] if ratios.is_load_bound(rounds) else []
    if ratios.is_disturbed(rounds):
        notes.append(f"others {_spread(rounds, 'foreign').median:.0f}%")
    if _spread(rounds, "stolen").median > STOLEN:
        notes.append(f"stolen {_spread(rounds, 'stolen').median:.0f}%")
    return ", ".join(notes)


def print_ratios(console: rich.console.Console, by_name: Mapping[tuple[str, int], ratios.Ratio]) -> None:
    if not by_name:
        console.print("No ratios: inferway and another proxy have to be in the run.")
        return
    table = rich.table.Table(title="inferway against the others (above 1: inferway is faster)", title_justify="left")
    for name in ("ratio", "conns", "median", "range", "of", "load-bound", "disturbed"):
        table.add_column(name, justify="right" if name in ("conns", "median") else "left", no_wrap=True)
    for (name, connections), one in by_name.items():
        style = "bold" if connections == ratios.HEADLINE_CONNECTIONS else None
        spread = f"{one.value.low:.2f} - {one.value.high:.2f}"
        table.add_row(
            name,
            str(connections),
            f"{one.value.median:.2f}",
            spread,
            one.basis,
            ", ".join(one.load_bound),
            ", ".join(one.disturbed),
            style=style,
        )
    console.print(table)


def document(
    plan: compare.Plan, facts: Mapping[str, str], measurements: ratios.Measurements
) -> dict[str, Any]:  # fmt: skip
    by_name = ratios.all_ratios(measurements)
    return {
        "ratios": ratios.headline(by_name),
        "ratio_details": [
            {"name": name, "connections": connections, "median": one.value.median, "low": one.value.low,
             "high": one.value.high, "basis": one.basis, "load_bound": list(one.load_bound),
             "disturbed": list(one.disturbed)}
            for (name, connections), one in by_name.items()
        ],
        "made": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "machine": dict(facts),
        "plan": {"rounds": plan.rounds, "seconds": plan.seconds, "connections": list(plan.connections),
                 "cores": dataclasses.asdict(plan.cores)},
        "cases": [_case(key, list(rounds)) for key, rounds in measurements.items()],
    }  # fmt: skip


def _case(key: ratios.Key, rounds: list[measure.Measurement]) -> dict[str, Any]:
    fields = [field.name for field in dataclasses.fields(measure.Measurement)]
    return {
        "case": str(key.case),
        "connections": key.connections,
        "proxy": key.peer,
        "load_bound": ratios.is_load_bound(rounds),
        "disturbed": ratios.is_disturbed(rounds),
        **{field: dataclasses.asdict(_spread(rounds, field)) for field in fields},
        "rounds": [dataclasses.asdict(one) for one in rounds],
    }


def write(path: Path, content: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=2) + "\n")
