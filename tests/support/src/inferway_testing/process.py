"""Programs that tests start: their output, their signals, their exit code, and a stop that takes a bounded time."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from signal import SIGCONT, SIGKILL, SIGTERM
from types import TracebackType
from typing import Any

from inferway_testing.until import DEADLINE, until

INFERWAY = str(Path(sys.executable).with_name("inferway"))
"""The command of this environment."""


class Process:
    """A running program; it ends with its `with` block, and pytest shows its output if the test fails."""

    def __init__(
        self,
        command: Sequence[str],
        env: Mapping[str, str] | None = None,
        *,
        stdout: int = subprocess.STDOUT,
        descriptors: int = 0,
        is_supervisor: bool = False,
    ) -> None:
        """Start it.

        `env`: all of its variables; None = those of the tests. `stdout`: a descriptor or DEVNULL; STDOUT = it is read
        together with stderr. `descriptors`: how many it may have open; 0 = as many as the tests.
        `is_supervisor`: it starts others, which every signal but SIGTERM reaches too, as when a node fails.
        """
        if descriptors:
            command = ["/bin/sh", "-c", f"ulimit -n {descriptors} && exec {shlex.join(command)}"]
        streams = {"stdout": stdout, "stderr": subprocess.PIPE}
        if stdout == subprocess.STDOUT:
            streams = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
        self._popen = subprocess.Popen(  # type: ignore[call-overload]  # streams are keywords made above
            command, env=env, text=True, start_new_session=is_supervisor, **streams
        )
        self._is_supervisor = is_supervisor
        self.pid: int = self._popen.pid
        self.lines: list[str] = []
        """All lines of its output, each with its newline."""
        self.events: list[dict[str, Any]] = []
        """Those that are JSON objects."""
        self.text: list[str] = []
        """The others."""
        self._reader = threading.Thread(target=self._read, name=f"output of {self.pid}")
        self._reader.start()

    def __enter__(self) -> Process:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop(SIGKILL)

    def _read(self) -> None:
        for line in self._popen.stdout or self._popen.stderr:
            self.lines.append(line)
            if line.startswith("{"):
                self.events.append(json.loads(line))
            else:
                self.text.append(line)

    @property
    def is_running(self) -> bool:
        """Whether it has not ended."""
        return self._popen.poll() is None

    def has_logged(self, text: str) -> bool:
        """Whether a line with this text has been read."""
        return any(text in line for line in list(self.lines))

    def count(self, text: str) -> int:
        """Count the lines with this text."""
        return sum(text in line for line in list(self.lines))

    def tail(self, lines: int = 30) -> str:
        """The last lines of its output."""
        return "".join(self.lines[-lines:])

    def event(self, name: str, within: float = DEADLINE) -> dict[str, Any]:
        """Wait for a line that is a JSON object with this `event`. Raises `AssertionError` if the process ends first."""

        def find() -> dict[str, Any] | None:
            return next((event for event in list(self.events) if event.get("event") == name), None)

        until(lambda: find() or not self.is_running, lambda: f"the event {name}; output: {self.tail()}", within)
        if not self.is_running:
            self._reader.join(within)
        event = find()
        assert event is not None, f"the process ended before the event {name}; output: {self.tail()}"
        return event

    def port(self, listener: str = "listen") -> int:
        """Wait until it is ready; the port of a listener: `listen` or `admin`."""
        return int(str(self.event("ready")[listener]).rpartition(":")[2])

    def signal(self, number: int = SIGTERM) -> None:
        """Send a signal, if it still runs."""
        if self.is_running:
            (os.killpg if self._is_supervisor and number != SIGTERM else os.kill)(self.pid, number)

    def exit_code(self, within: float = DEADLINE) -> int:
        """Wait for the end, and for the last line. Raises `subprocess.TimeoutExpired`."""
        code = self._popen.wait(within)
        self._reader.join(within)
        return code

    def stop(self, number: int = SIGTERM, within: float = DEADLINE) -> int:
        """End it with a signal, and with SIGKILL after `within` seconds; the exit code."""
        self.signal(SIGCONT)
        self.signal(number)
        try:
            code = self.exit_code(within)
        except subprocess.TimeoutExpired:
            self.signal(SIGKILL)
            code = self.exit_code(within)
        stream = self._popen.stdout or self._popen.stderr
        if stream is not None and not stream.closed:
            stream.close()
            print(f"$ {shlex.join(map(str, self._popen.args))}\n{''.join(self.lines)}")
        return code

    def resident(self) -> int:
        """Bytes of memory, those of the processes that it has started included."""
        lines = (line for text in self._proc("status") for line in text.splitlines())
        return sum(int(line.split()[1]) << 10 for line in lines if line.startswith("VmRSS:"))

    def cpu_seconds(self) -> float:
        """CPU time so far, that of the processes that it has started included."""
        # After the name, which may contain anything: proc(5), fields 14 and 15.
        fields = (text.rpartition(")")[2].split() for text in self._proc("stat"))
        return sum(int(field[11]) + int(field[12]) for field in fields) / os.sysconf("SC_CLK_TCK")

    def _proc(self, name: str) -> list[str]:
        children = Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text(encoding="utf-8").split()
        return [Path(f"/proc/{pid}/{name}").read_text(encoding="utf-8") for pid in (str(self.pid), *children)]


def environment(*without: str, **variables: str) -> dict[str, str]:
    """The variables of the tests but for those that begin with one of `without`, and `variables`."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(without)}
    return {**kept, **variables}


def run_gateway(
    directory: Path, text: str, *flags: str, stdout: int = subprocess.DEVNULL, descriptors: int = 0
) -> Process:
    """Start `inferway run` on a directory with this YAML. `stdout`: where its access log goes."""
    (directory / "routes.yaml").write_text(text, encoding="utf-8")
    command = [INFERWAY, "run", str(directory), "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", *flags]
    return Process(command, stdout=stdout, descriptors=descriptors)
