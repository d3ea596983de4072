"""k6 as Jobs in the cluster, through two pods of the data plane, with both default limits on."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from e2e.cluster.access import GATEWAY, ROOT, Cluster, load_image, until

pytestmark = pytest.mark.timeout(400)

K6 = "grafana/k6:1.1.0"
LOAD_NAMESPACE = "inferway-load"


@pytest.fixture(scope="module", autouse=True)
def trusted(cluster: Cluster) -> Iterator[None]:
    """The overlay load: the gateway believes what the pods say of their clients."""
    load_image(cluster, K6)
    cluster.install("manifests/overlays/load")
    cluster.await_rollout(GATEWAY)
    until(lambda: len(cluster.items("pods", "-n", GATEWAY)) == 2, "two pods", 90)
    yield
    cluster.kubectl("delete", "namespace", LOAD_NAMESPACE, "--ignore-not-found", "--timeout=100s")
    cluster.install("manifests/overlays/dev")
    cluster.await_rollout(GATEWAY)


def run(cluster: Cluster, folder: Path, name: str, *settings: str) -> tuple[int, dict[str, object], str]:
    """`make load-job`: k6's exit code, its summary, and what was printed."""
    file = folder / "summary.json"
    arguments = [argument for setting in settings for argument in ("--set", setting)]
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "inferway_load",
            "job",
            name,
            "--context",
            cluster.context,
            "--json",
            str(file),
            *arguments,
        ],
        env={
            "PYTHONPATH": str(ROOT / "tools/load/src"),
            "PATH": "/usr/bin:/bin",
            "HOME": str(Path.home()),
            "COLUMNS": "120",
        },
        capture_output=True,
        text=True,
        timeout=350,
        check=False,
        cwd=ROOT,
    )
    print(done.stdout, done.stderr)
    return done.returncode, json.loads(file.read_text()) if file.exists() else {}, done.stdout


def test_the_baseline_passes_its_thresholds(cluster: Cluster, tmp_path: Path, figures: Callable[[str], None]):
    """150 requests a second for two minutes."""
    code, summary, printed = run(cluster, tmp_path, "baseline", "RATE=150", "DURATION=2m")
    figures("; ".join(line.strip() for line in printed.splitlines() if line.strip())[:400])
    assert code == 0
    assert summary


def test_a_single_address_is_limited(cluster: Cluster, tmp_path: Path, figures: Callable[[str], None]):
    """The same limits, met: k6's own threshold is that it sees 429s, and nothing else but answers."""
    code, summary, _ = run(cluster, tmp_path, "single-address")
    assert code == 0
    assert summary
