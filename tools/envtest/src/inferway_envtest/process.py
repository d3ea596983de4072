"""A process started by this program: it ends with its parent, is ended by its id, and its last output is reported."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

LEASH = Path(__file__).with_name("watchdog.py")
TAIL = 30  # lines of its log


class Crashed(Exception):  # noqa: N818 - the name of the condition
    """A program ended by itself, or did not become ready; the text has the end of its log."""


@dataclass
class Process:
    """One run of a program."""

    name: str
    log: Path
    running: subprocess.Popen[bytes]

    @classmethod
    def started(cls, program: Path, arguments: Sequence[str], directory: Path) -> Process:
        """Start it in a separate session, because Ctrl-C must reach the parent only. Its log is kept across runs."""
        log = directory / f"{program.name}.log"
        command = [sys.executable, "-I", "-S", str(LEASH), str(program), *arguments]
        with log.open("ab") as file:
            running = subprocess.Popen(  # noqa: S603 - ours
                command, stdin=subprocess.PIPE, stdout=file, stderr=file, cwd=directory, start_new_session=True
            )
        return cls(program.name, log, running)

    @property
    def pid(self) -> int:
        """Return the program's process id, for tests that freeze or kill it."""
        return self.running.pid

    def check(self) -> None:
        """Raise `Crashed` if it has ended."""
        if (code := self.running.poll()) is not None:
            raise Crashed(f"{self.name} ended with {code}. Its last words:\n{self.tail()}")

    def tail(self) -> str:
        """Return the end of its log."""
        return "\n".join(self.log.read_text(encoding="utf-8", errors="replace").splitlines()[-TAIL:])

    def stop(self) -> None:
        """End it at once, as a crash does, and wait for the end. Its state is temporary, or in etcd."""
        self.running.kill()
        self.running.wait()
        if self.running.stdin is not None:
            self.running.stdin.close()
