"""The runs there are, and what can be set for one. Pure."""

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

# k6 reports its use to its makers, and newer ones fetch extensions, unless told otherwise.
QUIET_K6 = {"K6_NO_USAGE_REPORT": "true", "K6_AUTO_EXTENSION_RESOLUTION": "false"}


class UnknownError(Exception):
    """No such run or parameter; the text says which there are."""


def run_of(name: str) -> str:
    """The run's name; it may also be given by its script's: `k6_baseline` is `baseline`."""
    for run, script in RUNS.items():
        if name in (run, script, script.removesuffix(".js")):
            return run
    raise UnknownError(f"there is no run {name!r}: {', '.join(RUNS)}")


def parameters(assignments: Sequence[str]) -> dict[str, str]:
    """`["RATE=200", "DURATION="]` as a mapping, without those that are empty: make gives what was not said as that."""
    found = {}
    for assignment in assignments:
        name, equals, value = assignment.partition("=")
        if not equals or name not in PARAMETERS:
            raise UnknownError(f"{assignment!r} sets nothing: NAME=VALUE with NAME one of {', '.join(PARAMETERS)}")
        if value:
            found[name] = value
    return found
