"""A program ends with its starter, with any kind of end."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from inferway_envtest.process import Process
from inferway_testing.until import until

STARTER = """
import pathlib, signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background processes ignore it
from inferway_envtest.process import Process
process = Process.started(pathlib.Path("/bin/sleep"), ["600"], pathlib.Path(sys.argv[1]))
print(process.pid, flush=True)
signal.pause()
"""


def is_running(pid: int) -> bool:
    """Return whether a process exists and is not a zombie; its parent may be gone and never collect it."""
    status = Path(f"/proc/{pid}/status")
    try:
        return "State:\tZ" not in status.read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False


@pytest.mark.parametrize("ending", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_program_ends_when_its_parent_is_killed(ending: signal.Signals, tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", STARTER, str(tmp_path)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    ) as starter:
        assert starter.stdout is not None
        try:
            pid = int(starter.stdout.readline())
            until(lambda: b"sleep" in Path(f"/proc/{pid}/cmdline").read_bytes()[:12], "the program runs")
            starter.send_signal(ending)
            starter.wait(10)
        finally:
            starter.kill()
    until(lambda: not is_running(pid), "the program has ended too")


def test_watchdog_exits_when_the_program_ends(tmp_path: Path) -> None:
    process = Process.started(Path("/bin/sleep"), ["0"], tmp_path)
    assert process.running.wait(10) == 0

    def watchers() -> list[str]:
        pids = []
        for entry in Path("/proc").iterdir():
            try:
                line = (entry / "cmdline").read_bytes()
            except (FileNotFoundError, NotADirectoryError, ProcessLookupError):
                continue
            if b"watchdog.py\0/bin/sleep\x000" in line:
                pids.append(entry.name)
        return pids

    until(lambda: watchers() == [], "no watcher is left")
    process.stop()
