"""Changes of the configuration under full load: the time until each is visible, and failed requests.

`python -m bench.reloads`: wrk runs all the time. The YAML is replaced many times, each time with another value of a
response header. Each tenth change is a broken file, which must change nothing.
"""

from __future__ import annotations

import contextlib
import http.client
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer
import yaml

from bench import answer, compare, load, origin, peers, servers
from bench.peers import inferway

CONNECTIONS = 32
VISIBLE_WITHIN = 1.0  # seconds
BROKEN = (
    "apiVersion: inferway.dev/v1alpha1\nkind: GatewayRoute\nmetadata: {name: broken}\nspec: {rules: [{matches: 5}]}\n"
)


def resources(origin_port: int, generation: int) -> list[dict[str, Any]]:
    """Return the benchmark's own resources, with the generation in a response header."""
    routes = inferway.routes(origin_port, peers.Case.PROXIED)
    edit = {"set": [{"name": "x-generation", "value": str(generation)}]}
    for resource in routes:
        resource["spec"]["rules"][0]["filters"] = [{"type": "ResponseHeaderModifier", "responseHeaderModifier": edit}]
    return [*routes, inferway.endless_limits()]


def generation_of(port: int) -> str | None:
    """Return the generation in the answer to a request."""
    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", port, timeout=5)) as connection:
        connection.request("GET", answer.path(0))
        return connection.getresponse().headers["x-generation"]


def refusals(log: Path) -> int:
    """Count the rejected documents in the gateway's log."""
    return log.read_text().count("rejected a new document")


def wait_for(condition: Callable[[], bool], what: str) -> None:
    """Wait until `condition` is true. Raises `BenchError` with `what` after ten seconds."""
    deadline = time.monotonic() + 10
    while not condition():
        if time.monotonic() > deadline:
            raise servers.BenchError(f"not within 10 s: {what}")
        time.sleep(0.01)


def replace(directory: Path, text: str) -> None:
    """Replace the YAML as editors do: rename a new file to the old name."""
    part = directory / "resources.part"
    part.write_text(text)
    part.rename(directory / "resources.yaml")


def main(
    changes: Annotated[int, typer.Option()] = 100,
    load_core: Annotated[int, typer.Option()] = 0,
    proxy_core: Annotated[int, typer.Option()] = 1,
) -> None:
    """Change the configuration under load and report the effect on the traffic."""
    lifetime = changes * 2.0 + 60
    delays: list[float] = []
    with contextlib.ExitStack() as running:
        directory = running.enter_context(compare.run_directory())
        source = running.enter_context(origin.serve(servers.Launcher(load_core, lifetime, directory)))
        launcher = servers.Launcher(proxy_core, lifetime, directory)
        port, server = running.enter_context(
            inferway.serve_resources("reloads", resources(source.port, 0), launcher, ["--log-level", "error"])
        )
        served = directory / "reloads"
        targets = [answer.path(number) for number in range(100)]
        generator = load.Generator.prepare(load_core, directory / "load", targets)
        seconds = changes + changes // 10
        wrk = running.enter_context(generator.start(port, CONNECTIONS, seconds, load.Mode.MEASURE))
        for number in range(1, changes + 1):
            if number % 10 == 0:
                replace(served, BROKEN)
                # Only a file that was read and refused proves that it changed nothing.
                wait_for(lambda seen=number // 10: refusals(server.log) == seen, f"broken file {number // 10} refused")
                if generation_of(port) != str(number - 1):
                    raise servers.BenchError(f"a broken file changed what is served at change {number}")
            replace(served, yaml.safe_dump_all(resources(source.port, number)))
            began = time.monotonic()
            wait_for(lambda wanted=str(number): generation_of(port) == wanted, f"change {number} visible")
            delays.append(time.monotonic() - began)
        result = wrk.finish()
    slow = sum(delay > VISIBLE_WITHIN for delay in delays)
    print(
        f"{changes} changes under {result.per_second:,.0f} requests/s: visible after {statistics.median(delays):.2f} s"
        f" (median), {max(delays):.2f} s (longest); {result.requests:,} requests, {result.refusals} not 2xx,"
        f" {result.socket_errors} socket errors"
    )
    if slow or result.refusals or result.socket_errors:
        raise typer.Exit(1)


if __name__ == "__main__":
    typer.run(main)
