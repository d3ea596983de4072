"""Starts the operator's process again when it ends by itself (docs/decisions/0009).

kopf ends its process where a watch meets an answer that it does not expect. Such answers pass by themselves, and Kubernetes
would restart the container later and later. A process that ends before it has ever started up, because of a wrong setting
or a port that is taken, is not started again: its exit code is that of the whole.
"""

import asyncio
import json
import os
import signal
import socket
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final

PAUSE: Final = 1.0
"""Seconds before it is started again."""
_CHANNEL: Final = "SUPERVISOR_CHANNEL"
"""The environment variable with the descriptor of the socket between both processes."""


def report_start() -> None:
    """Report that this process has started up, and end it in order when its supervisor ends. Alone it does nothing."""
    descriptor = os.environ.pop(_CHANNEL, "")
    if not descriptor:
        return
    loop, channel = asyncio.get_running_loop(), socket.socket(fileno=int(descriptor))
    channel.send(b"started")

    def end() -> None:
        loop.remove_reader(channel)
        os.kill(os.getpid(), signal.SIGTERM)

    loop.add_reader(channel, end)


async def supervise(command: Sequence[str]) -> int:
    """Run a command until SIGTERM or SIGINT, which are passed on; return its exit code."""
    loop = asyncio.get_running_loop()
    stopping = asyncio.Event()
    process: asyncio.subprocess.Process | None = None
    has_started = False

    def stop(number: int) -> None:
        stopping.set()
        if process is not None and process.returncode is None:
            process.send_signal(number)

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop, number)
    while True:
        ours, theirs = socket.socketpair()
        with ours:
            with theirs:
                environment = {**os.environ, _CHANNEL: str(theirs.fileno())}
                process = await asyncio.create_subprocess_exec(*command, env=environment, pass_fds=(theirs.fileno(),))
            if stopping.is_set():
                process.send_signal(signal.SIGTERM)  # it came while the process was being started
            code = await process.wait()
            has_started |= ours.recv(16) != b""  # its other end is closed
        if stopping.is_set() and code in (-signal.SIGTERM, -signal.SIGINT):
            return 0  # it had not begun anything
        if stopping.is_set() or not has_started:
            return code if code >= 0 else 128 - code
        _log(f"the operator's process ended with exit code {code}: starting it again")
        try:
            async with asyncio.timeout(PAUSE):
                await stopping.wait()
                return 0
        except TimeoutError:
            pass


def _log(message: str) -> None:
    """Write a line of the form that kopf's JSON log has."""
    line = {"message": message, "severity": "warn", "timestamp": datetime.now(UTC).isoformat()}
    sys.stderr.write(json.dumps(line) + "\n")


if __name__ == "__main__":
    sys.exit(asyncio.run(supervise(sys.argv[1:])))
