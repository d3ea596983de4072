"""`inferway run DIR` as a separate process, for tests of signals, exit codes and system limits."""

from __future__ import annotations

import http.client
import json
import os
import shlex
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from inferway_fakes.waiting import DEADLINE, wait_until

INFERWAY = str(Path(sys.executable).with_name("inferway"))


class Process:
    """A running process and its output."""

    def __init__(self, running: subprocess.Popen[str]) -> None:
        self.running = running
        self.events: list[dict[str, Any]] = []
        self.text: list[str] = []
        """Output lines that are not events, such as the cause of a failed start."""
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        for line in self.running.stderr or ():
            if line.startswith("{"):
                self.events.append(json.loads(line))
            else:
                self.text.append(line)

    def event(self, name: str) -> dict[str, Any]:
        """Wait for this line of the process's log."""
        wait_until(lambda: self._found(name) or self.running.poll() is not None, f"the event {name}")
        event = self._found(name)
        if event is None:
            raise AssertionError(f"the process ended before the event {name}, with the output: {''.join(self.text)}")
        return event

    def _found(self, name: str) -> dict[str, Any] | None:
        return next((event for event in list(self.events) if event["event"] == name), None)

    def port(self, listener: str = "listen") -> int:
        """Return the port of a listener."""
        return int(self.event("ready")[listener].rpartition(":")[2])

    def signal(self, number: int = signal.SIGTERM) -> None:
        """Send a signal."""
        os.kill(self.running.pid, number)

    def exit_code(self) -> int:
        """Wait for the end and return the exit code."""
        code = self.running.wait(DEADLINE)
        self._reader.join(DEADLINE)
        return code


@contextmanager
def started(
    directory: Path, text: str, *flags: str, log: int = subprocess.DEVNULL, descriptors: int = 0
) -> Iterator[Process]:
    """Start a process; it ends with the block.

    `log`: the descriptor for its access log. `descriptors`: the limit of open ones; 0 = the limit of the test.
    """
    (directory / "routes.yaml").write_text(text)
    command = [INFERWAY, "run", str(directory), "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", *flags]
    if descriptors:
        command = ["/bin/sh", "-c", f"ulimit -n {descriptors} && exec {shlex.join(command)}"]
    with subprocess.Popen(command, stdout=log, stderr=subprocess.PIPE, text=True) as running:  # noqa: S603 - ours
        process = Process(running)
        try:
            yield process
        finally:
            if running.poll() is None:
                running.kill()
            process.exit_code()


def ask(port: int, path: str = "/") -> tuple[int, bytes]:
    """Send one request on a new connection; returns the status and the body of its answer."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=DEADLINE)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()
