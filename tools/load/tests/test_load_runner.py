"""The runner's decisions, without k6 and kubectl."""

from __future__ import annotations

import json
from typing import Any

import pytest
import yaml
from rich.console import Console

from inferway_load import jobs, progress, runs, summaries

SUMMARY: dict[str, Any] = {
    "script": "steady",
    "target": "http://gateway",
    "seconds": 10.0,
    "requests": 1000,
    "requests_per_second": 100.0,
    "not_started": 3,
    "methods": {"GET": 800, "POST": 200},
    "statuses": {"200": 985, "429": 15, "5xx": 0, "other": 0, "none": 0},
    "failed_share": 0.0,
    "limited_share": 0.015,
    "cache_of_gets": {"HIT": 560, "MISS": 240, "absent": 0},
    "hit_share_of_gets": 0.7,
    "hit_share": None,
    "mean_body_bytes": 1280.4,
    "duration_ms": {"mean": 2, "p50": 1.25, "p90": 3, "p95": 4.5, "p99": 9, "max": 20},
    "served_duration_ms": {"mean": None, "p50": None, "p90": None, "p95": None, "p99": None, "max": None},
    "checks": [{"name": "status is 200", "passes": 984, "fails": 1}],
    "thresholds": [
        {"metric": "http_req_failed", "demand": "rate<0.001", "holds": True},
        {"metric": "http_req_duration", "demand": "p(95)<4", "holds": False},
    ],
    "passed": False,
}


def printed(summary: dict[str, Any], width: int = 120) -> str:
    console = Console(width=width)
    with console.capture() as captured:
        console.print(summaries.table(summary))
    return captured.get()


@pytest.mark.parametrize("name", ["baseline", "k6_baseline", "k6_baseline.js"])
def test_run_is_looked_up_by_name_or_script(name: str) -> None:
    assert runs.run_of(name) == "baseline"


def test_unknown_run_is_reported_with_the_list() -> None:
    with pytest.raises(runs.UnknownError, match="there is no run 'stead': baseline, steady"):
        runs.run_of("stead")


def test_empty_parameters_are_left_out() -> None:
    assert runs.parameters(["RATE=20", "DURATION=", "TARGET=http://a/?b=c"]) == {
        "RATE": "20",
        "TARGET": "http://a/?b=c",
    }


@pytest.mark.parametrize("assignment", ["RATE", "RAET=3", "=3"])
def test_parameter_without_a_value_is_rejected(assignment: str) -> None:
    with pytest.raises(runs.UnknownError, match="NAME=VALUE"):
        runs.parameters([assignment])


def test_every_run_has_a_script_and_a_job() -> None:
    assert {script.name for script in runs.SCRIPTS.glob("*.js")} == set(runs.RUNS.values())
    assert {job.name for job in runs.JOBS.iterdir() if job.is_dir()} == {*runs.RUNS, "common"}


def test_last_summary_of_a_log_is_returned() -> None:
    log = "\n".join(
        [
            summaries.BEGIN,
            '{"old": 1}',
            summaries.END,
            "running (01.0s)",
            summaries.BEGIN,
            json.dumps(SUMMARY),
            summaries.END,
        ]
    )
    assert summaries.find(f"{log}\nload [ 100% ]\n") == SUMMARY


@pytest.mark.parametrize("log", ["", f"{summaries.BEGIN}\n{{", f"{{}}\n{summaries.END}"])
def test_incomplete_summary_is_missing(log: str) -> None:
    with pytest.raises(summaries.MissingSummaryError):
        summaries.find(log)


def test_table_shows_figures_and_thresholds() -> None:
    lines = printed(SUMMARY).splitlines()

    rows = [" ".join(line.strip("│ ").split()) for line in lines]

    def row(of: str) -> str:
        return next(row for row in rows if row.startswith(of))

    assert lines[0].strip() == "steady against http://gateway: failed"
    assert row("refused by limits").startswith("refused by limits (429) │ 1.500%")
    assert "HIT 560, MISS 240" in row("hits of GETs │ 70.000%")
    assert row("p50, p95, p99 ms").startswith("p50, p95, p99 ms │ 1.2, 4.5, 9.0 │ longest 20")
    assert row("the same of 200s").startswith("the same of 200s │ -, -, -")
    assert row("status is 200") == "status is 200 │ 984 │ 1 did not"
    assert row("http_req_duration") == "http_req_duration │ p(95)<4 │ missed"
    assert row("http_req_failed") == "http_req_failed │ rate<0.001 │ holds"


def test_table_fits_80_columns() -> None:
    assert max(map(len, printed(SUMMARY, width=80).splitlines())) <= 80


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("load   [  33% ] 001/025 VUs  2.0s/6s  50.00 iters/s\n", (33, "001/025 VUs 2.0s/6s 50.00 iters/s")),
        ("load ✓ [ 100% ] 000/025 VUs  6s  50.00 iters/s\n", (100, "000/025 VUs 6s 50.00 iters/s")),
        ("running (02.0s), 001/025 VUs, 98 complete and 0 interrupted iterations\n", None),
    ],
)
def test_progress_is_parsed_from_the_log_line(line: str, expected: tuple[int, str] | None) -> None:
    assert progress.percent(line) == expected


def test_first_log_messages_are_printed_and_the_rest_counted() -> None:
    console = Console(width=200)
    lines = [f'time="now" level=warning msg="Request Failed" error="number {i}."\n' for i in range(12)]
    with console.capture() as captured:
        assert progress.follow("steady", lines, console) == lines
    assert captured.get().count("Request Failed") == 10
    assert "number 9." in captured.get()
    assert "and 2 more messages of k6" in captured.get()


def test_parameters_are_set_in_the_environment_of_the_job() -> None:
    rendered = yaml.safe_dump_all(
        [
            {"kind": "ConfigMap", "data": {"steady.js": "a\nb\n"}},
            {
                "kind": "Job",
                "metadata": {"name": "load-steady", "namespace": "load"},
                "spec": {"template": {"spec": {"containers": [{"env": [{"name": "TARGET", "value": "a"}, {"name": "X", "value": "1"}]}]}}},
            },
        ]
    )  # fmt: skip
    manifests, namespace, name = jobs.with_parameters(rendered, {"TARGET": "b", "RATE": "20"})
    config, job = yaml.safe_load_all(manifests)
    assert (namespace, name) == ("load", "load-steady")
    assert config["data"] == {"steady.js": "a\nb\n"}
    assert job["spec"]["template"]["spec"]["containers"][0]["env"] == [
        {"name": "X", "value": "1"},
        {"name": "TARGET", "value": "b"},
        {"name": "RATE", "value": "20"},
    ]


def pod(**state: Any) -> dict[str, Any]:
    return {"metadata": {"name": "load-steady-x"}, "status": {"containerStatuses": [{"state": state}]}}


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (pod(running={}), ("running", "")),
        (pod(terminated={"exitCode": 99}), ("ended", "")),
        (pod(waiting={"reason": "ErrImagePull", "message": "no k6"}), ("waiting", "ErrImagePull no k6")),
        ({"status": {"phase": "Failed", "message": "evicted"}}, ("ended", "evicted")),
        ({"status": {"conditions": [{"message": "0/1 nodes are available"}]}}, ("waiting", "0/1 nodes are available")),
    ],
)
def test_pod_status_maps_to_a_state(given: dict[str, Any], expected: tuple[str, str]) -> None:
    assert jobs.state(given) == expected


@pytest.mark.parametrize(
    ("condition", "pods", "code"),
    [
        ("Complete", [pod(terminated={"exitCode": 0})], 0),
        ("Failed", [pod(terminated={"exitCode": 99})], 99),
        ("Failed", [], 1),
        ("Failed", [{"status": {}}], 1),
        ("SuccessCriteriaMet", [pod(terminated={"exitCode": 0})], None),
        (None, [pod(running={})], None),
    ],
)
def test_exit_code_follows_the_job_conditions(
    condition: str | None, pods: list[dict[str, Any]], code: int | None
) -> None:
    conditions = [{"type": condition, "status": "True"}] if condition else []
    assert jobs.exit_code({"status": {"conditions": conditions}}, pods) == code
