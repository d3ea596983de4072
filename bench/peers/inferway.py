"""Inferway, started as in its README: `inferway run DIR`, with the YAML a user would write.

Everything in bench/ that depends on its command line or its resources is in this module.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from bench import answer, peers, ports, servers

API = "inferway.dev/v1alpha1"
ENDLESS = {"rate": {"requests": 1_000_000, "per": "1s"}, "burst": 1_000_000, "scope": "Pod"}
PER_CLIENT = [{"clientIP": {"prefixV4": 32, "prefixV6": 64}}]
JUDGED = ("ratelimit",)
"""Sent with every answer whose limits were judged (`onLimit.headers: Standard`, the default)."""


def binary() -> Path:
    return Path(sys.executable).with_name("inferway")


def resource(kind: str, name: str, spec: dict[str, Any]) -> dict[str, Any]:
    return {"apiVersion": API, "kind": kind, "metadata": {"name": name, "namespace": "bench"}, "spec": spec}


def routes(origin_port: int, case: peers.Case) -> list[dict[str, Any]]:
    """Return ten resources of one rule, one prefix each."""
    cache = {"cache": {"ttl": "1h"}} if case is peers.Case.HIT else {}
    resources = []
    for prefix in peers.PREFIXES:
        name = prefix.strip("/")
        rule = {
            "name": name,
            "matches": [{"path": {"type": "PathPrefix", "value": prefix}}],
            "backendRefs": [{"url": f"http://127.0.0.1:{origin_port}"}],
            **cache,
        }
        resources.append(resource("GatewayRoute", name, {"rules": [rule]}))
    return resources


def endless_limits() -> dict[str, Any]:
    limits = [{"name": "global", **ENDLESS}, {"name": "per-ip", **ENDLESS, "key": PER_CLIENT}]
    return resource("RateLimitPolicy", "limits", {"limits": limits})


@dataclass(frozen=True, slots=True)
class Serving:
    """A gateway that is ready."""

    port: int
    admin_port: int
    server: servers.Server
    directory: Path
    """The directory of its YAML; `write` replaces the file."""


def write(directory: Path, resources: Sequence[dict[str, Any]]) -> None:
    """Replace the YAML as editors do: a new file takes the old one's name."""
    part = directory / "resources.part"
    part.write_text(yaml.safe_dump_all(resources, sort_keys=False))
    part.rename(directory / "resources.yaml")


@contextlib.contextmanager
def serve_directory(
    name: str,
    resources: Sequence[dict[str, Any]],
    launcher: servers.Launcher,
    flags: Sequence[str] = (),
    *,
    env: Mapping[str, str] | None = None,
    wrapper: Sequence[str] = (),
) -> Iterator[Serving]:
    """Serve a directory of YAML until the context ends; `wrapper` is put before the command (prlimit)."""
    directory = launcher.directory / name
    directory.mkdir()
    write(directory, resources)
    with contextlib.ExitStack() as running:
        with ports.hold(2) as (port, admin_port):
            listen = ["--listen", f"127.0.0.1:{port}", "--admin", f"127.0.0.1:{admin_port}"]
            command = [*wrapper, str(binary()), "run", str(directory), *listen, *flags]
            server = running.enter_context(launcher.running(name, command, env))
            server.wait_ready(lambda: servers.answers(admin_port, "/readyz"))
        yield Serving(port, admin_port, server, directory)


@contextlib.contextmanager
def serve_resources(
    name: str, resources: Sequence[dict[str, Any]], launcher: servers.Launcher, flags: Sequence[str] = ()
) -> Iterator[tuple[int, servers.Server]]:
    """Serve the benchmark's own routes; yields the data port once they are answered."""
    with serve_directory(name, resources, launcher, flags) as serving:
        serving.server.wait_ready(lambda: servers.answers(serving.port, answer.path(0)))
        yield serving.port, serving.server


class Inferway:
    name = "inferway"
    cases = (peers.Case.PROXIED, peers.Case.HIT)

    @contextlib.contextmanager
    def serve(self, case: peers.Case, origin_port: int, launcher: servers.Launcher) -> Iterator[peers.Running]:
        resources = [*routes(origin_port, case), endless_limits()]
        with serve_resources(f"{self.name}-{case}", resources, launcher) as (port, server):
            yield peers.Running(self.name, case, port, server, required_headers=JUDGED)
