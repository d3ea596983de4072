"""Waiting for a condition, with a deadline, instead of sleeping for a fixed time."""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic, sleep

import pytest

DEADLINE = 10.0  # seconds until a wait fails


def wait_until(condition: Callable[[], object], what: str, deadline: float = DEADLINE) -> None:
    """Wait for a condition; fail with `what` after the deadline."""
    end = monotonic() + deadline
    while not condition():
        if monotonic() > end:
            pytest.fail(f"not within {deadline} s: {what}")
        sleep(0.01)
