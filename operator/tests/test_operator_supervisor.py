"""The supervisor: which ends of its process are its own end, and which are a new start."""

import itertools
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from inferway_fakes.waiting import wait_until

SUPERVISE = """
import asyncio, sys
from inferway_operator import supervisor
sys.exit(asyncio.run(supervisor.supervise([sys.executable, sys.argv[1]])))
"""
STARTED = """
import asyncio, os, pathlib, signal, sys, time
from inferway_operator import supervisor

async def main():
    loop, end = asyncio.get_running_loop(), asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, end.set)
    supervisor.report_start()
    pathlib.Path({starts!r}).open("a").write(f"{{os.getpid()}} {{time.time()}}\\n")
    {work}
    pathlib.Path({ends!r}).open("a").write("ended\\n")
    sys.exit({code})

asyncio.run(main())
"""


class Supervised:
    """A supervisor of a small process."""

    def __init__(self, folder: Path, work: str, code: int = 0, script: str = STARTED) -> None:
        self.starts, self.ends = folder / "starts", folder / "ends"
        (folder / "process.py").write_text(
            script.format(starts=str(self.starts), ends=str(self.ends), work=work, code=code)
        )
        command = [sys.executable, "-c", SUPERVISE, str(folder / "process.py")]
        self.process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)

    def lines(self, file: Path) -> list[str]:
        """What the small process has written."""
        return file.read_text().splitlines() if file.exists() else []

    def end(self, number: int) -> tuple[int, str]:
        """Send a signal; the exit code and standard error."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        _, stderr = self.process.communicate(timeout=20)
        return self.process.returncode, stderr


@pytest.mark.parametrize("code", [0, 1, 2])
def test_process_that_never_started_up_is_not_started_again(tmp_path: Path, code: int) -> None:
    supervised = Supervised(tmp_path, "", code, script="import sys; sys.exit({code})")
    assert supervised.end(0) == (code, "")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("code", [0, 1])
def test_signal_is_passed_on_and_the_exit_code_kept(tmp_path: Path, number: int, code: int) -> None:
    supervised = Supervised(tmp_path, "await end.wait()", code)
    wait_until(lambda: supervised.lines(supervised.starts), "a start")
    assert supervised.end(number) == (code, "")
    assert supervised.lines(supervised.ends) == ["ended"]
    assert len(supervised.lines(supervised.starts)) == 1


@pytest.mark.parametrize("work", ["", "os.kill(os.getpid(), signal.SIGKILL)"], ids=["ends", "is killed"])
def test_process_that_ends_is_started_again_within_two_seconds(tmp_path: Path, work: str) -> None:
    supervised = Supervised(tmp_path, work, 3)
    wait_until(lambda: len(supervised.lines(supervised.starts)) >= 3, "three starts", 20)
    times = [float(line.split()[1]) for line in supervised.lines(supervised.starts)]
    _, stderr = supervised.end(signal.SIGTERM)
    # The start of Python itself takes its time.
    assert all(later - earlier < 2.0 + 1.0 for earlier, later in itertools.pairwise(times)), times
    assert f"ended with exit code {-9 if work else 3}: starting it again" in stderr


def test_process_ends_in_order_when_its_supervisor_is_killed(tmp_path: Path) -> None:
    supervised = Supervised(tmp_path, "await end.wait()")
    wait_until(lambda: supervised.lines(supervised.starts), "a start")
    supervised.end(signal.SIGKILL)
    wait_until(lambda: supervised.lines(supervised.ends) == ["ended"], "its end", 5)
    pid = int(supervised.lines(supervised.starts)[0].split()[0])
    began = time.monotonic()
    while (
        Path(f"/proc/{pid}").exists() and os.path.basename(sys.executable) in Path(f"/proc/{pid}/cmdline").read_text()
    ):
        assert time.monotonic() - began < 5, "it is still there"
        time.sleep(0.01)
