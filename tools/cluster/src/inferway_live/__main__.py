"""`python -m inferway_live COMMAND...`: run it, and at SIGHUP end it and run it again.

SIGTERM and SIGINT are handed on; when the command has ended after one, this process does with its exit code. A command that
ends by itself is told and waited for: the next SIGHUP, which a mended source brings, starts it again.
"""

import signal
import subprocess
import sys
from collections.abc import Sequence
from typing import Final

PATIENCE: Final = 1.0
"""Seconds that a command has to end after SIGTERM; then it gets a second one, at which both planes end at once."""
LAST_PATIENCE: Final = 5.0
"""Seconds after that one, before it is killed."""
_HEARD: Final = (signal.SIGHUP, signal.SIGTERM, signal.SIGINT, signal.SIGCHLD)


def supervise(command: Sequence[str]) -> int:
    """Until a signal ends it; the exit code (128 + number where a signal ended the command)."""
    # Blocked and asked for one by one: none is lost while the command is being replaced.
    signal.pthread_sigmask(signal.SIG_BLOCK, _HEARD)
    running: subprocess.Popen[bytes] | None = _start(command)
    is_stopping = False
    while True:
        heard = signal.sigwait(_HEARD)
        if heard == signal.SIGHUP:
            if running is not None:
                _end(running)
            _tell("starting again")
            running = _start(command)
        elif heard == signal.SIGCHLD:
            if running is None or running.poll() is None:
                continue  # of one that was replaced meanwhile
            if is_stopping:
                return _code(running)
            _tell(f"ended with {_code(running)}; waiting for a change")
            running = None
        elif running is None:
            return 0
        else:
            is_stopping = True
            running.send_signal(heard)


def _start(command: Sequence[str]) -> subprocess.Popen[bytes]:
    # What is blocked here would stay blocked in the child. There are no threads that a preexec_fn could meet.
    return subprocess.Popen(command, preexec_fn=_unblock)


def _unblock() -> None:
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _HEARD)


def _end(process: subprocess.Popen[bytes]) -> None:
    for patience in (PATIENCE, LAST_PATIENCE):
        process.terminate()
        try:
            process.wait(patience)
        except subprocess.TimeoutExpired:
            continue
        return
    process.kill()
    process.wait()


def _code(process: subprocess.Popen[bytes]) -> int:
    code: int = process.returncode
    return 128 - code if code < 0 else code


def _tell(text: str) -> None:
    sys.stderr.write(f"inferway_live: {text}\n")
    sys.stderr.flush()


def main() -> int:
    """The exit code; 2 without a command."""
    if len(sys.argv) < 2:
        sys.stderr.write("inferway_live: which command is to run?\n")
        return 2
    return supervise(sys.argv[1:])


if __name__ == "__main__":
    sys.exit(main())
