"""Parts shared by the harnesses: cores and directories, the route, progress lines."""

from __future__ import annotations

import asyncio
import contextlib
import os
import resource
import signal
import sys
from collections.abc import Coroutine, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import Any, TypeVar

import rich.console
import typer
import uvloop

from bench import compare, machine, measure, servers
from bench.peers import inferway

Value = TypeVar("Value")

console = rich.console.Console(width=None if sys.stdout.isatty() else 160, highlight=False)


@dataclass(frozen=True, slots=True)
class Place:
    """Launchers for the two cores; logs and YAML are in one directory that is removed at the end."""

    upstreams: servers.Launcher
    gateway: servers.Launcher
    directory: Path


@contextlib.contextmanager
def place(lifetime: float) -> Iterator[Place]:
    """Put this program and the upstreams on one core, the gateway on the other; all end after `lifetime` seconds."""
    handler = signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # ends the started processes
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    cores: measure.Cores = machine.choose_cores()
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {cores.load})
    try:
        with compare.run_directory() as directory:
            yield Place(
                servers.Launcher(cores.load, lifetime, directory),
                servers.Launcher(cores.proxy, lifetime, directory),
                directory,
            )
    finally:
        os.sched_setaffinity(0, before)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        signal.signal(signal.SIGTERM, handler)


def route(name: str, *rules: dict[str, Any]) -> dict[str, Any]:
    """Return a GatewayRoute."""
    return inferway.resource("GatewayRoute", name, {"rules": list(rules)})


def rule(prefix: str, ports: Sequence[int], **more: Any) -> dict[str, Any]:
    """Return a rule to local upstreams of equal weight."""
    return {
        "name": prefix.strip("/") or "all",
        "matches": [{"path": {"type": "PathPrefix", "value": prefix}}],
        "backendRefs": [{"url": f"http://127.0.0.1:{port}"} for port in ports],
        **more,
    }


def print_progress(text: str) -> None:
    """Print a line of progress."""
    console.print(text)


def run(work: Coroutine[Any, Any, Value]) -> Value:
    """Run a harness. If the run is void, print the cause in one paragraph and exit with code 1."""
    try:
        return uvloop.run(work)
    except servers.BenchError as error:
        console.print(f"The run failed: {error}", style="bold red", markup=False)
        raise typer.Exit(1) from None


async def settle(tasks: Sequence[asyncio.Future[None]], within: float) -> int:
    """Wait for tasks, cancel late ones and return their number. Raises the exception of a failed task."""
    _, late = await asyncio.wait(tasks, timeout=within)
    for task in late:
        task.cancel()
    for result in await asyncio.gather(*tasks, return_exceptions=True):
        if isinstance(result, BaseException) and not isinstance(result, asyncio.CancelledError):
            raise result
    return len(late)


class Clock:
    """Ticks every `period` seconds for `lasts` seconds; late ticks do not pile up."""

    def __init__(self, period: float, lasts: float) -> None:
        self.began = monotonic()
        self._period, self._end, self._next = period, self.began + lasts, self.began

    async def ticks(self) -> bool:
        """Wait for the next tick; false when the time is over."""
        now = monotonic()
        self._next = max(self._next + self._period, now) if self._next > self.began else self.began + self._period
        if self._next > self._end:
            return False
        await asyncio.sleep(self._next - now)
        return True
