"""A Job from its creation to its end, with a fake kubectl: a script whose answers depend on its arguments."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest
import yaml
from test_load_runner import SUMMARY as FIGURES

from inferway_load import runs
from inferway_load.kubectl import Kubectl

SUMMARY = """
load   [  50% ] 001/025 VUs  2.0s/6s  50.00 iters/s
-----BEGIN LOAD SUMMARY-----
{summary}
-----END LOAD SUMMARY-----
"""
KUBECTL = """\
    #!{python}
    import json, pathlib, subprocess, sys
    here, arguments = pathlib.Path(__file__).parent, sys.argv[1:]
    played = json.loads((here / "played.json").read_text())
    with (here / "calls").open("a") as calls:
        calls.write(json.dumps(arguments) + "\\n")
    verb = next(one for one in arguments if one in ("kustomize", "delete", "apply", "get", "logs"))
    if verb == "kustomize":
        sys.exit(subprocess.run([played["kubectl"], *arguments[arguments.index(verb):]]).returncode)
    if verb == "apply":
        (here / "applied.yaml").write_text(sys.stdin.read())
    if verb == "logs":
        print(played["log"])
    if verb == "get":
        what = arguments[arguments.index("get") + 1]
        answers = played[what]
        turn = here / f"turn-{{what}}"
        n = int(turn.read_text()) if turn.exists() else 0
        turn.write_text(str(n + 1))
        if answers[min(n, len(answers) - 1)] is None:
            sys.exit("the API server is away")
        print(json.dumps(answers[min(n, len(answers) - 1)]))
"""


def pod(**state: Any) -> dict[str, Any]:
    return {"metadata": {"name": "load-steady-x"}, "status": {"containerStatuses": [{"state": state}]}}


@dataclass
class Cluster:
    """The answers of the fake kubectl: those of a kind in turn, the last one repeated. None = unreachable."""

    directory: Path

    def play(
        self, *, pods: list[dict[str, Any]], pod: list[dict[str, Any] | None], conditions: list[str], log: str
    ) -> None:
        played = {
            "kubectl": Kubectl.find(None).program,
            "pods": [{"items": [one]} for one in pods],
            "pod": pod,
            "job": [
                {"status": {}},
                {"status": {"conditions": [{"type": one, "status": "True"} for one in conditions]}},
            ],
            "log": log,
        }
        (self.directory / "played.json").write_text(json.dumps(played))
        program = self.directory / "kubectl"
        program.write_text(dedent(KUBECTL).format(python=sys.executable))
        program.chmod(0o755)

    def run(self, *options: str) -> subprocess.CompletedProcess[str]:
        environment = {
            "PATH": f"{self.directory}:/usr/bin:/bin", "PYTHONPATH": str(runs.ROOT / "tools" / "load" / "src"), "COLUMNS": "120",
        }  # fmt: skip
        command = [sys.executable, "-m", "inferway_load", "job", "steady", *options]
        return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=40, check=False)

    def calls(self) -> list[list[str]]:
        return [json.loads(line) for line in (self.directory / "calls").read_text().splitlines()]


@pytest.fixture
def cluster(tmp_path: Path) -> Cluster:
    return Cluster(tmp_path)


@pytest.fixture
def log() -> str:
    return SUMMARY.format(summary=json.dumps(FIGURES))


def test_job_is_replaced_followed_and_summarised(cluster: Cluster, log: str) -> None:
    ended = pod(terminated={"exitCode": 0})
    waiting = pod(waiting={"reason": "ContainerCreating"})
    # The first stream of the log ends before the container does, as a rotated log's does.
    cluster.play(pods=[waiting, pod(running={}), ended], pod=[pod(running={}), ended], conditions=["Complete"], log=log)
    done = cluster.run(
        "--set",
        "RATE=20",
        "--set",
        "DURATION=",
        "--context",
        "kind-inferway",
        "--json",
        str(cluster.directory / "it.json"),
    )
    assert done.returncode == 0, done.stderr
    assert "refused by limits (429)" in done.stdout
    assert json.loads((cluster.directory / "it.json").read_text())["script"] == "steady"
    calls = cluster.calls()
    assert all(one[:2] == ["--context", "kind-inferway"] for one in calls)
    verbs = [one[2] for one in calls]
    assert verbs[:3] == ["kustomize", "delete", "apply"]
    assert sum("logs" in one and "-f" in one for one in calls) == 2
    assert verbs[-1] == "logs"
    *_, job = (
        one for one in yaml.safe_load_all((cluster.directory / "applied.yaml").read_text()) if one["kind"] == "Job"
    )
    environment = {one["name"]: one["value"] for one in job["spec"]["template"]["spec"]["containers"][0]["env"]}
    assert environment["RATE"] == "20"
    assert "DURATION" not in environment
    assert environment["TARGET"] == "http://inferway-gateway.inferway-system"


def test_job_with_missed_thresholds_exits_with_99(cluster: Cluster, log: str) -> None:
    ended = pod(terminated={"exitCode": 99})
    cluster.play(pods=[ended], pod=[ended], conditions=["FailureTarget", "Failed"], log=log)
    done = cluster.run()
    assert done.returncode == 99
    assert "steady against" in done.stdout


def test_job_without_a_summary_prints_the_log(cluster: Cluster) -> None:
    ended = pod(terminated={"exitCode": 107})
    cluster.play(pods=[ended], pod=[ended], conditions=["Failed"], log="RATE=1.5: a whole number is needed")
    done = cluster.run()
    assert done.returncode == 107
    assert "RATE=1.5: a whole number is needed" in done.stderr
    assert "without a summary (k6 ended with 107)" in done.stderr


def test_pod_that_does_not_start_is_reported_with_its_reason(cluster: Cluster) -> None:
    stuck = pod(waiting={"reason": "ImagePullBackOff", "message": "no such image"})
    cluster.play(pods=[stuck], pod=[stuck], conditions=[], log="")
    done = cluster.run("--start-within", "1")
    assert done.returncode == 1
    assert "inferway-load/load-steady did not start within 1 s: ImagePullBackOff no such image" in done.stderr


def test_missing_cluster_is_reported_in_one_line(cluster: Cluster) -> None:
    (cluster.directory / "kubectl").write_text("#!/bin/sh\necho 'no configuration has been provided' >&2\nexit 1\n")
    (cluster.directory / "kubectl").chmod(0o755)
    done = cluster.run()
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "no configuration has been provided" in done.stderr


def test_short_outage_of_the_api_server_is_tolerated(cluster: Cluster, log: str) -> None:
    ended = pod(terminated={"exitCode": 0})
    cluster.play(pods=[pod(running={})], pod=[None, ended], conditions=["Complete"], log=log)
    done = cluster.run()
    assert done.returncode == 0, done.stderr
    assert "steady against" in done.stdout


def test_long_outage_of_the_api_server_ends_the_run(cluster: Cluster, log: str) -> None:
    cluster.play(pods=[pod(running={})], pod=[None], conditions=[], log=log)
    done = cluster.run("--start-within", "1")
    assert done.returncode == 1
    assert "the API server is away" in done.stderr
