"""k6 as Jobs in the cluster, through two pods of the data plane, with both default limits."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from e2e.cluster.access import GATEWAY, ROOT, Cluster, load_image
from e2e.cluster.leftovers import restore
from inferway_testing.until import until

pytestmark = pytest.mark.timeout(400)

K6 = "grafana/k6:1.1.0"


@pytest.fixture(scope="module", autouse=True)
def load_overlay(cluster: Cluster) -> Iterator[None]:
    """Apply the overlay load: the gateway trusts X-Forwarded-For of the pods."""
    try:
        load_image(cluster, K6)
        cluster.install("manifests/overlays/load")
        cluster.await_rollout(GATEWAY)
        until(lambda: len(cluster.items("pods", "-n", GATEWAY)) == 2, "two pods", 90)
        yield
    finally:
        restore(cluster)


def run(cluster: Cluster, folder: Path, name: str, *settings: str) -> tuple[int, dict[str, Any]]:
    """Run `make load-job`; returns k6's exit code and its summary, and prints the table."""
    file = folder / "summary.json"
    arguments = [argument for setting in settings for argument in ("--set", setting)]
    done = subprocess.run(
        [
            sys.executable, "-m", "inferway_load", "job", name, "--context", cluster.context, "--json", str(file), *arguments,
        ],
        env={**os.environ, "PYTHONPATH": str(ROOT / "tools/load/src"), "COLUMNS": "120"},
        capture_output=True, text=True, timeout=350, check=False, cwd=ROOT,
    )  # fmt: skip
    print(done.stdout, done.stderr)
    assert file.exists(), "k6 has printed no summary"
    return done.returncode, json.loads(file.read_text())


def summary_line(summary: dict[str, Any]) -> str:
    """Return the figures of the thresholds, and some others."""
    took = summary["duration_ms"]
    return (
        f"{summary['requests']} requests ({summary['requests_per_second']:.0f} a second), {summary['failed_share']:.3%} failed, "
        f"{summary['limited_share']:.2%} refused by limits, {summary['hit_share_of_gets']:.0%} of GETs hits, "
        f"p95 {took['p95']:.0f} ms, p99 {took['p99']:.0f} ms"
    )


def test_baseline_run_passes_its_thresholds(cluster: Cluster, tmp_path: Path, figures: Callable[[str], None]):
    """150 requests a second for two minutes: less than 0.1 % failed, p95 below 200 ms, less than 2 % rejected by limits."""
    code, summary = run(cluster, tmp_path, "baseline", "RATE=150", "DURATION=2m")
    figures(summary_line(summary))
    assert code == 0
    assert summary["requests"] >= 150 * 120 * 0.99


def test_single_address_run_is_rate_limited(cluster: Cluster, tmp_path: Path, figures: Callable[[str], None]):
    """The run exceeds the limits: k6's threshold requires 429s and no other failures."""
    code, summary = run(cluster, tmp_path, "single-address")
    figures(summary_line(summary))
    assert code == 0
    assert summary["limited_share"] > 0.5, "120 a second from one address, of which two pods let 40 pass"
