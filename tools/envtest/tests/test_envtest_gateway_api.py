"""The Gateway API's definitions come from its module; a missing module is reported."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from inferway_envtest import gateway_api


def fake_go(folder: Path, script: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make a script the only program on the path."""
    (folder / "go").write_text(f"#!/bin/sh\n{script}\n")
    (folder / "go").chmod(0o755)
    monkeypatch.setenv("PATH", str(folder))


def test_reference_grants_are_read_from_the_go_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_go(tmp_path, f"""echo '{{"Dir": "{tmp_path}"}}'""", monkeypatch)
    assert gateway_api.reference_grants().is_relative_to(tmp_path)


def test_pinned_module_contains_the_reference_grant_crd() -> None:
    try:
        file = gateway_api.reference_grants()
    except gateway_api.Unavailable as missing:
        pytest.skip(str(missing))
    definition = yaml.safe_load(file.read_text(encoding="utf-8"))
    assert definition["metadata"]["name"] == "referencegrants.gateway.networking.k8s.io"
    assert "v1beta1" in [version["name"] for version in definition["spec"]["versions"] if version["served"]]


def test_missing_go_is_reported_as_unavailable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(gateway_api.Unavailable, match="install Go"):
        gateway_api.reference_grants()


@pytest.mark.parametrize(
    "script",
    ["""echo '{"Error": "no such host"}'; exit 1""", "echo no such host >&2; exit 1"],
)
def test_failed_download_is_reported_with_its_cause(
    script: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_go(tmp_path, script, monkeypatch)
    with pytest.raises(gateway_api.Unavailable, match="no such host"):
        gateway_api.reference_grants()
