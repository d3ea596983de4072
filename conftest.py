"""Fixtures shared by several packages' tests: a gateway on a directory of YAML, a scriptable upstream."""

from __future__ import annotations

import asyncio
import http.client
import json
import socket
import textwrap
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
import uvloop

from inferway_cli.directory_source import DirectorySource
from inferway_dataplane.main import DataPlane
from inferway_dataplane.settings import Settings
from inferway_fakes.loop_thread import LoopThread
from inferway_fakes.upstream import Upstream
from inferway_fakes.waiting import DEADLINE, wait_until

pytest_plugins = ["e2e.case_marks", "e2e.cluster.plugin", "inferway_envtest.fixtures", "inferway_envtest.installation"]


@dataclass
class Answer:
    """An answer to a client."""

    status: int
    headers: http.client.HTTPMessage
    body: bytes

    @property
    def code(self) -> str:
        """Return the code of the problem; asserts that the answer is one."""
        assert self.headers["content-type"] == "application/problem+json", (self.status, self.body)
        return str(json.loads(self.body)["code"])


@dataclass
class RunningGateway:
    """A data plane in a thread, fed from a directory."""

    directory: Path
    plane: DataPlane
    loop: asyncio.AbstractEventLoop

    @property
    def port(self) -> int:
        """Return the port of the data listener."""
        return self.plane.listen[1]

    @property
    def admin_port(self) -> int:
        """Return the port of the admin listener."""
        return self.plane.admin[1]

    def apply(self, text: str, name: str = "routes.yaml") -> None:
        """Write a file and wait until the gateway has accepted or rejected it."""
        gateway = self.plane.gateway
        live, rejected = gateway.context.runtime, gateway.stats.config_rejected
        target = self.directory / name
        part = target.with_suffix(".part")
        part.write_text(textwrap.dedent(text))
        part.rename(target)
        wait_until(
            lambda: gateway.context.runtime is not live or gateway.stats.config_rejected != rejected,
            "a new document, or a rejection",
        )

    def request(
        self, path: str = "/", method: str = "GET", *, port: int = 0, body: bytes | None = None, **headers: str
    ) -> Answer:
        """Send one request on a new connection. `x_tenant="a"` is the header `x-tenant: a`."""
        connection = http.client.HTTPConnection("127.0.0.1", port or self.port, timeout=DEADLINE)
        try:
            names = {name.replace("_", "-"): value for name, value in headers.items()}
            connection.request(method, path, body=body, headers=names)
            answer = connection.getresponse()
            return Answer(answer.status, answer.headers, answer.read())
        finally:
            connection.close()

    def raw(self, data: bytes, *, half_close: bool = True) -> bytes:
        """Send bytes, and read until the gateway closes."""
        with socket.create_connection(("127.0.0.1", self.port), DEADLINE) as connection:
            connection.sendall(data)
            if half_close:
                connection.shutdown(socket.SHUT_WR)
            received = b""
            while piece := connection.recv(65536):
                received += piece
            return received

    def active_requests(self, rule: int = 0) -> tuple[int, int, int]:
        """Return a rule's requests in flight; of these, those waiting for a connection, and those in a further try."""
        live = self.plane.gateway.context.runtime
        assert live is not None
        counters = live.rules[rule].breaker.counters
        return counters.in_flight, counters.pending, counters.retrying

    def tasks(self) -> int:
        """Return the number of tasks of the gateway's loop."""
        return len(asyncio.all_tasks(self.loop))

    def metric(self, name: str, **labels: str) -> float:
        """Return the sum of a metric's samples with these labels."""
        text = self.request("/metrics", port=self.admin_port).body.decode()
        total = 0.0
        for line in text.splitlines():
            if (line.startswith((name + "{", name + " "))) and all(
                f'{key}="{value}"' in line for key, value in labels.items()
            ):
                total += float(line.rsplit(" ", 1)[1])
        return total


@contextmanager
def running_gateway(directory: Path, **settings: object) -> Iterator[RunningGateway]:
    """Run a gateway that serves `directory` until the block ends."""
    options = {"listen": "127.0.0.1:0", "admin": "127.0.0.1:0", "access_log": False, "drain_timeout": 1.0, **settings}
    thread = LoopThread("gateway", uvloop.new_event_loop())
    thread.start()
    try:
        # Tests write whole files, so there is no need to wait until they are complete.
        source = DirectorySource(str(directory), interval=0.02, settle=0.005)
        plane = DataPlane(Settings(**options), source)  # type: ignore[arg-type]  # options of any test; pydantic validates them
        thread.run(plane.start())
        try:
            yield RunningGateway(directory, plane, thread.loop)
        finally:
            thread.run(plane.stop())
    finally:
        thread.stop()


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    """Start an upstream that answers 200 `ok` until the test changes its script."""
    with Upstream() as running:
        yield running


@pytest.fixture
def upstreams() -> Iterator[Callable[[int], list[Upstream]]]:
    """Return a function: `upstreams(3)` starts three upstreams."""
    with ExitStack() as stack:
        yield lambda count: [stack.enter_context(Upstream()) for _ in range(count)]


@pytest.fixture(scope="session")
def stop_in_background() -> Iterator[Callable[[ExitStack], None]]:
    """Stop gateways while the next test runs, because uvicorn stops slowly; a failed stop fails the session's end."""
    stopped: list[Future[None]] = []
    with ThreadPoolExecutor(8, "stopping") as pool:
        yield lambda stack: stopped.append(pool.submit(stack.close))
    for stop in stopped:
        stop.result()


@pytest.fixture
def serve(tmp_path: Path, stop_in_background: Callable[[ExitStack], None]) -> Iterator[Callable[..., RunningGateway]]:
    """Return a function: `serve(yaml, setting=...)` starts a gateway, which is stopped after the test."""
    stack = ExitStack()

    def start(text: str, **settings: object) -> RunningGateway:
        directory = tmp_path / "resources"
        directory.mkdir(exist_ok=True)
        (directory / "routes.yaml").write_text(textwrap.dedent(text))
        return stack.enter_context(running_gateway(directory, **settings))

    yield start
    stop_in_background(stack)
