"""The files of the compose demo. `make compose-test` starts it."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from inferway_testing.process import INFERWAY

ROOT = Path(__file__).parents[2]
FILE = ROOT / "manifests" / "compose.yaml"
COMPOSE: dict[str, Any] = yaml.safe_load(FILE.read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]


def test_compose_resources_are_valid() -> None:
    done = subprocess.run(
        [INFERWAY, "validate", str(FILE.parent / "compose" / "resources")], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("name", SERVICES)
def test_compose_services_are_unprivileged_and_pinned(name: str) -> None:
    service = SERVICES[name]
    assert service["read_only"]
    assert service["cap_drop"] == ["ALL"]
    assert int(service["user"].split(":")[0]) > 0
    assert service["mem_limit"]
    assert all(port.startswith("127.0.0.1:") for port in service.get("ports", []))
    assert ":latest" not in service["image"]


def test_prometheus_targets_exist_in_compose() -> None:
    scrape = yaml.safe_load((FILE.parent / "compose" / "prometheus" / "prometheus.yml").read_text())
    targets = [target for job in scrape["scrape_configs"] for target in job["static_configs"][0]["targets"]]
    assert {target.partition(":")[0] for target in targets} == {"gateway", "service-python", "service-node"}
    mounted = "/etc/prometheus/"
    assert [name for name in scrape["rule_files"] if not name.startswith(mounted)] == []
    for name in scrape["rule_files"]:
        rules = yaml.safe_load((FILE.parent / "compose" / "prometheus" / name.removeprefix(mounted)).read_text())
        assert rules["groups"]


def test_service_node_lock_file_has_hashes_and_no_addresses() -> None:
    lock = json.loads((ROOT / "services" / "service-node" / "package-lock.json").read_text())
    packages = {name: package for name, package in lock["packages"].items() if name}
    assert len(packages) > 50
    assert [name for name, package in packages.items() if "resolved" in package] == []
    assert [name for name, package in packages.items() if not package["integrity"].startswith("sha512-")] == []
