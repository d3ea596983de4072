"""The scripted upstream as a separate process (services/fakes/README.md)."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from bench import fakes, servers


@dataclass(frozen=True, slots=True)
class Scripted:
    """A running upstream."""

    name: str
    port: int
    server: servers.Server

    def stats(self) -> dict[str, int]:
        """Return the numbers of `/_fake/stats`."""
        return {key: value for key, value in self._ask("GET", "/_fake/stats").items() if isinstance(value, int)}

    def switch(self, **mode: float | bool | int) -> None:
        """Set the fault by `PUT /_fake/mode`; no argument = no fault."""
        self._ask("PUT", "/_fake/mode", json.dumps(mode).encode())

    def _ask(self, method: str, target: str, body: bytes | None = None) -> dict[str, Any]:
        with contextlib.closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)) as connection:
            connection.request(method, target, body=body)
            answer = connection.getresponse()
            document: dict[str, Any] = json.loads(answer.read())
            if answer.status != 200:
                raise servers.BenchError(f"{self.name}: {document['error']}")
            return document


@contextlib.contextmanager
def serve(name: str, launcher: servers.Launcher) -> Iterator[Scripted]:
    """Run an upstream until the context ends."""
    path = os.pathsep.join(filter(None, [str(fakes.SOURCE), os.environ.get("PYTHONPATH", "")]))
    command = [
        sys.executable,
        "-m",
        "inferway_fakes.scripted",
        "--name",
        name,
        "--lifetime",
        f"{launcher.lifetime:.0f}",
    ]
    with launcher.running(name, command, {"PYTHONPATH": path}) as server:
        server.wait_ready(lambda: server.log.read_text().endswith("\n"))
        first_line = server.log.read_text().splitlines()[0]
        try:
            port = json.loads(first_line)["port"]
        except (ValueError, KeyError):
            raise servers.BenchError(f"{name} did not print its port\n{server.log_tail()}") from None
        yield Scripted(name, port, server)
