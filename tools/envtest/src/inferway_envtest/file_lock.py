"""A lock between processes, so that two checkouts or two workers do not build the same programs."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from inferway_envtest.progress import print_progress


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the lock of a file, which is created if needed; the kernel releases it when its holder ends."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print_progress(f"another process is building; waiting for {path}")
            fcntl.flock(file, fcntl.LOCK_EX)
        yield
