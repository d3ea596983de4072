"""Waiting for a condition, with a deadline: tests never sleep for luck."""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic, sleep

import pytest

DEADLINE = 10.0  # seconds that anything awaited may take


def wait_until(condition: Callable[[], object], what: str, deadline: float = DEADLINE) -> None:
    """Wait for a condition; fail with what was awaited when it does not come true in time."""
    end = monotonic() + deadline
    while not condition():
        if monotonic() > end:
            pytest.fail(f"not within {deadline} s: {what}")
        sleep(0.01)
