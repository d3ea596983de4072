"""The supervisor that restarts a process, as it runs in a container of Tilt."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from inferway_cluster.images import ROOT
from inferway_fakes.waiting import DEADLINE, wait_until

GOES_ON = "import signal, sys; open({log!r}, 'a').write('started\\n'); sys.exit(7) if {ends} else signal.pause()"


@pytest.fixture
def supervised(tmp_path: Path) -> Iterator[tuple[subprocess.Popen[str], Path]]:
    """Start a supervisor of a script that writes a line when it starts."""
    script, log = tmp_path / "script.py", tmp_path / "log"
    script.write_text(GOES_ON.format(log=str(log), ends=False))
    # A shell's background jobs ignore SIGINT, and their children inherit that.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    process = subprocess.Popen(
        [sys.executable, "-m", "inferway_live", sys.executable, str(script)],
        env={**os.environ, "PYTHONPATH": str(ROOT / "tools/cluster/src")}, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    signal.signal(signal.SIGINT, before)
    try:
        yield process, log
    finally:
        process.terminate()  # not killed: its child would stay
        process.communicate(timeout=DEADLINE)


def starts(log: Path) -> int:
    return len(log.read_text().splitlines()) if log.exists() else 0


def test_sighup_restarts_the_changed_program(supervised: tuple[subprocess.Popen[str], Path]) -> None:
    process, log = supervised
    wait_until(lambda: starts(log) == 1, "the first start")
    log.with_name("script.py").write_text(GOES_ON.format(log=str(log), ends=False).replace("started", "changed"))
    process.send_signal(signal.SIGHUP)
    wait_until(lambda: starts(log) == 2, "the second start")
    assert log.read_text().splitlines() == ["started", "changed"]


def test_supervisor_waits_after_the_program_exits(supervised: tuple[subprocess.Popen[str], Path]) -> None:
    process, log = supervised
    wait_until(lambda: starts(log) == 1, "the first start")
    script = log.with_name("script.py")
    script.write_text(GOES_ON.format(log=str(log), ends=True))
    process.send_signal(signal.SIGHUP)
    assert process.stderr is not None
    assert process.stderr.readline() == "inferway_live: starting again\n"
    assert process.stderr.readline() == "inferway_live: ended with 7; waiting for a change\n"
    script.write_text(GOES_ON.format(log=str(log), ends=False))
    process.send_signal(signal.SIGHUP)
    wait_until(lambda: starts(log) == 3, "the start of the fixed program")
    assert process.poll() is None


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_stop_signal_is_forwarded_and_exit_code_returned(
    supervised: tuple[subprocess.Popen[str], Path], number: signal.Signals
) -> None:
    process, log = supervised
    wait_until(lambda: starts(log) == 1, "the start")
    process.send_signal(number)
    assert process.wait(DEADLINE) == 128 + number


def test_supervisor_without_a_command_exits_with_2() -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "inferway_live"], env={"PYTHONPATH": str(ROOT / "tools/cluster/src")},
        capture_output=True, text=True, timeout=DEADLINE, check=False,
    )  # fmt: skip
    assert (ended.returncode, ended.stderr) == (2, "inferway_live: which command is to run?\n")
