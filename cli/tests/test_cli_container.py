"""The entry point of the image: where it listens."""

import os
import subprocess
import sys

import pytest

from inferway_cli.container import listeners


@pytest.mark.parametrize(
    ("environ", "added"),
    [
        ({}, {"INFERWAY_LISTEN": "0.0.0.0:8080", "INFERWAY_ADMIN": "0.0.0.0:9090"}),
        ({"PORT": "8000"}, {"INFERWAY_LISTEN": "0.0.0.0:8000", "INFERWAY_ADMIN": "0.0.0.0:9090"}),
        ({"PORT": ""}, {"INFERWAY_LISTEN": "0.0.0.0:8080", "INFERWAY_ADMIN": "0.0.0.0:9090"}),
        ({"PORT": "8000", "INFERWAY_LISTEN": "[::]:80"}, {"INFERWAY_ADMIN": "0.0.0.0:9090"}),
        ({"INFERWAY_ADMIN": "127.0.0.1:1"}, {"INFERWAY_LISTEN": "0.0.0.0:8080"}),
    ],
)
def test_port_variable_sets_the_listener(environ: dict[str, str], added: dict[str, str]) -> None:
    assert listeners(environ) == added


@pytest.mark.outside
@pytest.mark.parametrize("port", ["0", "65536", "http", "-1", "٨٠"])
def test_invalid_port_variable_exits_with_2(port: str) -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "inferway_cli.container", "--version"],
        env={**os.environ, "PORT": port, "PYTHONUTF8": "1"}, capture_output=True, text=True, timeout=30, check=False,
    )  # fmt: skip
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr == f"inferway: PORT: {port!r} is not a port, such as 8080\n"


@pytest.mark.outside
def test_entry_point_runs_the_commands() -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "inferway_cli.container", "--version"],
        capture_output=True, text=True, timeout=30, check=False,
    )  # fmt: skip
    assert ended.returncode == 0
    assert ended.stdout.startswith("inferway ")
