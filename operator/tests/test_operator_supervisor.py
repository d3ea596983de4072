"""The supervisor: which ends of its process are its own end, and which are a new start."""

import itertools
import signal
import sys
from pathlib import Path

import pytest

from inferway_testing.process import Process
from inferway_testing.until import until

pytestmark = pytest.mark.outside

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


class Supervised(Process):
    """A supervisor of a small process."""

    def __init__(self, folder: Path, work: str, code: int = 0, script: str = STARTED) -> None:
        self.starts, self.ends = folder / "starts", folder / "ends"
        text = script.format(starts=str(self.starts), ends=str(self.ends), work=work, code=code)
        (folder / "process.py").write_text(text)
        super().__init__([sys.executable, "-c", SUPERVISE, str(folder / "process.py")])

    def written(self, file: Path) -> list[str]:
        """Lines that the small process has written."""
        return file.read_text().splitlines() if file.exists() else []


@pytest.mark.parametrize("code", [0, 1, 2])
def test_process_that_never_started_up_is_not_started_again(tmp_path: Path, code: int) -> None:
    with Supervised(tmp_path, "", code, script="import sys; sys.exit({code})") as supervised:
        assert supervised.exit_code() == code
        assert supervised.lines == []


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("code", [0, 1])
def test_signal_is_passed_on_and_the_exit_code_kept(tmp_path: Path, number: int, code: int) -> None:
    with Supervised(tmp_path, "await end.wait()", code) as supervised:
        until(lambda: supervised.written(supervised.starts), "a start")
        supervised.signal(number)
        assert supervised.exit_code() == code
        assert supervised.lines == []
        assert supervised.written(supervised.ends) == ["ended"]
        assert len(supervised.written(supervised.starts)) == 1


@pytest.mark.parametrize("work", ["", "os.kill(os.getpid(), signal.SIGKILL)"], ids=["ends", "is killed"])
def test_process_that_ends_is_started_again_within_two_seconds(tmp_path: Path, work: str) -> None:
    with Supervised(tmp_path, work, 3) as supervised:
        until(lambda: len(supervised.written(supervised.starts)) >= 3, "three starts", 20)
        times = [float(line.split()[1]) for line in supervised.written(supervised.starts)]
        supervised.stop()
    # The start of Python itself takes its time.
    assert all(later - earlier < 2.0 + 1.0 for earlier, later in itertools.pairwise(times)), times
    assert supervised.has_logged(f"ended with exit code {-9 if work else 3}: starting it again")


def test_process_ends_in_order_when_its_supervisor_is_killed(tmp_path: Path) -> None:
    with Supervised(tmp_path, "await end.wait()") as supervised:
        until(lambda: supervised.written(supervised.starts), "a start")
        supervised.signal(signal.SIGKILL)
        until(lambda: supervised.written(supervised.ends) == ["ended"], "its end", 5)
        pid = supervised.written(supervised.starts)[0].split()[0]
        command = Path(f"/proc/{pid}/cmdline")
        until(lambda: not command.exists() or "process.py" not in command.read_text(), "it is gone", 5)
