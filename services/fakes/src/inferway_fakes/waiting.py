"""Waiting for a condition, with a deadline: tests never sleep for luck."""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic, sleep

import pytest

DEADLINE = 10.0  # seconds that anything awaited may take


def wait_until(condition: Callable[[], object], what: str, deadline: float = DEADLINE) -> None:
    """Wait for a condition; fail with what was awaited when it does not come true in time.

    It is looked at less and less often, for to look may cost what is waited for the time it needs: at most a tenth later.
    """
    began = monotonic()
    while not condition():
        waited = monotonic() - began
        if waited > deadline:
            pytest.fail(f"not within {deadline} s: {what}")
        sleep(min(max(waited / 10, 0.01), 0.1))
