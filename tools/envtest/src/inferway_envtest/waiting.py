"""Waiting for a condition of a program."""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic, sleep


class TooLate(Exception):  # noqa: N818 - the name of the condition
    """A condition was not met in time."""


def until(is_so: Callable[[], bool], what: str | Callable[[], str], deadline: float) -> None:
    """Wait until a condition holds; `deadline` in seconds. Raises `TooLate` with `what`, evaluated at that time."""
    end = monotonic() + deadline
    while not is_so():
        if monotonic() > end:
            raise TooLate(f"not within {deadline:.0f} s: {what if isinstance(what, str) else what()}")
        sleep(0.02)
