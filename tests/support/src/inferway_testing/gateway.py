"""Gateways in a thread of the tests' process."""

from __future__ import annotations

import asyncio
import socket
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import uvloop

from inferway_cli.directory_source import DirectorySource
from inferway_dataplane.main import DataPlane
from inferway_dataplane.settings import Settings
from inferway_fakes.loop_thread import LoopThread
from inferway_testing import client
from inferway_testing.client import Response
from inferway_testing.until import DEADLINE, until


def settings(**changes: object) -> Settings:
    """Settings of a gateway on free ports of loopback, with a short drain."""
    options = {"listen": "127.0.0.1:0", "admin": "127.0.0.1:0", "access_log": False, "drain_timeout": 1.0, **changes}
    return Settings(**options)  # type: ignore[arg-type]  # options of any test: pydantic checks them


@dataclass
class RunningGateway:
    """A data plane in a thread. It may still wait for its first document."""

    plane: DataPlane
    loop: asyncio.AbstractEventLoop

    @property
    def port(self) -> int:
        """Of the data listener."""
        return self.plane.listen[1]

    @property
    def admin_port(self) -> int:
        """Of the admin listener."""
        return self.plane.admin[1]

    def request(
        self, path: str = "/", method: str = "GET", *, port: int = 0, body: bytes | None = None, **headers: str
    ) -> Response:
        """Send a request on a connection of its own. `x_tenant="a"` is the header `x-tenant: a`."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return client.request(port or self.port, path, method, body, named)

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
        """Return the sum of a metric's samples that have these labels."""
        text = self.request("/metrics", port=self.admin_port).body.decode()
        total = 0.0
        for line in text.splitlines():
            if (line.startswith((name + "{", name + " "))) and all(
                f'{key}="{value}"' in line for key, value in labels.items()
            ):
                total += float(line.rsplit(" ", 1)[1])
        return total


@dataclass
class DirectoryGateway(RunningGateway):
    """A data plane that serves a directory of YAML."""

    directory: Path

    def apply(self, text: str, name: str = "routes.yaml") -> None:
        """Write a whole file, which ends with a line end, and wait until the gateway has accepted or rejected it."""
        gateway = self.plane.gateway
        live, rejected = gateway.context.runtime, gateway.stats.config_rejected
        target = self.directory / name
        part = target.with_suffix(".part")
        part.write_text(textwrap.dedent(text).rstrip("\n") + "\n", encoding="utf-8")
        part.rename(target)
        until(
            lambda: gateway.context.runtime is not live or gateway.stats.config_rejected != rejected,
            "a new document, or a rejection",
        )


@contextmanager
def running_gateway(directory: Path, **changes: object) -> Iterator[DirectoryGateway]:
    """Serve `directory` until the block ends. `changes`: of the settings."""
    with LoopThread("gateway", uvloop.new_event_loop()) as thread:
        # Tests write whole files: there is nothing to settle.
        plane = DataPlane(settings(**changes), DirectorySource(str(directory), interval=0.02, settle=0.005))
        thread.run(plane.start())
        try:
            yield DirectoryGateway(plane, thread.loop, directory)
        finally:
            thread.run(plane.stop())
