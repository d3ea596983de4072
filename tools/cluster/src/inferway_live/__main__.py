"""`python -m inferway_live COMMAND...`: run the command, and restart it on SIGHUP.

SIGTERM and SIGINT are forwarded; when the command has ended after one, this process exits with its exit code. If the command
ends by itself, a line reports it, and the next SIGHUP (sent after a fixed source file) starts it again.
"""

import signal
import subprocess
import sys
from collections.abc import Sequence
from typing import Final

PATIENCE: Final = 1.0
"""Seconds for a command to end after SIGTERM; then a second SIGTERM follows, after which both planes end at once."""
LAST_PATIENCE: Final = 5.0
"""Seconds after the second SIGTERM, before SIGKILL."""
_HEARD: Final = (signal.SIGHUP, signal.SIGTERM, signal.SIGINT, signal.SIGCHLD)


def supervise(command: Sequence[str]) -> int:
    """Run the command until a signal; returns the exit code (128 + number if a signal ended the command)."""
    # Blocked, and received one by one, so that no signal is lost while the command is replaced.
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
                continue  # of a replaced command
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
    # Signals blocked here would stay blocked in the child. There are no threads, so preexec_fn is safe.
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
    """Run the command line and return the exit code; 2 without a command."""
    if len(sys.argv) < 2:
        sys.stderr.write("inferway_live: which command is to run?\n")
        return 2
    return supervise(sys.argv[1:])


if __name__ == "__main__":
    sys.exit(main())
