"""manifests/compose.yaml as a separate project, on free ports, with a copy of its directory of resources."""

from __future__ import annotations

import http.client
import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
FILE = ROOT / "manifests" / "compose.yaml"
TAG = "compose-test"
IMAGES = ("standalone", "service-python", "service-node")
BUILD_SECONDS = 1200  # cold, on a slow line
UP_SECONDS = 120
REQUEST_SECONDS = 10.0


def missing() -> str:
    """Return the missing requirement, or an empty text."""
    for command, what in (
        (("docker", "compose", "version"), "docker compose"),
        (("docker", "info"), "a running docker"),
    ):
        try:
            probe = subprocess.run(command, capture_output=True, timeout=30, check=False)
        except FileNotFoundError:
            return "docker"
        except subprocess.TimeoutExpired:
            return what
        if probe.returncode:
            return what
    return ""


@dataclass(frozen=True)
class Answer:
    """An answer to a client."""

    status: int
    headers: http.client.HTTPMessage
    body: bytes

    def json(self) -> Any:
        """Return the parsed body."""
        return json.loads(self.body)


@dataclass(frozen=True)
class Project:
    """A running project."""

    name: str
    resources: Path

    def compose(self, *arguments: str, seconds: float = UP_SECONDS) -> str:
        """Run `docker compose` and return its standard output; fails with its error output."""
        settings = {"TAG": TAG, "GATEWAY_PORT": "0", "ADMIN_PORT": "0", "PROMETHEUS_PORT": "0"}
        done = subprocess.run(
            ["docker", "compose", "--project-name", self.name, "--file", str(FILE), *arguments],
            env={**os.environ, **settings, "RESOURCES": str(self.resources)},
            capture_output=True,
            text=True,
            timeout=seconds,
            check=False,
        )
        assert done.returncode == 0, f"docker compose {' '.join(arguments)}: {done.stderr}"
        return done.stdout

    def ask(self, path: str, service: str = "gateway", port: int = 8080, method: str = "GET") -> Answer:
        """Send one request to a published port."""
        host, _, published = self.compose("port", service, str(port)).strip().rpartition(":")
        connection = http.client.HTTPConnection(host, int(published), timeout=REQUEST_SECONDS)
        try:
            connection.request(method, path)
            answer = connection.getresponse()
            return Answer(answer.status, answer.headers, answer.read())
        finally:
            connection.close()

    def many(self, path: str, count: int) -> list[int]:
        """Return the statuses of `count` requests on one connection, without pauses."""
        host, _, published = self.compose("port", "gateway", "8080").strip().rpartition(":")
        connection = http.client.HTTPConnection(host, int(published), timeout=REQUEST_SECONDS)
        statuses = []
        try:
            for _ in range(count):
                connection.request("GET", path)
                answer = connection.getresponse()
                answer.read()
                statuses.append(answer.status)
        finally:
            connection.close()
        return statuses

    def query(self, expression: str) -> dict[str, float]:
        """Query Prometheus; returns the value of each job."""
        path = "/api/v1/query?query=" + expression
        result = self.ask(path, "prometheus", 9090).json()["data"]["result"]
        return {item["metric"].get("job", ""): float(item["value"][1]) for item in result}

    def containers(self) -> dict[str, dict[str, Any]]:
        """Return docker's description of each container, by service."""
        names = self.compose("ps", "--all", "--quiet").split()
        inspection = subprocess.run(
            ["docker", "inspect", *names], capture_output=True, text=True, timeout=30, check=True
        )
        return {item["Config"]["Labels"]["com.docker.compose.service"]: item for item in json.loads(inspection.stdout)}


@contextmanager
def running(directory: Path) -> Iterator[Project]:
    """Build and start the project, until healthy; after the block only docker's build cache is left."""
    resources = directory / "resources"
    shutil.copytree(FILE.parent / "compose" / "resources", resources)
    resources.chmod(0o755)
    project = Project(f"inferway-test-{os.getpid()}", resources)
    try:
        project.compose("build", "--quiet", seconds=BUILD_SECONDS)
        project.compose("up", "--detach", "--wait", "--wait-timeout", str(UP_SECONDS), seconds=UP_SECONDS + 300)
        yield project
    finally:
        project.compose("down", "--volumes", "--remove-orphans", "--timeout", "30")
        names = [f"ghcr.io/inferway/{name}:{TAG}" for name in IMAGES]
        subprocess.run(["docker", "image", "rm", *names], capture_output=True, timeout=60, check=False)
