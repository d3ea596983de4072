"""`coverage json -o - | python -m inferway_coverage`: print line and branch coverage by package and its folders."""

import json
import sys
from collections import Counter
from collections.abc import Mapping
from pathlib import PurePath
from typing import Any


def by_package(report: Mapping[str, Any]) -> dict[str, Counter[str]]:
    """Sum the summaries of coverage's JSON report by package and first folder; the key `total` has them all."""
    sums: dict[str, Counter[str]] = {}
    for name, file in report["files"].items():
        folders = PurePath(name).parent.parts
        package = ".".join(folders[folders.index("src") + 1 :][:2])
        numbers = {key: value for key, value in file["summary"].items() if isinstance(value, int)}
        for key in (package, "total"):
            sums.setdefault(key, Counter()).update(numbers)
    return sums


def table(sums: Mapping[str, Mapping[str, int]]) -> str:
    """Format one row for each package, the total last."""
    rows = [f"{'package':34}{'lines':>8}{'covered':>9}{'branches':>10}{'covered':>9}"]
    for package in sorted(sums, key=lambda key: (key == "total", key)):
        of = sums[package]
        lines = _percent(of["covered_lines"], of["num_statements"])
        branches = _percent(of["covered_branches"], of["num_branches"])
        rows.append(f"{package:34}{of['num_statements']:>8}{lines:>9}{of['num_branches']:>10}{branches:>9}")
    return "\n".join(rows) + "\n"


def _percent(part: int, whole: int) -> str:
    return f"{100 * part / whole:.1f} %" if whole else "-"


if __name__ == "__main__":
    sys.stdout.write(table(by_package(json.load(sys.stdin))))
