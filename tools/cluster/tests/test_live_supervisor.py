"""The supervisor that restarts a process, as it runs in a container of Tilt."""

import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from inferway_cluster.images import ROOT
from inferway_testing.process import Process, environment
from inferway_testing.until import DEADLINE, until

GOES_ON = "import signal, sys; open({log!r}, 'a').write('started\\n'); sys.exit(7) if {ends} else signal.pause()"


@pytest.fixture
def supervised(tmp_path: Path) -> Iterator[tuple[Process, Path]]:
    """Start a supervisor of a script that writes a line when it starts."""
    script, log = tmp_path / "script.py", tmp_path / "log"
    script.write_text(GOES_ON.format(log=str(log), ends=False))
    # A shell's background jobs ignore SIGINT, and their children inherit that.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    command = [sys.executable, "-m", "inferway_live", sys.executable, str(script)]
    process = Process(command, environment(PYTHONPATH=str(ROOT / "tools/cluster/src")))
    signal.signal(signal.SIGINT, before)
    yield process, log
    process.stop()  # not killed: its child would stay


def starts(log: Path) -> int:
    return len(log.read_text().splitlines()) if log.exists() else 0


def test_sighup_restarts_the_changed_program(supervised: tuple[Process, Path]) -> None:
    process, log = supervised
    until(lambda: starts(log) == 1, "the first start")
    log.with_name("script.py").write_text(GOES_ON.format(log=str(log), ends=False).replace("started", "changed"))
    process.signal(signal.SIGHUP)
    until(lambda: starts(log) == 2, "the second start")
    assert log.read_text().splitlines() == ["started", "changed"]


def test_supervisor_waits_after_the_program_exits(supervised: tuple[Process, Path]) -> None:
    process, log = supervised
    until(lambda: starts(log) == 1, "the first start")
    script = log.with_name("script.py")
    script.write_text(GOES_ON.format(log=str(log), ends=True))
    process.signal(signal.SIGHUP)
    until(lambda: len(process.lines) == 2, "two lines")
    assert process.lines == ["inferway_live: starting again\n", "inferway_live: ended with 7; waiting for a change\n"]
    script.write_text(GOES_ON.format(log=str(log), ends=False))
    process.signal(signal.SIGHUP)
    until(lambda: starts(log) == 3, "the start of the fixed program")
    assert process.is_running


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_stop_signal_is_forwarded_and_exit_code_returned(
    supervised: tuple[Process, Path], number: signal.Signals
) -> None:
    process, log = supervised
    until(lambda: starts(log) == 1, "the start")
    process.signal(number)
    assert process.exit_code() == 128 + number


def test_supervisor_without_a_command_exits_with_2() -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "inferway_live"], env={"PYTHONPATH": str(ROOT / "tools/cluster/src")},
        capture_output=True, text=True, timeout=DEADLINE, check=False,
    )  # fmt: skip
    assert (ended.returncode, ended.stderr) == (2, "inferway_live: which command is to run?\n")
