"""The process wrapper: output, events, signals, and a stop that takes a bounded time."""

import os
import signal
import sys

import pytest

from inferway_testing.clean_environment import remove_settings
from inferway_testing.process import Process, environment
from inferway_testing.until import until

STUBBORN = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); time.sleep(60)"


def python(code: str, **options: int) -> Process:
    return Process([sys.executable, "-c", code], **options)


def test_output_is_kept_as_lines_events_and_text() -> None:
    code = """print('hello'); print('{"event": "ready", "listen": "127.0.0.1:80"}'); import sys; sys.exit('no')"""
    with python(code) as process:
        assert process.event("ready")["listen"] == "127.0.0.1:80"
        assert process.port() == 80
        assert process.exit_code() == 1
    assert (len(process.lines), sorted(process.text)) == (3, ["hello\n", "no\n"])
    assert process.has_logged("hell")
    assert not process.is_running


def test_end_before_an_event_fails_with_the_output() -> None:
    with python("print('broken')") as process, pytest.raises(AssertionError, match="event ready; output: broken"):
        process.event("ready")


def test_stop_kills_a_process_that_ignores_its_signal() -> None:
    with python(STUBBORN) as process:
        until(lambda: process.has_logged("up"), "the start")
        process.signal(signal.SIGSTOP)
        assert process.stop(within=0.2) == -signal.SIGKILL


def test_block_ends_the_process(capsys: pytest.CaptureFixture[str]) -> None:
    with python(STUBBORN) as process:
        until(lambda: process.has_logged("up"), "the start")
        assert process.resident() > 1 << 20
    with pytest.raises(ProcessLookupError):
        os.kill(process.pid, 0)
    assert capsys.readouterr().out.endswith("\nup\n\n")


def test_descriptors_of_a_process_are_limited() -> None:
    with python("import resource; print(resource.getrlimit(resource.RLIMIT_NOFILE)[0])", descriptors=50) as process:
        assert process.exit_code() == 0
    assert process.lines == ["50\n"]


def test_environment_leaves_variables_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INFERWAY_LISTEN", "x")
    variables = environment("INFERWAY_", INFERWAY_ADMIN="y")
    assert "INFERWAY_LISTEN" not in variables
    assert variables["INFERWAY_ADMIN"] == "y"
    assert variables["PATH"] == os.environ["PATH"]


def test_settings_of_the_shell_do_not_reach_tests() -> None:
    variables = {"INFERWAY_LISTEN": "127.0.0.1:0", "inferway_x": "y", "INFERWAY": "path", "E2E_PORT": "8080"}
    remove_settings(variables)
    assert variables == {"INFERWAY": "path", "E2E_PORT": "8080"}
    assert not [name for name in os.environ if name.upper().startswith("INFERWAY_")]
