"""Starting and ending servers: pinned to a core, with a bounded lifetime, ended by process id.

`taskset` pins (and execs), `timeout` bounds: a server outlives even a killed benchmark by no more than its lifetime.
`timeout` also passes our SIGTERM on and sends SIGKILL when the server has not gone five seconds later.
"""

from __future__ import annotations

import contextlib
import http.client
import os
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench import procfs

START_DEADLINE = 20.0
STOP_DEADLINE = 15.0


class BenchError(Exception):
    """The run is void. The message is shown to the user."""


@dataclass(frozen=True, slots=True)
class Launcher:
    """The core, the longest lifetime and the directory of servers of one kind."""

    core: int
    lifetime: float
    directory: Path

    @contextlib.contextmanager
    def running(self, name: str, command: Sequence[str], env: Mapping[str, str] | None = None) -> Iterator[Server]:
        log = self.directory / f"{name}.log"
        wrapped = ["taskset", "-c", str(self.core), "timeout", "-k", "5", f"{self.lifetime:.0f}", *command]
        with log.open("wb") as output:
            process = subprocess.Popen(
                wrapped,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env={**os.environ, **(env or {})},
            )
        server = Server(name, process, log)
        try:
            yield server
        finally:
            server.stop()


class Server:
    def __init__(self, name: str, process: subprocess.Popen[bytes], log: Path) -> None:
        self.name = name
        self.log = log
        self._process = process

    def wait_ready(self, is_ready: Callable[[], bool]) -> None:
        deadline = time.monotonic() + START_DEADLINE
        while not is_ready():
            self.check_alive()
            if time.monotonic() > deadline:
                raise BenchError(f"{self.name} was not ready within {START_DEADLINE:.0f} s\n{self.log_tail()}")
            time.sleep(0.05)
        self.check_alive()

    def check_alive(self) -> None:
        status = self._process.poll()
        if status is not None:
            raise BenchError(f"{self.name} ended by itself with status {status}\n{self.log_tail()}")

    def tree(self) -> procfs.Tree:
        """Return the server's own processes: the child of `timeout`, not `timeout`."""
        children = [stat.pid for stat in procfs.read_processes().values() if stat.parent == self._process.pid]
        if len(children) != 1:
            raise BenchError(f"{self.name}: no server below its timeout\n{self.log_tail()}")
        return procfs.Tree(children[0])

    def wait(self, within: float) -> int:
        """Return its exit status (as `timeout` forwards it). Raises `BenchError` after `within` seconds."""
        try:
            return self._process.wait(within)
        except subprocess.TimeoutExpired:
            raise BenchError(f"{self.name} did not end within {within:.0f} s\n{self.log_tail()}") from None

    def log_tail(self, lines: int = 20) -> str:
        tail = self.log.read_text(errors="replace").splitlines()[-lines:]
        return "\n".join(f"  {self.name} | {line}" for line in tail)

    def stop(self) -> None:
        if self._process.poll() is None:
            self._process.terminate()
        try:
            self._process.wait(STOP_DEADLINE)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def answers(port: int, path: str = "/", statuses: Sequence[int] = (200,)) -> bool:
    """Return whether a server on `port` answers a GET with one of these statuses."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=2)
    try:
        connection.request("GET", path)
        return connection.getresponse().status in statuses
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
