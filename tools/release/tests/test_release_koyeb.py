"""Deployments to Koyeb, against a fake API on loopback."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest
from fake_koyeb import TOKEN, FakeKoyeb

from inferway_cli.main import app
from inferway_dataplane.settings import Settings
from inferway_release import koyeb_api
from inferway_release.__main__ import ROOT, main
from inferway_release.koyeb_definition import ADMIN_PORT, PORT, ROUTES, NotDeployable, Wish, definition, settings

WISH = Wish("ghcr.io/inferway/standalone:0.1.0", "kind: GatewayRoute\n", {"INFERWAY_LOG_LEVEL": "debug"})


@pytest.fixture
def koyeb() -> Iterator[FakeKoyeb]:
    """Start the fake API."""
    with FakeKoyeb() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def test_deploy_creates_app_and_service_once_then_updates(koyeb: FakeKoyeb) -> None:
    client = koyeb_api.Koyeb(TOKEN, koyeb.url)
    assert koyeb_api.deploy(client, "inferway", WISH) == "d-1"
    assert koyeb_api.deploy(client, "inferway", WISH) == "d-2"
    assert [one for one in koyeb.asked if not one.startswith("GET")] == [
        "POST /v1/apps",
        "POST /v1/services",
        "PUT /v1/services/s-1",
    ]
    assert koyeb.services[1]["definition"] == definition(WISH)
    assert "definition" not in koyeb.services[0], "the other app's service stays as it was"


def test_wait_ends_when_the_deployment_is_healthy(koyeb: FakeKoyeb) -> None:
    pauses: list[float] = []
    koyeb_api.wait_until_healthy(koyeb_api.Koyeb(TOKEN, koyeb.url), "d-1", pause=pauses.append)
    assert pauses == [koyeb_api.PAUSE] * 2


@pytest.mark.parametrize("status", sorted(koyeb_api.LOST))
def test_failed_deployment_is_reported_at_once(koyeb: FakeKoyeb, status: str) -> None:
    koyeb.statuses = ["STARTING", status]
    with pytest.raises(NotDeployable, match=f"d-1 is {status}: port 8080 is closed"):
        koyeb_api.wait_until_healthy(koyeb_api.Koyeb(TOKEN, koyeb.url), "d-1", pause=lambda _: None)


def test_wait_ends_at_its_timeout(koyeb: FakeKoyeb) -> None:
    koyeb.statuses = ["STARTING"]
    with pytest.raises(NotDeployable, match="still STARTING after 0 s"):
        koyeb_api.wait_until_healthy(koyeb_api.Koyeb(TOKEN, koyeb.url), "d-1", patience=0, pause=lambda _: None)


def run(koyeb: FakeKoyeb) -> int:
    """Run the command as the workflow does."""
    folder = ROOT / "manifests/koyeb"
    files = ["--routes", str(folder / "routes.yaml"), "--settings", str(folder / "settings.env")]
    return main(["koyeb", WISH.image, *files, "--url", koyeb.url])


def test_command_deploys_the_definition_of_the_repository(
    koyeb: FakeKoyeb, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("KOYEB_TOKEN", TOKEN)
    koyeb.statuses = ["HEALTHY"]
    assert run(koyeb) == 0
    assert capsys.readouterr().out == f"{WISH.image}: deployment d-1\nhealthy\n"
    files = koyeb.services[1]["definition"]["config_files"]
    assert files == [
        {"path": ROUTES, "permissions": "0644", "content": (ROOT / "manifests/koyeb/routes.yaml").read_text("utf-8")}
    ]


@pytest.mark.parametrize(
    ("token", "refuse", "why"),
    [("", None, "KOYEB_TOKEN is not set"), ("wrong", None, "with 401"), (TOKEN, 503, "with 503")],
)
def test_failed_command_prints_its_cause_without_the_token(
    koyeb: FakeKoyeb,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    token: str,
    refuse: int | None,
    why: str,
) -> None:
    monkeypatch.setenv("KOYEB_TOKEN", token)
    koyeb.refuse = refuse
    assert run(koyeb) == 1
    errors = capsys.readouterr().err
    assert why in errors
    assert errors.count("\n") == 1
    assert not token or token not in errors


def test_settings_file_names_existing_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in settings((ROOT / "manifests/koyeb/settings.env").read_text("utf-8").splitlines()).items():
        assert name.removeprefix("INFERWAY_").lower() in Settings.model_fields
        monkeypatch.setenv(name, value)
    Settings()


@pytest.mark.parametrize(
    "line", ["LOG_LEVEL=debug", "INFERWAY_LISTEN=0.0.0.0:1", "INFERWAY_X", "INFERWAY_A=1\nINFERWAY_A=2"]
)
def test_invalid_settings_line_is_rejected(line: str) -> None:
    with pytest.raises(NotDeployable, match="settings, line"):
        settings(line.splitlines())


def test_definition_exposes_only_the_data_port() -> None:
    deployed = definition(WISH)
    assert deployed["routes"] == [{"port": PORT, "path": "/"}]
    assert {one["port"]: one["protocol"] for one in deployed["ports"]} == {PORT: "http", ADMIN_PORT: "tcp"}
    assert {"key": "PORT", "value": str(PORT)} in deployed["env"]


def test_routes_of_the_deployment_are_valid() -> None:
    with pytest.raises(SystemExit) as end:
        app(["validate", str(ROOT / "manifests/koyeb")])
    assert end.value.code == 0
