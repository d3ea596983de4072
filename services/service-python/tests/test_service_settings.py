"""Settings come from the environment or from flags; an invalid value is rejected with the name of the setting."""

import os

import pytest
from pydantic import ValidationError
from pydantic_settings import CliApp

from service_python import main
from service_python.latency import Profile
from service_python.settings import Settings


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.upper().startswith("SERVICE_PYTHON_")]:
        monkeypatch.delenv(name)


def test_settings_have_their_defaults() -> None:
    settings = Settings()
    assert (settings.host, settings.port, settings.log_level) == ("127.0.0.1", 8000, "info")
    assert settings.cache_control is None
    assert settings.profile() == Profile(
        distribution="lognormal", latency_ms=20, sigma=0.25, jitter_ms=1, max_ms=1000, error_rate=0
    )


def test_flag_overrides_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SERVICE_PYTHON_PORT", "8001")
    monkeypatch.setenv("SERVICE_PYTHON_DISTRIBUTION", "uniform")
    settings = CliApp.run(Settings, cli_args=["--port", "8002", "--latency-ms=3.5"])
    assert (settings.port, settings.distribution, settings.latency_ms) == (8002, "uniform", 3.5)


def test_kubernetes_service_link_is_ignored_as_port(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SERVICE_PYTHON_PORT", "tcp://10.96.0.7:8000")
    assert Settings().port == 8000
    assert CliApp.run(Settings, cli_args=["--port", "8002"]).port == 8002


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PORT", "65536"),
        ("PORT", "http"),
        ("DISTRIBUTION", "bimodal"),
        ("LATENCY_MS", "-1"),
        ("LATENCY_MS", "nan"),
        ("LATENCY_MAX_MS", "inf"),
        ("ERROR_RATE", "1.01"),
        ("ERROR_RATE", "nan"),
        ("CACHE_CONTROL", "max-age=1\r\nx-forged: 1"),
        ("CACHE_CONTROL", ""),
        ("LOG_LEVEL", "loud"),
    ],
)
def test_invalid_setting_is_rejected(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(f"SERVICE_PYTHON_{name}", value)
    with pytest.raises(ValidationError, match=name.lower()):
        Settings()


def test_wrong_value_exits_like_a_wrong_flag(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as wrong_value:
        main.run(["--error-rate", "2"])
    assert capsys.readouterr().err.startswith("error_rate: ")
    with pytest.raises(SystemExit) as wrong_flag:
        main.run(["--error-rat", "2"])
    assert wrong_value.value.code == wrong_flag.value.code == main.EXIT_USAGE
