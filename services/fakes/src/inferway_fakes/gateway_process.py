"""`inferway run DIR` as a process of its own, for tests of what a process is: signals, exit codes, limits of the system."""

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
    """A running one, and what it says."""

    def __init__(self, running: subprocess.Popen[str]) -> None:
        self.running = running
        self.events: list[dict[str, Any]] = []
        self.text: list[str] = []
        """What it says that is not an event: why it did not start."""
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
        found = self._found(name)
        if found is None:
            raise AssertionError(f"it ended before the event {name}, and said: {''.join(self.text)}")
        return found

    def _found(self, name: str) -> dict[str, Any] | None:
        return next((event for event in list(self.events) if event["event"] == name), None)

    def port(self, listener: str = "listen") -> int:
        """The port that it listens on."""
        return int(self.event("ready")[listener].rpartition(":")[2])

    def signal(self, number: int = signal.SIGTERM) -> None:
        """Send a signal."""
        os.kill(self.running.pid, number)

    def exit_code(self) -> int:
        """Wait for the end."""
        code = self.running.wait(DEADLINE)
        self._reader.join(DEADLINE)
        return code


@contextmanager
def started(
    directory: Path, text: str, *flags: str, log: int = subprocess.DEVNULL, descriptors: int = 0
) -> Iterator[Process]:
    """A running process; it never outlives the test.

    `log`: where its access log goes, a descriptor. `descriptors`: how many it may have open; 0 = as many as the test.
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
    """One request on a connection of its own: the status and the body of its answer."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=DEADLINE)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()
