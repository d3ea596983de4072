"""Monitoring: scraped targets exist, rules and dashboard use existing metrics, alerts fire correctly."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from kustomizations import ROOT, named, of_kind, overlay, rendered

from inferway_cli.directory_source import DirectorySource
from inferway_dataplane.admin import metrics
from inferway_dataplane.gateway import Gateway
from inferway_dataplane.observability.access_log import AccessLog
from inferway_dataplane.settings import Settings
from inferway_operator.metrics import OperatorMetrics

MONITORING = rendered("monitoring")
RULE = named(MONITORING, "PrometheusRule", "inferway")["spec"]
DASHBOARD = json.loads(named(MONITORING, "ConfigMap", "inferway-dashboard")["data"]["inferway.json"])
ALERTS = Path(__file__).with_name("alerts.yaml")

SELECTED = re.compile(r"([a-zA-Z_:][a-zA-Z0-9_:]*)\s*\{")
"""A metric with its labels. The expressions give each metric a label, except recorded ones."""
RECORDED = re.compile(r"\binferway:[a-zA-Z0-9_:]+")


def expressions() -> Iterator[str]:
    for group in RULE["groups"]:
        for rule in group["rules"]:
            yield rule["expr"]
    yield from queries_of_the_dashboard()


def queries_of_the_dashboard() -> Iterator[str]:
    for panel in DASHBOARD["panels"]:
        for target in panel.get("targets", ()):
            yield target["expr"]
    for variable in DASHBOARD["templating"]["list"]:
        if variable["type"] == "query":
            yield variable["query"]["query"]


def exposed() -> set[str]:
    """Return the names of samples of the planes and Prometheus itself. Histograms have three, counters end in _total."""
    gateway = Gateway(Settings(), AccessLog(0, enabled=False), 1024)
    families = [
        *metrics.registry(gateway, DirectorySource(str(ROOT / "demo"))).collect(),
        *OperatorMetrics().registry.collect(),
    ]
    names = {"up"}
    for family in families:
        endings = {
            "counter": ("_total",),
            "histogram": ("_bucket", "_sum", "_count"),
        }.get(family.type, ("",))
        names |= {family.name + ending for ending in endings}
    return names


def test_metrics_of_rules_and_dashboard_exist() -> None:
    named_metrics = {name for text in expressions() for name in SELECTED.findall(text)}
    assert "http_requests_total" in named_metrics
    assert len(named_metrics) > 25
    assert named_metrics - exposed() == set()


def test_recorded_metrics_in_use_have_a_recording_rule() -> None:
    recorded = {rule["record"] for group in RULE["groups"] for rule in group["rules"] if "record" in rule}
    assert {name for text in expressions() for name in RECORDED.findall(text)} == recorded


def jobs_of(text: str) -> Iterator[str]:
    """Yield the pattern of the job in each selector of an expression."""
    for selector in re.findall(r"\{([^}]*)\}", text):
        job = re.search(r'\bjob(=~?)"([^"]+)"', selector)
        assert job, text
        yield job[2] if job[1] == "=~" else re.escape(job[2])


def test_every_metric_selector_selects_one_job() -> None:
    jobs = ("inferway-gateway-admin", "inferway-operator")
    for text in expressions():
        for pattern in jobs_of(text):
            assert len([job for job in jobs if re.fullmatch(pattern, job)]) == 1, text


def test_dashboard_selects_the_gateway_of_compose_too() -> None:
    config = yaml.safe_load((ROOT / "manifests/compose/prometheus/prometheus.yml").read_text())
    (job,) = (each["job_name"] for each in config["scrape_configs"] if "gateway" in each["job_name"])
    queries = [
        text for text in queries_of_the_dashboard() if "inferway_operator" not in text and "operator" not in text
    ]
    assert len(queries) > 25
    for text in queries:
        assert all(re.fullmatch(pattern, job) for pattern in jobs_of(text)), text


def test_dashboard_needs_no_recorded_metric() -> None:
    """Compose records other ones."""
    assert [text for text in queries_of_the_dashboard() if RECORDED.search(text)] == []


def test_errors_and_routes_leave_out_requests_without_a_route() -> None:
    counted = [text for text in expressions() if "http_requests_total" in text and 'route=""' not in text]
    assert len(counted) >= 15
    for text in counted:
        for selector in re.findall(r"http_requests_total\{([^}]*)\}", text):
            assert 'route!=""' in selector or 'route=~"$route"' in selector, text
    (route,) = (each for each in DASHBOARD["templating"]["list"] if each["name"] == "route")
    assert re.fullmatch(route["allValue"], "demo/infer")
    assert not re.fullmatch(route["allValue"], "")


@pytest.mark.parametrize("monitor", of_kind(MONITORING, "ServiceMonitor"), ids=lambda item: item["metadata"]["name"])
def test_service_monitor_selects_one_service_and_port(monitor: dict) -> None:
    assert monitor["spec"].keys() == {"selector", "endpoints"}
    wanted = monitor["spec"]["selector"]["matchLabels"].items()
    services = [
        service
        for service in of_kind(overlay("production"), "Service")
        if service["metadata"]["namespace"] == monitor["metadata"]["namespace"]
        and wanted <= service["metadata"]["labels"].items()
    ]
    assert len(services) == 1
    ports = {port["name"] for port in services[0]["spec"]["ports"]}
    for endpoint in monitor["spec"]["endpoints"]:
        assert endpoint.keys() == {"port", "path", "interval", "scrapeTimeout"}
        assert endpoint["port"] in ports
        assert endpoint["path"] == "/metrics"
    # Rules and dashboard select the Service by `job`, the label set by prometheus-operator.
    assert any(f'job="{services[0]["metadata"]["name"]}"' in text for text in expressions())


def test_every_alert_has_severity_texts_and_a_test() -> None:
    alerts = [rule for group in RULE["groups"] for rule in group["rules"] if "alert" in rule]
    assert alerts
    for alert in alerts:
        assert alert["labels"]["severity"] in ("critical", "warning", "info")
        assert alert["annotations"].keys() == {"summary", "runbook"}
    tested = {
        test["alertname"]
        for each in yaml.safe_load(ALERTS.read_text())["tests"]
        for test in each.get("alert_rule_test", ())
        if test["exp_alerts"]
    }
    assert tested == {alert["alert"] for alert in alerts}, "each alert has a test in which it fires"


def test_panels_have_unique_ids_places_and_queries() -> None:
    ids = [panel["id"] for panel in DASHBOARD["panels"]]
    assert len(ids) == len(set(ids))
    places = [(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in DASHBOARD["panels"]]
    assert len(places) == len(set(places))
    assert all(panel["type"] == "row" or panel["targets"] for panel in DASHBOARD["panels"])


@pytest.fixture
def promtool(tmp_path: Path) -> tuple[str, Path]:
    """Return the program, and a folder with the rules in Prometheus' format."""
    program = shutil.which("promtool")
    if program is None:
        pytest.skip("promtool is not in PATH: rules are not tested (Debian: the package prometheus)")
    (tmp_path / "rules.yaml").write_text(yaml.safe_dump(RULE))
    (tmp_path / "alerts.yaml").write_text(ALERTS.read_text())
    # Prometheus checks a query of the dashboard if it is a rule; Grafana inserts its own interval.
    queries = [text.replace("$__rate_interval", "1m").replace("$route", ".+") for text in expressions()]
    rules = [{"record": f"q{i}", "expr": text} for i, text in enumerate(queries) if not text.startswith("label_values")]
    (tmp_path / "queries.yaml").write_text(yaml.safe_dump({"groups": [{"name": "queries", "rules": rules}]}))
    return program, tmp_path


def test_promtool_accepts_rules_and_queries(promtool: tuple[str, Path]) -> None:
    program, folder = promtool
    done = subprocess.run(
        [program, "check", "rules", "rules.yaml", "queries.yaml"], cwd=folder, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("job", ["inferway-gateway-admin", "inferway-gateway"])
def test_dashboard_queries_find_series_of_both_jobs(promtool: tuple[str, Path], job: str) -> None:
    program, folder = promtool
    queries = [
        # More than one sample: since Prometheus 3 a range does not include its beginning.
        text.replace("$__rate_interval", "5m").replace("$route", ".+")
        for text in queries_of_the_dashboard()
        if not text.startswith("label_values") and "operator" not in text
    ]
    names = {name for text in queries for name in SELECTED.findall(text)}
    labels = (
        f'job="{job}", rule="r", code="503", method="GET", reason="x", kind="fresh", backend="b", policy="p", limit="l"'
    )
    series = [
        {"series": f'{name}{{{labels}, route="{route}", le="{le}", revision="1"}}', "values": "1+60x100"}
        for name in sorted(names)
        for route in ("demo/infer", "")
        for le in (("0.5", "+Inf") if name.endswith("_bucket") else ("",))
    ]
    tests = [
        {"expr": f"group({text})", "eval_time": "90m", "exp_samples": [{"labels": "{}", "value": 1}]}
        for text in queries
    ]
    assert len(tests) > 25
    content = {
        "evaluation_interval": "1m",
        "tests": [{"interval": "1m", "input_series": series, "promql_expr_test": tests}],
    }
    (folder / "queries_test.yaml").write_text(yaml.safe_dump(content))
    done = subprocess.run([program, "test", "rules", "queries_test.yaml"], cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.slow
def test_alerts_fire_in_their_promtool_tests(promtool: tuple[str, Path]) -> None:
    program, folder = promtool
    done = subprocess.run([program, "test", "rules", "alerts.yaml"], cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
