"""The runs and their parameters. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[4]
SCRIPTS = ROOT / "tests" / "load"
JOBS = ROOT / "manifests" / "overlays" / "load" / "jobs"

RUNS = {
    "baseline": "k6_baseline.js",
    "steady": "steady.js",
    "spike": "spike.js",
    "soak": "soak.js",
    "single-address": "single_address.js",
}
PARAMETERS = ("TARGET", "RATE", "DURATION", "CALM", "SEED", "P95_MS", "P99_MS", "LIMITED_SHARE")

# By default k6 reports its use to its vendor, and newer versions download extensions; these settings disable both.
QUIET_K6 = {"K6_NO_USAGE_REPORT": "true", "K6_AUTO_EXTENSION_RESOLUTION": "false"}


class UnknownError(Exception):
    """The run or parameter is unknown; the text lists the known ones."""


def run_of(name: str) -> str:
    """Return the run's name; the name of its script is also accepted: `k6_baseline` is `baseline`."""
    for run, script in RUNS.items():
        if name in (run, script, script.removesuffix(".js")):
            return run
    raise UnknownError(f"there is no run {name!r}: {', '.join(RUNS)}")


def parameters(assignments: Sequence[str]) -> dict[str, str]:
    """Return `["RATE=200", "DURATION="]` as a mapping, without empty values, which make passes for unset variables."""
    values = {}
    for assignment in assignments:
        name, equals, value = assignment.partition("=")
        if not equals or name not in PARAMETERS:
            raise UnknownError(f"{assignment!r} sets nothing: NAME=VALUE with NAME one of {', '.join(PARAMETERS)}")
        if value:
            values[name] = value
    return values
