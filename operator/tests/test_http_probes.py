"""Probes and metrics of the operator over a real socket, and the settings of its server."""

from pathlib import Path

import httpx
import operator_http
import pytest
from pydantic import ValidationError

from inferway_contract.connection_limits import REASONS
from inferway_operator.http_server.server import Readiness
from inferway_operator.metrics import OperatorMetrics
from inferway_operator.settings import HttpSettings

pytestmark = pytest.mark.outside


def test_probes_return_the_state_of_the_operator() -> None:
    with operator_http.running() as running, httpx.Client(base_url=running.url) as client:
        assert (client.get("/healthz").status_code, client.get("/healthz").text) == (200, "ok\n")
        assert (client.get("/readyz").status_code, client.get("/readyz").text) == (200, "leading\n")
        running.operator.ready = Readiness(True, "standing by for operator-0")
        assert (client.get("/readyz").status_code, client.get("/readyz").text) == (200, "standing by for operator-0\n")
        running.operator.ready = Readiness(False, "listing")
        assert (client.get("/readyz").status_code, client.get("/readyz").text) == (503, "listing\n")
        assert client.get("/healthz").status_code == 200
        running.operator.ails = "the reconcile task has ended"
        assert (client.get("/healthz").status_code, client.get("/healthz").text) == (
            503,
            "the reconcile task has ended\n",
        )
        assert client.head("/healthz").content == b""
        assert client.post("/healthz").status_code == 405
        assert client.get("/validate").status_code == 404
        assert running.server.reviews is None


def test_metrics_are_served_as_text_and_open_metrics() -> None:
    with operator_http.running() as running, httpx.Client(base_url=running.url) as client:
        running.metrics.reconciled("written", 0.2)
        answer = client.get("/metrics")
        assert answer.headers["content-type"].startswith("text/plain")
        assert 'inferway_operator_reconciles_total{result="written"} 1.0' in answer.text
        assert "process_resident_memory_bytes" in answer.text
        open_metrics = client.get("/metrics", headers={"Accept": "application/openmetrics-text; version=1.0.0"})
        assert open_metrics.headers["content-type"].startswith("application/openmetrics-text")
        assert open_metrics.text.endswith("# EOF\n")


def test_occupied_port_fails_the_start_and_leaves_no_socket(tmp_path: Path) -> None:
    with operator_http.running() as running:
        taken = "{}:{}".format(*running.server.probes.address)
        with pytest.raises(OSError, match="Address already in use"), operator_http.running(listen=taken):
            pass
        pair = tmp_path / "tls.crt", tmp_path / "tls.key"
        with (
            pytest.raises(OSError, match="Address already in use"),
            operator_http.running(pair, webhook_listen=taken),
        ):
            pass


def test_metrics_have_fewer_than_120_series() -> None:
    metrics = OperatorMetrics()
    metrics.reconciled("failed", 1.0)
    metrics.compiled(0.5)
    metrics.published(1_700_000_000.0)
    metrics.leads(True)
    metrics.counted("GatewayRoute", 5, 3, 1)
    metrics.certificate_is(usable=True)
    for reason in REASONS:
        metrics.connection_closed("probes", reason)
        metrics.connection_closed("reviews", reason)
    for number in range(100):
        metrics.wrote(f"Widget{number}", "written")
        metrics.counted(f"Widget{number}", number, 0, 0)
        metrics.api_failed(500 + number % 100)
        metrics.reviewed(f"Widget{number}", "allowed", 0.01)
    for status in (None, 404, 409, 410, 429, 418):
        metrics.api_failed(status)
    value = metrics.registry.get_sample_value
    assert value("inferway_operator_writes_total", {"kind": "other", "result": "written"}) == 100
    assert value("inferway_operator_objects", {"kind": "other"}) == 99
    assert value("inferway_operator_api_errors_total", {"reason": "5xx"}) == 100
    assert value("inferway_operator_api_errors_total", {"reason": "4xx"}) == 1
    assert value("inferway_operator_api_errors_total", {"reason": "unreachable"}) == 1
    assert value("inferway_operator_leader") == 1
    assert value("inferway_operator_objects_programmed", {"kind": "GatewayRoute"}) == 3
    assert value("inferway_operator_objects_refused", {"kind": "GatewayRoute"}) == 1
    assert value("inferway_operator_last_published_timestamp_seconds") == 1_700_000_000.0
    assert value("inferway_operator_reconcile_seconds_count") == 1
    assert value("inferway_operator_compile_seconds_sum") == 0.5
    assert value("inferway_operator_webhook_certificate_usable") == 1
    ours = [metric for metric in metrics.registry.collect() if metric.name.startswith("inferway_operator_")]
    assert len(ours) == 18
    assert sum(len(metric.samples) for metric in ours) < 120


def test_http_settings_are_read_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INFERWAY_OPERATOR_LISTEN", "0.0.0.0:9091")
    monkeypatch.setenv("INFERWAY_OPERATOR_WEBHOOK_CERT", "/tls/tls.crt")
    with pytest.raises(ValidationError, match="webhook_cert and webhook_key go together"):
        HttpSettings()
    monkeypatch.setenv("INFERWAY_OPERATOR_WEBHOOK_KEY", "/tls/tls.key")
    assert HttpSettings().webhook_pair == (Path("/tls/tls.crt"), Path("/tls/tls.key"))
    monkeypatch.setenv("INFERWAY_OPERATOR_WEBHOOK_CERT", "")
    monkeypatch.setenv("INFERWAY_OPERATOR_WEBHOOK_KEY", "")
    assert HttpSettings().webhook_pair is None
    assert HttpSettings().listen == "0.0.0.0:9091"


@pytest.mark.parametrize("text", ["", "9091", ":9091", "localhost", "localhost:", "localhost:http", "localhost:65536"])
def test_invalid_listen_address_is_rejected(text: str) -> None:
    with pytest.raises(ValidationError, match="is not address:port"):
        HttpSettings(listen=text)
