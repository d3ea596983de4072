"""Wait for a condition, with a deadline: tests never sleep for a fixed time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from time import monotonic, sleep
from typing import TypeVar

DEADLINE = 20.0
"""Seconds for anything that has no figure of its own; only a failing test spends them."""
SHORTEST, LONGEST = 0.005, 0.1
"""Seconds between two looks: a twentieth of the time that has passed, within these bounds."""

Value = TypeVar("Value")


def until(condition: Callable[[], Value], what: str | Callable[[], str], within: float = DEADLINE) -> Value:
    """Wait until `condition()` is true, and return its value.

    Raises `AssertionError` after `within` seconds with `what`; a function is called only then.
    """
    began = monotonic()
    while not (value := condition()):
        sleep(_pause(began, what, within))
    return value


async def until_async(condition: Callable[[], Value], what: str | Callable[[], str], within: float = DEADLINE) -> Value:
    """Wait like `until`, while the event loop runs."""
    began = monotonic()
    while not (value := condition()):  # noqa: ASYNC110 - conditions of any kind: threads, files, other processes
        await asyncio.sleep(_pause(began, what, within))
    return value


def _pause(began: float, what: str | Callable[[], str], within: float) -> float:
    passed = monotonic() - began
    if passed > within:
        raise AssertionError(f"not within {within:g} s: {what if isinstance(what, str) else what()}")
    return min(LONGEST, max(SHORTEST, passed / 20))
