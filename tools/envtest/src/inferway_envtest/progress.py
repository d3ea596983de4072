"""Progress of slow steps, on standard error."""

from __future__ import annotations

import sys


def print_progress(line: str) -> None:
    """Print a line of progress."""
    sys.stderr.write(f"envtest: {line}\n")
    sys.stderr.flush()
