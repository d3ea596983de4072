"""`make run`: the demo does what the README shows."""

from __future__ import annotations

import re
import shutil
import socket
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

import httpx
import pytest

from inferway_testing.process import Process
from inferway_testing.until import until

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")


class Demo(NamedTuple):
    """The running demo on a copy of its directory."""

    directory: Path
    client: httpx.Client
    admin: str

    def status(self, path: str) -> int:
        return self.client.get(path).status_code

    def is_routed(self, path: str) -> bool:
        return b'"no_route"' not in self.client.get(path).content

    def last_error(self) -> str:
        return httpx.get(f"{self.admin}/debug/config", trust_env=False).json()["lastError"] or ""


def free_addresses(count: int) -> list[str]:
    """Return addresses that were free a moment ago."""
    with ExitStack() as sockets:
        probes = [sockets.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)]
        return ["{}:{}".format(*probe.getsockname()) for probe in probes]


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Demo]:
    directory = tmp_path_factory.mktemp("demo") / "resources"
    shutil.copytree(ROOT / "demo", directory, ignore=shutil.ignore_patterns("*.py", "__pycache__"))
    listen, admin, service = free_addresses(3)
    flags = ("--directory", str(directory), "--listen", listen, "--admin", admin, "--service", service)
    with Process([sys.executable, "-m", "demo", *flags]) as process:
        until(lambda: any("The gateway is ready" in line for line in process.text), "the demo to be ready")
        with httpx.Client(base_url=f"http://{listen}", trust_env=False) as client:
            yield Demo(directory, client, f"http://{admin}")
        assert process.stop() == 0


def test_demo_answers_the_second_request_from_its_cache(demo: Demo) -> None:
    first, second = (demo.client.get("/infer?prompt=hello") for _ in range(2))
    assert (first.status_code, first.headers["x-cache"]) == (200, "MISS")
    assert (second.status_code, second.headers["x-cache"]) == (200, "HIT")
    assert int(second.headers["age"]) <= 60
    assert second.content == first.content


def test_demo_forwards_a_post_to_the_service(demo: Demo) -> None:
    answer = demo.client.post("/infer", json={"prompt": "hello"})
    assert answer.status_code == 200
    assert answer.json()["model"]


def test_demo_refuses_a_client_over_its_limit(demo: Demo) -> None:
    until(lambda: demo.status("/infer?prompt=hello") == 200, "the bucket to have room again")
    statuses = [demo.status("/infer?prompt=hello") for _ in range(60)]
    assert set(statuses) == {200, 429}
    assert "#[1-60]" in README


def test_demo_serves_an_edited_file_and_reports_a_broken_one(demo: Demo) -> None:
    file = demo.directory / "routes.yaml"
    sound = file.read_text(encoding="utf-8")
    edited = sound.replace("value: /infer", "value: /ask")
    file.write_text(edited, encoding="utf-8")
    until(lambda: not demo.is_routed("/infer?prompt=x"), "the change to be served", 5.0)
    for broken in (sound.replace("spec:", "spec: ]", 1), sound.replace("matches:", "matchs:", 1)):
        file.write_text(broken, encoding="utf-8")
        place = re.escape(str(file)) + r":\d+: "
        until(lambda: re.match(place, demo.last_error()), "the error with the file's own name and its line", 5.0)  # noqa: B023 - called before the next round
        assert not demo.is_routed("/infer?prompt=x"), "the last good state is still served"
        file.write_text(edited, encoding="utf-8")
        until(lambda: not demo.last_error(), "the error to be gone", 5.0)
    file.write_text(sound, encoding="utf-8")
    until(lambda: demo.is_routed("/infer?prompt=x"), "the first state to be served", 5.0)


def test_demo_sees_new_files_and_edits_of_its_service(demo: Demo) -> None:
    service = demo.directory / "service.yaml"
    sound = service.read_text(encoding="utf-8")
    routes = (demo.directory / "routes.yaml").read_text(encoding="utf-8").partition("\n---\n")[0]
    new = demo.directory / "new.yaml"
    new.write_text(routes.replace("metadata: {name: infer}", "metadata: {name: new}").replace("/infer", "/v1"))
    until(lambda: demo.is_routed("/v1/x"), "the new file to be served", 5.0)
    service.write_text(sound.replace("[{name: http, port: 8000}]\n---", "[{name: http, prt: 8000}]\n---"))
    until(lambda: str(service) in demo.last_error(), "the error in the service's file", 5.0)
    service.write_text(sound, encoding="utf-8")
    new.unlink()
    until(lambda: not demo.is_routed("/v1/x"), "the file to be gone", 5.0)


def test_demo_has_metrics_on_the_admin_port(demo: Demo) -> None:
    assert "http_requests_total{" in httpx.get(f"{demo.admin}/metrics", trust_env=False).text
