"""The access log shipped to service-node, as in the demos: through a named pipe that both ends hold open."""

from __future__ import annotations

import http.client
import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from inferway_testing.client import ask
from inferway_testing.process import run_gateway
from inferway_testing.until import DEADLINE, until

SERVICE = Path(__file__).parents[2] / "services" / "service-node"
ROUTES = """
apiVersion: inferway.dev/v1alpha1
kind: GatewayRoute
metadata: {name: hello}
spec:
  rules:
  - matches: [{path: {value: /}}]
    filters: [{type: DirectResponse, directResponse: {statusCode: 200, contentType: text/plain, body: hello}}]
"""

with_node = pytest.mark.skipif(
    shutil.which("node") is None or not (SERVICE / "node_modules" / "express").is_dir(),
    reason="needs node and the packages of service-node (make node-test)",
)


@pytest.fixture
def pipe(tmp_path: Path) -> Iterator[int]:
    """Create a named pipe, open in both directions, so that a writer never waits for a reader to open it."""
    name = tmp_path / "pipe"
    os.mkfifo(name)
    descriptor = os.open(name, os.O_RDWR)
    yield descriptor
    os.close(descriptor)


@pytest.fixture
def resources(tmp_path: Path) -> Path:
    """Create an empty directory for the gateway's resources."""
    directory = tmp_path / "resources"
    directory.mkdir()
    return directory


@contextmanager
def node(program: str, **streams_and_env: Any) -> Iterator[subprocess.Popen[str]]:
    """Run a program of service-node until the block ends."""
    command = ["node", str(SERVICE / "src" / program)]
    with subprocess.Popen(command, text=True, **streams_and_env) as running:
        try:
            yield running
        finally:
            running.kill()


@pytest.mark.slow
def test_full_access_log_pipe_does_not_block_requests_or_stop(resources: Path, pipe: int) -> None:
    with run_gateway(resources, ROUTES, "--access-log-rate", "1000000", stdout=pipe) as gateway:
        connection = http.client.HTTPConnection("127.0.0.1", gateway.port(), timeout=DEADLINE)
        for _ in range(3000):  # 1 MB of lines; a pipe holds 64 KiB
            connection.request("GET", "/")
            answer = connection.getresponse()
            assert (answer.status, answer.read()) == (200, b"hello")
        connection.close()
        gateway.signal()
        assert gateway.exit_code() == 0


@with_node
def test_every_access_log_line_arrives_at_service_node(resources: Path, pipe: int) -> None:
    environment = {"PATH": os.environ["PATH"], "SERVICE_NODE_PORT": "0"}
    with node("main.js", env=environment, stdout=subprocess.PIPE) as service:
        assert service.stdout is not None
        port = json.loads(service.stdout.readline())["port"]
        ship = {"PATH": os.environ["PATH"], "SHIP_TO": f"http://127.0.0.1:{port}/logs"}
        with (
            node("ship.js", env=ship, stdin=pipe, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as shipper,
            run_gateway(resources, ROUTES, stdout=pipe) as gateway,
        ):
            for number in range(20):
                assert ask(gateway.port(), f"/{number}")[0] == 200

            def kept() -> set[str]:
                return {line["path"] for line in json.loads(ask(port, "/logs?route=default/hello")[1])["lines"]}

            until(lambda: kept() == {f"/{number}" for number in range(20)}, "all 20 lines are there")
            shipper.terminate()
            assert shipper.wait(DEADLINE) == 0
